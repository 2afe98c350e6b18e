//! Links and drills without a supervisor: what is asked, refused and sent.

use crate::effect::Effect;
use crate::fleet::{Capability, FleetCommand, FleetUpdate, PeerLink};
use crate::lab::drill::{DrillCard, DrillProgress, DrillReport};
use crate::lab::link::LinkState;
use crate::model::Screen;
use crate::model::drills::Shows;
use crate::msg::{Msg, Report};
use crate::quorum::Health;
use crate::scene::*;

/// A local cluster whose links can be cut.
pub fn linked(nodes: usize) -> Scene {
    let mut scene = Scene::local(nodes);
    let able = |name: &str, available| Capability {
        name: name.into(),
        available,
        reason: if available { String::new() } else { "etcd has no knob for it".into() },
    };
    let capabilities = vec![able("link", true), able("proc.pause", true), able("clock", false)];
    scene.send(Msg::Fleet(FleetUpdate::Capabilities(capabilities)));
    links(&mut scene, nodes, &[]);
    scene.press(&["4"]);
    scene
}

/// Reports every link of a cluster, some of them in another state than ok.
pub fn links(scene: &mut Scene, nodes: usize, faults: &[(usize, usize, LinkState)]) {
    let state = |from, to| {
        let fault = faults.iter().find(|(f, t, _)| (*f, *t) == (from, to));
        fault.map_or(LinkState::Ok, |(.., state)| *state)
    };
    let pairs = (1..=nodes).flat_map(|a| (1..=nodes).map(move |b| (a, b))).filter(|(a, b)| a != b);
    let all = pairs.map(|(from, to)| PeerLink {
        from: format!("n{from}"),
        to: format!("n{to}"),
        state: state(from, to),
        bytes_per_second: 1_234,
        connections: 3,
    });
    scene.send(Msg::Fleet(FleetUpdate::Links(all.collect())));
}

pub fn card(id: &str, skipped: Option<&str>) -> DrillCard {
    DrillCard {
        id: id.into(),
        title: format!("About {id}"),
        level: "basic".into(),
        hypothesis: "Writes stop for one to two election timeouts.".into(),
        steps: vec!["kill leader".into(), "await leader within 10s".into()],
        expected: vec![("put".into(), "an outage".into())],
        teaches: "Followers wait for a heartbeat.".into(),
        docs: None,
        nodes: 3,
        application: None,
        own_cluster: None,
        skipped: skipped.map(str::to_owned),
    }
}

/// A drill that this cluster is too small for.
pub fn elsewhere() -> DrillCard {
    let why = "it needs 5 nodes, and cluster dev has 3";
    DrillCard { nodes: 5, own_cluster: Some(why.into()), ..card("bridge-of-five", None) }
}

/// A local cluster with a catalogue of two drills, on their screen.
pub fn drilled() -> Scene {
    let mut scene = Scene::local(3);
    let cards = vec![card("kill-leader", None), card("clock-jump", Some("it needs clock"))];
    scene.send(Msg::Fleet(FleetUpdate::Drills(cards)));
    scene.press(&["5"]);
    scene
}

fn commands(scene: &Scene) -> Vec<FleetCommand> {
    let command = |effect: &Effect| match effect {
        Effect::Fleet(command) => Some(command.clone()),
        _ => None,
    };
    scene.effects.iter().filter_map(command).collect()
}

fn start(id: &str, application: Option<&str>, own_cluster: bool) -> FleetCommand {
    let application = application.map(str::to_owned);
    FleetCommand::StartDrill { id: id.into(), application, own_cluster }
}

fn toast(scene: &Scene) -> &str {
    scene.model.toast.as_ref().map_or("", |toast| &toast.text)
}

#[test]
fn without_the_capability_there_is_no_links_screen_but_a_reason() {
    let mut scene = Scene::local(3);
    scene.press(&["4"]);
    assert_eq!(scene.model.screen, Screen::Cluster);
    assert!(toast(&scene).contains("does not offer"), "{}", toast(&scene));
    let mut scene = Scene::remote(3, false);
    scene.press(&["4"]);
    assert!(toast(&scene).contains("started here"), "{}", toast(&scene));
}

#[test]
fn freezing_a_link_is_asked_about_and_ok_is_not() {
    let mut scene = linked(3);
    scene.press(&["right", "f"]);
    assert!(commands(&scene).is_empty(), "Cancel is in focus, and it was not even pressed");
    scene.press(&["right", "enter"]);
    let change = |from: &str, to: &str, state| (from.to_owned(), to.to_owned(), state);
    assert_eq!(
        commands(&scene),
        [FleetCommand::Links(vec![change("n1", "n2", LinkState::Freeze)])]
    );
    scene.press(&["x", "o"]);
    let both = vec![change("n1", "n2", LinkState::Ok), change("n2", "n1", LinkState::Ok)];
    assert_eq!(commands(&scene), [FleetCommand::Links(both)]);
    scene.press(&["h"]);
    assert_eq!(commands(&scene), [FleetCommand::Heal]);
}

#[test]
fn a_typed_delay_is_checked_and_sent_without_a_question() {
    let mut scene = linked(3);
    scene.press(&["down", "d"]).write("x").press(&["enter"]);
    assert!(scene.model.overlay.is_some() && commands(&scene).is_empty(), "`50±10x` is none");
    scene.press(&["backspace", "enter"]);
    let state = LinkState::Delay { ms: 50, jitter_ms: 10 };
    assert_eq!(commands(&scene), [FleetCommand::Links(vec![("n2".into(), "n1".into(), state)])]);
}

#[test]
fn isolating_cuts_every_link_of_the_node_both_ways_and_only_those() {
    let mut scene = linked(3);
    scene.press(&["down", "i", "right", "enter"]);
    let sent = commands(&scene);
    let [FleetCommand::Links(changes)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(changes.len(), 4);
    assert!(changes.iter().all(|(from, to, state)| {
        (from == "n2") != (to == "n2") && *state == LinkState::Freeze
    }));
}

#[test]
fn a_partition_needs_two_sides_of_known_nodes() {
    for wrong in ["", "n1", "n1|", "n1|n9", "n1,n2|n2,n3"] {
        let mut scene = linked(3);
        scene.press(&["p"]);
        for _ in 0..20 {
            scene.press(&["backspace"]);
        }
        scene.write(wrong).press(&["enter"]);
        assert!(commands(&scene).is_empty(), "{wrong}");
    }
    let mut scene = linked(3);
    scene.press(&["p", "enter", "right", "enter"]);
    let sent = commands(&scene);
    assert!(matches!(sent.as_slice(), [FleetCommand::Links(all)] if all.len() == 4), "{sent:?}");
}

#[test]
fn faults_of_nodes_are_in_the_palette_with_the_reason_why_not() {
    let scene = linked(3);
    let found = super::palette::matching(&scene.model, "fault n2 clock");
    assert_eq!(found[0].refused.as_deref(), Some("etcd has no knob for it"));
    let mut scene = linked(3);
    scene.press(&[":"]).write("fault n2 slow").press(&["enter", "right", "enter"]);
    assert_eq!(commands(&scene), [FleetCommand::Fault("n2".into(), "slow 50".into())]);
}

#[test]
fn a_drill_is_confirmed_run_watched_and_reported() {
    let mut scene = drilled();
    scene.press(&["enter", "enter"]);
    assert!(commands(&scene).is_empty(), "Cancel is in focus");
    scene.press(&["enter", "right", "enter"]);
    assert_eq!(commands(&scene), [start("kill-leader", None, false)]);
    assert_eq!(scene.model.drills.shows, Shows::Run);
    scene.press(&["5", "enter", "1", "!"]);
    assert_eq!(commands(&scene), [FleetCommand::StopDrill], "from any screen");
    scene.press(&["!"]);
    assert!(commands(&scene).is_empty(), "the rollback is not stopped");
    let report = |id: &str| {
        let report = DrillReport {
            id: id.into(),
            verdict: "ABORTED".into(),
            text: "# Report".into(),
            ..DrillReport::default()
        };
        Msg::Fleet(FleetUpdate::DrillEnded(Box::new(report)))
    };
    scene.send(report("another"));
    assert!(scene.model.drills.running.is_some(), "that was somebody else's");
    scene.send(report("kill-leader"));
    assert!(scene.model.drills.running.is_none());
    scene.press(&["5", "enter"]);
    assert_eq!(scene.model.drills.shows, Shows::Report);
}

#[test]
fn an_application_is_chosen_and_goes_with_the_drill() {
    let mut scene = drilled();
    scene.press(&["a", "a", "enter", "right", "enter"]);
    let started = start("kill-leader", Some("fenced-lock"), false);
    assert_eq!(commands(&scene), [started]);
    let mut scene = drilled();
    let own = DrillCard { application: Some("election".into()), ..card("election", None) };
    scene.send(Msg::Fleet(FleetUpdate::Drills(vec![own])));
    scene.press(&["a", "enter", "right", "enter"]);
    let started = start("election", None, false);
    assert_eq!(commands(&scene), [started], "it brings its own");
    let mut scene = drilled();
    for _ in 0..crate::lab::application::ALL.len() {
        scene.press(&["a"]);
        assert!(scene.model.drills.application.is_some());
    }
    scene.press(&["a"]);
    assert_eq!(scene.model.drills.application, None, "and after the last one none");
}

#[test]
fn a_drill_that_would_be_skipped_or_finds_a_sick_cluster_is_refused() {
    let mut scene = drilled();
    scene.press(&["down", "enter"]);
    assert!(scene.model.overlay.is_none() && toast(&scene).contains("it needs clock"));
    let mut scene = drilled();
    scene.report(3, Err(refused())).press(&["enter"]);
    assert!(toast(&scene).contains("healthy cluster"), "{}", toast(&scene));
}

#[test]
fn where_a_cluster_cannot_hold_a_drill_another_one_is_made_for_it() {
    let mut scene = drilled();
    scene.send(Msg::Fleet(FleetUpdate::Drills(vec![elsewhere()])));
    // What is wrong here does not matter there.
    scene.report(3, Err(refused())).press(&["enter", "right", "enter"]);
    assert_eq!(commands(&scene), [start("bridge-of-five", None, true)]);
    let mut scene = Scene::remote(3, false);
    scene.send(Msg::Fleet(FleetUpdate::Drills(vec![elsewhere()]))).press(&["5"]);
    assert_eq!(scene.model.screen, Screen::Cluster, "a remote cluster has no drills");
}

#[test]
fn a_drill_runs_where_its_preflight_said() {
    let both = |own: Option<&str>| {
        let card = DrillCard { own_cluster: own.map(str::to_owned), ..card("kill-leader", None) };
        Msg::Fleet(FleetUpdate::Drills(vec![card]))
    };
    let mut scene = drilled();
    scene.press(&["enter", "right"]).send(both(Some("n2 is exited")));
    scene.press(&["enter"]);
    assert!(commands(&scene).is_empty(), "it was told of this cluster");
    let mut scene = drilled();
    scene.send(both(Some("n2 is exited"))).press(&["enter", "right"]).send(both(None));
    scene.press(&["enter"]);
    assert_eq!(commands(&scene), [start("kill-leader", None, true)], "this one was to be spared");
}

#[test]
fn whether_a_supervised_member_is_cut_off_is_the_supervisors_word() {
    let mut scene = Scene::local(3);
    let touch = |yes| Msg::Cluster(Report::InTouch { endpoint: url(3), yes });
    scene.send(touch(false)).send(touch(false));
    assert_eq!(scene.model.cluster.health(), Health::Healthy, "`ps` says so, and so do we");
    let mut nodes = scene.model.cluster.fleet.clone();
    nodes[2].cut_off = true;
    scene.send(Msg::Fleet(FleetUpdate::View(nodes)));
    scene.send(touch(true));
    assert_eq!(scene.model.cluster.health(), Health::AtRisk);
}

#[test]
fn a_drill_refused_at_its_start_is_not_running() {
    let mut scene = drilled();
    scene.press(&["enter", "right", "enter"]);
    scene.send(Msg::Fleet(FleetUpdate::CommandFailed("no".into())));
    assert!(scene.model.drills.running.is_none());
    assert_eq!(scene.model.drills.shows, Shows::Catalogue);
}

#[test]
fn without_drills_there_is_no_screen_for_them() {
    let mut scene = Scene::local(3);
    scene.press(&["5"]);
    assert_eq!(scene.model.screen, Screen::Cluster);
    scene.send(Msg::Fleet(FleetUpdate::Drill(Box::default())));
    assert_eq!(scene.model.drills.progress, None::<DrillProgress>);
}
