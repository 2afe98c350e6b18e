//! Golden screens: what is drawn, and in which role, compared with files in `testscripts/`.
//!
//! A golden holds the text and below it the style map: one letter a cell for the role it was
//! drawn in. `UPDATE_GOLDENS=1` writes them anew; read the difference before committing it.

use crate::fleet::{FleetState, FleetUpdate};
use crate::lab::application::{ApplicationPicture, ClientLine, ClientState};
use crate::lab::drill::{DrillProgress, DrillReport, DrillStep, StepState};
use crate::lab::link::LinkState;
use crate::lab::timeline::{Band, Cell, Lane, Leader, Timeline};
use crate::msg::{Alarm, Change, Child, KeyMeta, MemberFacts, Msg, Reply, Report};
use crate::runtime::plain_text;
use crate::scene::*;
use crate::theme::{ROLES, Theme};
use crate::update::lab_tests::{drilled, elsewhere, linked, links};
use crate::view;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use std::path::PathBuf;

const SIZES: [(u16, u16); 3] = [(120, 36), (80, 24), (60, 20)];

fn draw(scene: &Scene, theme: &Theme) -> Buffer {
    let (width, height) = scene.model.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a backend");
    terminal
        .draw(|frame| {
            view::draw(&scene.model, theme, frame);
        })
        .expect("a frame");
    terminal.backend().buffer().clone()
}

fn style_map(buffer: &Buffer) -> String {
    let letter = |x: u16, y: u16| match buffer[(x, y)].fg {
        Color::Indexed(n) if n >= 16 => ROLES.get(usize::from(n) - 16).map_or('?', |role| role.2),
        _ => ' ',
    };
    let area = buffer.area;
    let rows = (0..area.height).map(|y| (0..area.width).map(|x| letter(x, y)).collect::<String>());
    rows.map(|row| row.trim_end_matches('.').to_owned() + "\n").collect()
}

/// Compares the scene, drawn at every size, with its golden files.
fn check(name: &str, scene: &mut Scene) {
    for (width, height) in SIZES {
        scene.send(Msg::Resize(width, height));
        let buffer = draw(scene, &Theme::distinct());
        let drawn = format!("{}\n{}", plain_text(&buffer), style_map(&buffer));
        let file = format!("testscripts/{name}-{width}x{height}.txt");
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(&path, &drawn).expect("written");
            continue;
        }
        let golden = std::fs::read_to_string(&path)
            .unwrap_or_else(|_| panic!("no golden {}: UPDATE_GOLDENS=1 writes it", path.display()));
        if drawn != golden {
            let line = drawn.lines().zip(golden.lines()).position(|(a, b)| a != b).unwrap_or(0);
            panic!(
                "{name} {width}x{height} differs at line {}:\n  drawn  {:?}\n  golden {:?}\n\n{drawn}",
                line + 1,
                drawn.lines().nth(line),
                golden.lines().nth(line),
            );
        }
    }
}

/// A few seconds of history, so that the charts have something to show.
fn with_history(mut scene: Scene) -> Scene {
    for second in 0..40i64 {
        for node in 1..=3 {
            let mut facts = status(node, 1, 3);
            facts.revision += second * second * 3;
            scene.report(node, Ok(facts));
        }
        scene.round();
    }
    scene
}

#[test]
fn cluster_healthy() {
    check("cluster-healthy", &mut with_history(Scene::local(3)));
}

#[test]
fn cluster_leader_down() {
    let mut scene = with_history(Scene::local(3));
    scene.fleet(&[FleetState::Exited, FleetState::Running, FleetState::Running]);
    scene.report(1, Err(refused())).up(2, 0, 4).up(3, 2, 4).up(2, 2, 4).round();
    check("cluster-leader-down", &mut scene);
}

#[test]
fn cluster_no_quorum() {
    let mut scene = with_history(Scene::local(3));
    scene.fleet(&[FleetState::Exited, FleetState::Paused, FleetState::Running]);
    scene.report(1, Err(refused())).report(2, Err(timeout())).report(2, Err(timeout()));
    scene.up(3, 0, 4);
    scene.send(Msg::Cluster(Report::Probe { linearizable: true, outcome: Err(timeout()) }));
    scene.send(Msg::Cluster(Report::Round));
    check("cluster-no-quorum", &mut scene);
}

#[test]
fn cluster_learner_and_alarm() {
    let mut scene = Scene::remote(3, false);
    let member = |node: usize| MemberFacts {
        id: id(node),
        name: if node == 4 { String::new() } else { format!("etcd-{node}") },
        client_urls: if node == 4 { Vec::new() } else { vec![url(node)] },
        learner: node == 3,
        ..MemberFacts::default()
    };
    let members = (1..=4).map(member).collect();
    scene.send(Msg::Cluster(Report::Members { from: id(1), members }));
    let alarm = Alarm { member: id(2), kind: "NOSPACE".into() };
    scene.send(Msg::Cluster(Report::Alarms(vec![alarm])));
    check("cluster-learner-and-alarm", &mut scene);
}

#[test]
fn cluster_unreachable() {
    let mut scene = Scene::new(false, true);
    scene.report(1, Err(refused())).send(Msg::Cluster(Report::Round));
    check("cluster-unreachable", &mut scene);
}

fn keys_scene() -> Scene {
    let mut scene = Scene::remote(3, false);
    scene.keys().press(&["down", "enter"]);
    let raw = KeyMeta { key: b"/app/\xff\x01".to_vec(), ..key("", 7) };
    let config = KeyMeta { lease: 0x77, ..key("/app/config", 1_150) };
    let children = vec![Child::Key(config.clone()), Child::Key(raw)];
    scene.answer(list, Ok(Reply::Listing { children, next: None, revision: 1_200 }));
    scene.press(&["down"]);
    let value = br#"{"replicas":3,"image":"nginx:1.27","env":["A=1","B=2"]}"#.to_vec();
    scene.answer(get, Ok(Reply::Value { revision: 1_200, found: Some((config, value)) }));
    let lease = scene.model.keys.pane.lease_waiting.expect("a lease read");
    scene.send(Msg::Reply(lease, Ok(Reply::Lease { ttl_s: 42, granted_s: 300 })));
    scene
}

#[test]
fn keys_tree() {
    let mut scene = keys_scene();
    let generation = scene.model.keys.generation;
    let changes = vec![Change { meta: key("/fresh", 1_201), deleted: false }];
    scene.send(Msg::Changes { generation, revision: 1_201, changes });
    check("keys-tree", &mut scene);
}

#[test]
fn keys_conflict() {
    let mut scene = keys_scene();
    scene.press(&["e", "ctrl-s"]);
    let current = Some((key("/app/config", 1_300), b"theirs".to_vec()));
    scene.answer(write, Ok(Reply::Conflict { current }));
    check("keys-conflict", &mut scene);
}

#[test]
fn confirm() {
    let mut scene = with_history(Scene::local(3));
    scene.fleet(&[FleetState::Running, FleetState::Running, FleetState::Exited]);
    scene.report(3, Err(refused())).press(&["X"]);
    check("confirm", &mut scene);
}

#[test]
fn quit() {
    let mut scene = Scene::local(3);
    scene.press(&["q"]);
    check("quit", &mut scene);
}

#[test]
fn palette() {
    let mut scene = Scene::remote(3, true);
    scene.press(&[":"]).write("n2");
    check("palette", &mut scene);
}

#[test]
fn help() {
    let mut scene = Scene::local(3);
    scene.press(&["?"]);
    check("help", &mut scene);
}

#[test]
fn logs() {
    let mut scene = Scene::local(2);
    scene.press(&["3"]);
    for (node, second) in [("n1", 1), ("n2", 3), ("n1", 2)] {
        let line = format!(
            r#"{{"level":"{}","ts":"2026-01-02T03:04:0{second}.500Z","msg":"message {second}","peer":"n9"}}"#,
            if second == 3 { "warn" } else { "info" }
        );
        scene.send(Msg::Log { node: node.into(), lines: vec![line] });
    }
    check("logs", &mut scene);
}

/// Two of three are dead, and it has been seen.
fn learnt() -> Scene {
    let mut scene = Scene::course();
    scene.press(&["right", "right", "down", "enter"]);
    scene.served(5, [true; 3]);
    scene.fleet(&[FleetState::Exited, FleetState::Exited, FleetState::Running]);
    scene.report(1, Err(refused())).report(2, Err(refused())).up(3, 0, 3);
    scene.served(40, [false, false, true]);
    scene
}

#[test]
fn learn_question() {
    check("learn-question", &mut Scene::course());
}

#[test]
fn learn_explained() {
    check("learn-explained", &mut learnt());
}

/// A drill half a second into an outage of writes.
fn drilling() -> Scene {
    let mut scene = drilled();
    scene.press(&["enter", "right", "enter"]);
    let step = |text: &str, state, started_ms| DrillStep {
        text: text.into(),
        state,
        started_ms,
        said: String::new(),
    };
    let cells = |bad: Cell| [vec![Cell::Ok; 20], vec![bad; 5]].concat();
    let lane = |name: &str, bad| Lane { name: name.into(), cells: cells(bad) };
    let leader = |from_ms, name: &str, term| Leader { from_ms, name: name.into(), term };
    let progress = DrillProgress {
        id: "kill-leader".into(),
        title: "About kill-leader".into(),
        own_cluster: None,
        phase: "runs".into(),
        elapsed_ms: 2_500,
        steps: vec![
            step("kill leader", StepState::Done, Some(2_000)),
            step("await leader within 10s", StepState::Running, None),
        ],
        timeline: Timeline {
            cell_ms: 100,
            from_ms: 0,
            lanes: vec![
                lane("put", Cell::Unknown),
                lane("linearizable get", Cell::Refused),
                lane("serializable get n2", Cell::Ok),
            ],
            bands: vec![Band { from_ms: 2_000, to_ms: None, label: "kill leader".into() }],
            leaders: vec![leader(0, "n1", 3), leader(2_100, "", 3)],
        },
        feed: vec![(2_001, "n1 killed on request (SIGKILL)".into())],
        application: None,
    };
    scene.send(Msg::Fleet(FleetUpdate::Drill(Box::new(progress))));
    scene
}

#[test]
fn drills_catalogue() {
    check("drills-catalogue", &mut drilled());
}

#[test]
fn drill_preflight() {
    let mut scene = drilled();
    scene.press(&["enter"]);
    check("drill-preflight", &mut scene);
}

#[test]
fn drill_elsewhere() {
    let mut scene = drilled();
    scene.send(Msg::Fleet(FleetUpdate::Drills(vec![elsewhere()])));
    check("drill-elsewhere", &mut scene);
    scene.press(&["enter"]);
    check("drill-elsewhere-preflight", &mut scene);
}

#[test]
fn drill_running_elsewhere() {
    let mut scene = drilling();
    let progress = scene.model.drills.progress.clone().expect("a drill runs");
    let own_cluster = Some("drill-kill-leader-1a2b3c4d".to_owned());
    let progress = DrillProgress { own_cluster, ..progress };
    scene.send(Msg::Fleet(FleetUpdate::Drill(Box::new(progress))));
    check("drill-running-elsewhere", &mut scene);
}

#[test]
fn drill_running() {
    check("drill-running", &mut drilling());
}

/// Two who believe that they have the lock.
fn applied() -> Scene {
    let mut scene = drilling();
    let client = |name: &str, state, active, text: &str| ClientLine {
        name: name.into(),
        state,
        active,
        text: text.into(),
    };
    let application = ApplicationPicture {
        name: "fenced-lock".into(),
        clients: vec![
            client("a", ClientState::Paused, true, "has the lock, token 57"),
            client("b", ClientState::Running, true, "has the lock, token 61"),
            client("c", ClientState::Crashed, false, ""),
        ],
        outside: Some("resource: 12, by b with token 61; refuses tokens below 61".into()),
        counts: "holders 2, writes 12, stale-writes 0, refused-writes 0, lost-updates 0".into(),
        broken: None,
    };
    let progress = scene.model.drills.progress.clone().expect("a drill runs");
    let progress = DrillProgress { application: Some(application), ..progress };
    scene.send(Msg::Fleet(FleetUpdate::Drill(Box::new(progress))));
    scene
}

#[test]
fn drill_application() {
    check("drill-application", &mut applied());
}

#[test]
fn drill_report() {
    let mut scene = drilling();
    let report = DrillReport {
        id: "kill-leader".into(),
        verdict: "PASS".into(),
        why: "all expectations hold".into(),
        text: "# PASS: About kill-leader\n\n| what | expected |\n|--|--|\n| put | an outage |\n"
            .into(),
        ..DrillReport::default()
    };
    let many = DrillStep { text: "wait 1s".into(), ..DrillStep::default() };
    let progress = scene.model.drills.progress.clone().expect("a drill runs");
    let done = DrillStep { state: StepState::Done, started_ms: Some(2_000), ..many };
    let progress = DrillProgress { steps: vec![done; 20], ..progress };
    scene.send(Msg::Fleet(FleetUpdate::Drill(Box::new(progress))));
    scene.send(Msg::Fleet(FleetUpdate::DrillEnded(Box::new(report))));
    check("drill-verdict", &mut scene);
    scene.press(&["enter"]);
    check("drill-report", &mut scene);
}

#[test]
fn links_faulty() {
    let mut scene = linked(3);
    let delay = LinkState::Delay { ms: 50, jitter_ms: 10 };
    links(&mut scene, 3, &[(1, 2, LinkState::Freeze), (3, 1, delay)]);
    scene.press(&["right"]);
    check("links-faulty", &mut scene);
}

#[test]
fn links_confirm() {
    let mut scene = linked(3);
    scene.press(&["i"]);
    check("links-confirm", &mut scene);
}

#[test]
fn every_screen_can_be_drawn_at_any_size() {
    let mut scenes = vec![with_history(Scene::local(7)), keys_scene(), learnt()];
    scenes.extend([linked(9), linked(2), drilled(), drilling(), applied()]);
    for overlay in ["X", "?", ":", "q"] {
        let mut scene = Scene::local(3);
        scene.press(&[overlay]);
        scenes.push(scene);
    }
    let mut editing = keys_scene();
    editing.press(&["e"]);
    scenes.push(editing);
    let theme = Theme::named("ansi").expect("a theme");
    for scene in &mut scenes {
        for width in (0..=130).step_by(9) {
            for height in (0..=45).step_by(5) {
                scene.send(Msg::Resize(width, height));
                draw(scene, &theme);
            }
        }
    }
}
