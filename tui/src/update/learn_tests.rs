//! The course without a cluster: nothing is explained before it was guessed, done and seen.

use crate::effect::Effect;
use crate::fleet::{FleetCommand, FleetState, FleetUpdate, PeerLink};
use crate::lab::drill::DrillReport;
use crate::lab::lanes::Doing;
use crate::lab::link::LinkState;
use crate::model::Screen;
use crate::model::drills::Shows;
use crate::model::learn::{Learn, Stage};
use crate::msg::Msg;
use crate::scene::*;
use crate::update::lab_tests::card;

const UP: FleetState = FleetState::Running;
const DEAD: FleetState = FleetState::Exited;

fn learn(scene: &Scene) -> &Learn {
    scene.model.learn.as_ref().expect("a course")
}

fn commands(scene: &Scene) -> Vec<FleetCommand> {
    let command = |effect: &Effect| match effect {
        Effect::Fleet(command) => Some(command.clone()),
        _ => None,
    };
    scene.effects.iter().filter_map(command).collect()
}

#[test]
fn the_lanes_run_in_a_course_and_in_no_other_session() {
    let mut scene = Scene::new(true, false);
    assert!(!scene.effects.contains(&Effect::Lanes));
    scene.model.learn = Some(Learn::new(crate::lab::course::builtin(), Vec::new()));
    let effects = super::start(&mut scene.model, scene.now);
    assert!(effects.contains(&Effect::Lanes));
    scene.model.about.read_only = true;
    let effects = super::start(&mut scene.model, scene.now);
    assert!(!effects.contains(&Effect::Lanes), "they write");
}

#[test]
fn nothing_is_done_or_explained_before_the_guess() {
    let mut scene = Scene::course();
    assert_eq!(learn(&scene).stage, Stage::Ask);
    scene.press(&["n"]);
    assert!(commands(&scene).is_empty());
    scene.fleet(&[UP, DEAD, UP]).report(2, Err(refused()));
    scene.served(60, [true; 3]);
    assert_eq!(learn(&scene).stage, Stage::Ask, "it happened, and the guess is still owed");
}

#[test]
fn a_page_is_guessed_done_seen_and_explained() {
    let mut scene = Scene::course();
    scene.press(&["enter", "n"]);
    assert_eq!(commands(&scene), [FleetCommand::Kill("follower".into())]);
    scene.press(&["n"]);
    assert!(commands(&scene).is_empty(), "once is enough");
    scene.served(10, [true; 3]);
    assert_eq!(learn(&scene).ticks, [false, true, true, true]);
    scene.fleet(&[UP, UP, DEAD]).report(3, Err(refused())).served(10, [true; 3]);
    assert_eq!(learn(&scene).stage, Stage::Act, "seen for a moment only");
    scene.served(15, [true; 3]);
    assert_eq!(learn(&scene).stage, Stage::Reveal);
    assert!(learn(&scene).told.contains("puts was 100 ms"), "{}", learn(&scene).told);
    scene.press(&["n"]);
    assert_eq!((learn(&scene).step, learn(&scene).stage), (1, Stage::Act));
    scene.press(&["n"]);
    assert_eq!(commands(&scene), [FleetCommand::Start("all".into())]);
    scene.fleet(&[UP; 3]).up(3, 1, 3).served(30, [true; 3]);
    scene.press(&["n"]);
    assert_eq!(commands(&scene), [FleetCommand::CourseDone(vec!["one-of-three".into()])]);
    assert_eq!(learn(&scene).current().expect("a page").id, "the-leader");
}

#[test]
fn ticks_that_hold_for_a_moment_only_explain_nothing() {
    let mut scene = Scene::course();
    scene.press(&["enter"]);
    for _ in 0..4 {
        scene.fleet(&[UP, UP, DEAD]).report(3, Err(refused())).served(15, [true; 3]);
        scene.fleet(&[UP, UP, UP]).up(3, 1, 3).served(5, [true; 3]);
    }
    assert_eq!(learn(&scene).stage, Stage::Act);
}

#[test]
fn a_lost_majority_stops_all_but_serializable_reads() {
    let mut scene = Scene::course();
    scene.press(&["right", "right", "down", "down", "enter", "n"]);
    assert_eq!(commands(&scene), [FleetCommand::Kill("majority".into())]);
    scene.fleet(&[DEAD, DEAD, UP]).report(1, Err(refused())).report(2, Err(refused()));
    scene.up(3, 0, 3).served(14, [false, false, true]);
    assert_eq!(learn(&scene).ticks, [true, true, false, false, true]);
    scene.served(30, [false, false, true]);
    assert_eq!(learn(&scene).stage, Stage::Reveal);
    assert_eq!(learn(&scene).lanes.doing(2), Doing::Serves);
}

#[test]
fn a_page_begins_on_a_whole_cluster_of_three() {
    let mut scene = Scene::course();
    scene.fleet(&[UP, UP, DEAD]).report(3, Err(refused()));
    scene.press(&["enter", "n"]);
    assert_eq!(commands(&scene), [FleetCommand::Start("all".into())]);
    assert!(!learn(&scene).acted, "the deed itself is still to come");
    let mut scene = Scene::course();
    scene.fleet(&[UP; 5]).members(5);
    for node in 1..=5 {
        scene.up(node, 1, 3);
    }
    scene.press(&["enter", "n"]);
    assert_eq!(commands(&scene), [FleetCommand::Shrink(3)]);
}

/// The course at this page, its question answered.
fn page(id: &str) -> Scene {
    let mut scene = Scene::course();
    while learn(&scene).current().expect("a page").id != id {
        scene.press(&["right"]);
    }
    scene.press(&["enter"]);
    scene
}

fn frozen(links: &[(&str, &str)]) -> FleetCommand {
    let freeze = |(from, to): &(&str, &str)| (from.to_string(), to.to_string(), LinkState::Freeze);
    FleetCommand::Links(links.iter().map(freeze).collect())
}

#[test]
fn the_leader_is_cut_off_both_ways_or_made_deaf() {
    let mut scene = page("isolate-leader");
    scene.press(&["n"]);
    let both = [("n2", "n1"), ("n1", "n2"), ("n3", "n1"), ("n1", "n3")];
    assert_eq!(commands(&scene), [frozen(&both)]);
    let mut scene = page("deaf-leader");
    scene.press(&["n"]);
    assert_eq!(commands(&scene), [frozen(&[("n2", "n1"), ("n3", "n1")])]);
}

#[test]
fn a_page_runs_a_drill_waits_for_its_end_and_shows_its_report() {
    let mut scene = page("lock");
    let id = "lock-without-fencing";
    scene.press(&["d"]);
    assert_eq!(scene.model.screen, Screen::Learn, "nobody has told of the drills yet");
    let cards = vec![card("kill-leader", None), card(id, None)];
    scene.send(Msg::Fleet(FleetUpdate::Drills(cards)));
    scene.press(&["d"]);
    assert_eq!((scene.model.screen, scene.model.drills.cursor), (Screen::Drills, 1));
    scene.press(&["6", "n"]);
    let started = FleetCommand::StartDrill { id: id.into(), application: None, own_cluster: false };
    assert_eq!(commands(&scene), [started]);
    assert_eq!(scene.model.screen, Screen::Learn, "the page stays");
    scene.served(40, [true; 3]);
    assert_eq!(learn(&scene).stage, Stage::Act);
    scene.press(&["d"]);
    assert_eq!(scene.model.drills.shows, Shows::Run);
    let report = DrillReport {
        id: id.into(),
        verdict: "PASS".into(),
        why: "two believed".into(),
        ..DrillReport::default()
    };
    scene.send(Msg::Fleet(FleetUpdate::DrillEnded(Box::new(report))));
    scene.press(&["6"]);
    scene.served(40, [true; 3]);
    assert_eq!(learn(&scene).stage, Stage::Reveal);
    assert!(learn(&scene).told.ends_with("The drill says: PASS, two believed"));
    scene.press(&["d"]);
    assert_eq!(scene.model.drills.shows, Shows::Report);
    // The next step is about another drill, and has not seen it.
    scene.press(&["6", "n", "enter"]);
    scene.served(40, [true; 3]);
    assert_eq!(learn(&scene).stage, Stage::Act);
}

#[test]
fn a_drill_that_is_refused_leaves_the_deed_to_be_done() {
    let mut scene = page("lock");
    let cards = vec![card("lock-without-fencing", Some("it needs nodes"))];
    scene.send(Msg::Fleet(FleetUpdate::Drills(cards)));
    scene.press(&["n"]);
    assert!(commands(&scene).is_empty() && !learn(&scene).acted);
}

#[test]
fn links_are_healed_before_a_page_begins() {
    let mut scene = page("one-of-three");
    let link = PeerLink {
        from: "n1".into(),
        to: "n2".into(),
        state: LinkState::Freeze,
        ..PeerLink::default()
    };
    scene.send(Msg::Fleet(FleetUpdate::Links(vec![link])));
    scene.press(&["n"]);
    assert_eq!(commands(&scene), [FleetCommand::Heal]);
}

#[test]
fn nothing_is_lost_before_the_snapshot_is_saved() {
    let mut scene = page("restore");
    scene.press(&["n"]);
    assert_eq!(commands(&scene), [FleetCommand::Backup]);
    scene.served(40, [true; 3]);
    assert_eq!(learn(&scene).stage, Stage::Act);
    let text = "saved a snapshot in /x.db".into();
    scene.send(Msg::Fleet(FleetUpdate::Event { node: "n1".into(), text }));
    scene.served(40, [true; 3]);
    assert_eq!(learn(&scene).stage, Stage::Reveal);
    scene.press(&["n", "enter", "n"]);
    assert_eq!(commands(&scene), [FleetCommand::LoseAll]);
}

#[test]
fn a_refused_deed_can_be_tried_again() {
    let mut scene = Scene::course();
    scene.press(&["enter", "n"]);
    scene.send(Msg::Fleet(FleetUpdate::CommandFailed("no".into())));
    scene.press(&["n"]);
    assert_eq!(commands(&scene), [FleetCommand::Kill("follower".into())]);
}

#[test]
fn the_one_that_is_replaced_is_the_dead_one() {
    let mut scene = Scene::course();
    scene.press(&["right", "right", "right", "n"]);
    scene.fleet(&[UP, DEAD, UP]).report(2, Err(refused())).served(30, [true; 3]);
    assert_eq!(learn(&scene).stage, Stage::Reveal);
    scene.press(&["n", "down", "enter", "n"]);
    assert_eq!(commands(&scene), [FleetCommand::Replace("n2".into())]);
}

#[test]
fn without_a_course_there_is_no_screen_for_it() {
    let mut scene = Scene::local(3);
    scene.press(&["6"]);
    assert_eq!(scene.model.screen, Screen::Cluster);
    assert!(scene.model.screens().all(|screen| screen != Screen::Learn));
}

#[test]
fn a_course_goes_on_where_it_was_left() {
    let done = vec!["one-of-three".to_owned(), "the-leader".to_owned()];
    let learn = Learn::new(crate::lab::course::builtin(), done);
    assert_eq!(learn.current().map(|page| page.id.as_str()), Some("two-of-three"));
}

#[test]
fn faults_and_leaders_become_bands_of_the_picture() {
    let mut scene = Scene::course();
    scene.fleet(&[DEAD, UP, UP]).report(1, Err(refused())).up(2, 0, 4).up(3, 2, 4).up(2, 2, 4);
    scene.served(10, [true; 3]);
    scene.fleet(&[UP; 3]).up(1, 2, 4).served(10, [true; 3]);
    let timeline = learn(&scene).timeline();
    let band = timeline.bands.first().expect("a band");
    assert_eq!((band.label.as_str(), band.from_ms, band.to_ms), ("n1 down", 3_000, Some(4_000)));
    let leaders: Vec<(&str, u64)> =
        timeline.leaders.iter().map(|leader| (leader.name.as_str(), leader.term)).collect();
    assert!(leaders.ends_with(&[("n1", 3), ("", 0), ("n2", 4)]), "{leaders:?}");
}
