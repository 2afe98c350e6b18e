//! The reducer without terminal, network or clock.

use crate::action::Action;
use crate::effect::{Effect, Outcome, Write};
use crate::fleet::{FleetCommand, FleetState, FleetUpdate};
use crate::keymap::Mode;
use crate::model::browser::{Live, RowKind};
use crate::model::cluster::Role;
use crate::model::overlay::{Command, Overlay, Verb};
use crate::model::series::Sample;
use crate::msg::{
    Change, Child, Failure, FailureKind, MemberFacts, Msg, Reply, Report, ScanProgress, StatusFacts,
};
use crate::quorum::Health;
use crate::scene::*;
use crate::text;

fn feed(scene: &Scene) -> Vec<&str> {
    scene.model.cluster.events.iter().map(|event| event.text.as_str()).collect()
}

fn toast(scene: &Scene) -> &str {
    scene.model.toast.as_ref().map_or("", |toast| &toast.text)
}

fn shown(scene: &Scene) -> Vec<String> {
    let name = |kind: &RowKind| match kind {
        RowKind::Directory { prefix, .. } => text::escape(prefix),
        RowKind::Key(meta) => text::escape(&meta.key),
        RowKind::More { .. } => "more".to_owned(),
        RowKind::Failed { text, .. } => format!("failed: {text}"),
    };
    scene.model.keys.rows.iter().map(|row| name(&row.kind)).collect()
}

fn change(name: &str, revision: i64, deleted: bool) -> Change {
    Change { meta: key(name, revision), deleted }
}

fn changes(scene: &mut Scene, revision: i64, list: Vec<Change>) {
    let generation = scene.model.keys.generation;
    scene.send(Msg::Changes { generation, revision, changes: list });
}

#[test]
fn losing_the_leader_is_told_in_order_and_the_next_one_named() {
    let mut scene = Scene::local(3);
    scene.fleet(&[FleetState::Exited, FleetState::Running, FleetState::Running]);
    scene.report(1, Err(refused())).up(2, 0, 4).up(3, 2, 4).up(2, 2, 4);
    let feed = feed(&scene);
    let last: Vec<&str> = feed.iter().rev().take(3).rev().copied().collect();
    assert_eq!(
        last,
        [
            "no leader: 3 voters, quorum 2, 2 healthy: an election is under way",
            "leader n1 → n2, term 4",
            "at risk: 3 voters, quorum 2, 2 healthy: one more loss stops writes",
        ]
    );
    assert!(!feed.iter().any(|text| text.contains("stopped answering")), "the exit was reported");
}

#[test]
fn a_single_timeout_is_slow_and_two_are_silence() {
    let mut scene = Scene::remote(3, true);
    scene.report(3, Err(timeout()));
    assert_eq!(scene.model.cluster.health(), Health::Healthy);
    assert_eq!(scene.model.cluster.rows()[2].state_word(), "slow");
    scene.report(3, Err(timeout()));
    assert_eq!(scene.model.cluster.health(), Health::AtRisk);
    assert!(feed(&scene).iter().any(|text| text.starts_with("n3 stopped answering")));
    scene.up(3, 1, 3);
    assert_eq!(feed(&scene).iter().rev().nth(1), Some(&"n3 answers again"));
}

#[test]
fn a_new_member_has_its_nodes_name_before_the_list_tells_it() {
    let mut scene = Scene::local(3);
    scene.fleet(&[FleetState::Starting, FleetState::Running, FleetState::Running]);
    scene.report(1, Err(refused())).report(1, Err(refused()));
    let mut members: Vec<MemberFacts> = scene.model.cluster.members.clone();
    members[0] = MemberFacts { id: 0x77, learner: true, ..MemberFacts::default() };
    scene.send(Msg::Cluster(Report::Members { from: id(2), members }));
    scene.report(1, Ok(StatusFacts { member_id: 0x77, learner: true, ..status(1, 2, 4) }));
    assert!(feed(&scene).contains(&"n1 answers again"), "{:?}", feed(&scene));
    let names: Vec<String> = scene.model.cluster.rows().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
}

#[test]
fn a_member_that_is_cut_off_answers_and_counts_for_nothing() {
    let mut scene = Scene::remote(3, true);
    let healthy = |scene: &Scene| scene.model.cluster.voters().healthy;
    scene.up(3, 0, 3);
    assert_eq!(healthy(&scene), 3, "it may hear of the next leader in a moment");
    scene.round().up(3, 0, 3).round().up(3, 0, 3);
    assert_eq!((healthy(&scene), scene.model.cluster.health()), (2, Health::AtRisk));
    assert_eq!(feed(&scene).last().unwrap().split(':').next(), Some("at risk"));
    // Nobody knows a leader any more: all who answer may elect one.
    scene.up(1, 0, 3).up(2, 0, 3);
    assert_eq!((healthy(&scene), scene.model.cluster.health()), (3, Health::NoLeader));
    scene.up(1, 1, 4).up(2, 1, 4).up(3, 1, 4);
    assert_eq!(scene.model.cluster.health(), Health::Healthy);
    // It hears the leader, which does not hear it.
    let touch = |yes| Msg::Cluster(Report::InTouch { endpoint: url(3), yes });
    scene.send(touch(false));
    assert_eq!(healthy(&scene), 3, "one answer may be late");
    scene.send(touch(false));
    assert_eq!(healthy(&scene), 2);
    scene.send(touch(true));
    assert_eq!(scene.model.cluster.health(), Health::Healthy);
}

#[test]
fn members_found_later_do_not_raise_a_false_alarm() {
    let mut scene = Scene::new(false, true);
    scene.up(1, 1, 3).members(3).round();
    assert_eq!(scene.model.cluster.health(), Health::Unknown, "two were not asked yet");
    scene.up(2, 1, 3).up(3, 1, 3);
    assert!(
        !feed(&scene).iter().any(|text| text.contains("quorum") && !text.starts_with("healthy"))
    );
}

#[test]
fn a_leader_nobody_can_reach_any_more_is_no_leader() {
    let mut scene = Scene::local(3);
    // The followers have not noticed yet, but its process is gone.
    scene.fleet(&[FleetState::Exited, FleetState::Running, FleetState::Running]);
    assert_eq!(scene.model.cluster.leader(), None);
    assert_eq!(scene.model.cluster.rows()[0].role, Role::Unknown);
}

#[test]
fn members_are_asked_at_their_own_addresses_once() {
    let mut scene = Scene::new(false, true);
    assert_eq!(scene.effects, [Effect::Poll(vec![url(1)])]);
    scene.up(1, 1, 3).members(3);
    assert_eq!(scene.effects, [Effect::Poll(vec![url(1), url(2), url(3)])]);
    scene.members(3);
    assert_eq!(scene.effects, []);
}

#[test]
fn a_cluster_that_is_starting_is_not_called_broken() {
    let mut scene = Scene::new(true, false);
    scene.fleet(&[FleetState::Starting, FleetState::Starting, FleetState::Starting]);
    for node in 1..=3 {
        scene.report(node, Err(refused()));
    }
    scene.round();
    assert_eq!(scene.model.cluster.health(), Health::Unknown);
    scene.fleet(&[FleetState::Exited, FleetState::Exited, FleetState::Exited]);
    assert_eq!(scene.model.cluster.health(), Health::NoQuorum, "nobody is left to answer");
}

#[test]
fn log_files_are_followed_once_the_logs_are_shown_and_kept_in_step() {
    let mut scene = Scene::local(2);
    scene.press(&["3"]);
    let followed = |scene: &Scene| {
        scene.effects.iter().find_map(|effect| match effect {
            Effect::TailLogs(files) => Some(files.len()),
            _ => None,
        })
    };
    assert_eq!(followed(&scene), Some(2));
    scene.press(&["1", "3"]);
    assert_eq!(followed(&scene), None, "they are followed already");
    scene.fleet(&[FleetState::Running; 3]);
    assert_eq!(followed(&scene), Some(3));
}

#[test]
fn the_rate_of_writes_is_revisions_by_time_and_a_gap_when_unknown() {
    let mut scene = Scene::remote(1, true);
    let mut later = status(1, 1, 3);
    later.revision += 500;
    scene.report(1, Ok(later)).round();
    assert_eq!(scene.model.cluster.writes.last(), Some(Sample::Value(500.0)));
    scene.report(1, Err(refused())).round();
    assert_eq!(scene.model.cluster.writes.last(), Some(Sample::Gap));
    scene.up(1, 1, 3).round();
    assert_eq!(scene.model.cluster.writes.last(), Some(Sample::Gap), "no rate from one reading");
}

#[test]
fn the_member_list_of_a_follower_does_not_replace_the_leaders() {
    let mut scene = Scene::remote(3, true);
    scene.send(Msg::Cluster(Report::Members { from: id(2), members: Vec::new() }));
    assert_eq!(scene.model.cluster.members.len(), 3);
}

#[test]
fn killing_asks_with_cancel_in_focus_and_kills_when_told() {
    let mut scene = Scene::local(3);
    scene.press(&["X"]);
    assert_eq!(scene.effects, []);
    scene.press(&["enter"]);
    assert_eq!(scene.effects, [], "enter alone does no harm");
    scene.press(&["X", "right", "enter"]);
    assert_eq!(scene.effects, [Effect::Fleet(FleetCommand::Kill("n1".into()))]);
}

#[test]
fn p_pauses_with_a_question_and_resumes_without_one() {
    let mut scene = Scene::local(3);
    scene.press(&["p", "tab", "enter"]);
    assert_eq!(scene.effects, [Effect::Fleet(FleetCommand::Pause("n1".into()))]);
    scene.fleet(&[FleetState::Paused, FleetState::Running, FleetState::Running]).press(&["p"]);
    assert_eq!(scene.effects, [Effect::Fleet(FleetCommand::Resume("n1".into()))]);
}

#[test]
fn the_answer_is_checked_against_what_happened_meanwhile() {
    let mut scene = Scene::local(3);
    scene.press(&["X", "right"]);
    scene.fleet(&[FleetState::Exited, FleetState::Running, FleetState::Running]).press(&["enter"]);
    assert_eq!(scene.effects, []);
    assert_eq!(toast(&scene), "n1 is not running: it is exited");
}

#[test]
fn leadership_moves_through_the_leaders_endpoint() {
    let mut scene = Scene::remote(3, false);
    scene.press(&["down", "m", "right", "enter"]);
    let [Effect::MoveLeader { id: request, endpoint, target }] = scene.effects.as_slice() else {
        panic!("{:?}", scene.effects);
    };
    assert_eq!((endpoint, *target), (&url(1), id(2)));
    let request = *request;
    scene.send(Msg::Reply(request, Ok(Reply::Done)));
    assert_eq!(toast(&scene), "move leadership to n2: done");
    scene.press(&["up", "m"]);
    assert_eq!(toast(&scene), "n1 is the leader already");
}

#[test]
fn a_read_only_session_lets_no_write_through_from_anywhere() {
    let writes = [
        Effect::Write(1, Write::Delete { key: b"k".to_vec(), expect: 1 }),
        Effect::Write(1, Write::Put { key: b"k".to_vec(), value: Vec::new(), expect: 1 }),
        Effect::MoveLeader { id: 1, endpoint: url(1), target: 1 },
        Effect::Fleet(FleetCommand::Kill("n1".into())),
        Effect::Fleet(FleetCommand::DownAll),
    ];
    let mut scene = Scene::remote(3, true);
    let held = super::guard(&mut scene.model, writes.to_vec());
    assert_eq!(held, []);
    // And every command the palette can build, run without asking whether it may.
    scene.keys();
    let mut commands: Vec<Command> =
        super::palette::matching(&scene.model, "").into_iter().map(|entry| entry.command).collect();
    commands.extend(Verb::ALL.map(|verb| Command::MemberNow(verb, "n2".into())));
    commands.push(Command::DeleteNow(key("/version", 3)));
    for command in commands {
        let effects = super::run_command(&mut scene.model, command.clone());
        let through = super::guard(&mut scene.model, effects);
        assert!(!through.iter().any(Effect::writes), "{command:?}");
        scene.model.overlay = None;
    }
}

#[test]
fn what_needs_a_process_is_refused_on_a_remote_cluster_with_the_reason() {
    let mut scene = Scene::remote(3, false);
    for key in ["X", "x", "s", "r", "p", "R"] {
        scene.press(&[key]);
        assert!(toast(&scene).contains("only in a cluster started here"), "{key}");
        assert_eq!((&scene.model.overlay, scene.effects.len()), (&None, 0), "{key}");
    }
}

#[test]
fn quitting_a_local_cluster_leaves_it_running_unless_told() {
    let mut scene = Scene::local(3);
    scene.press(&["q", "enter"]);
    assert_eq!(scene.effects, [Effect::Quit(Outcome::Detached)]);
    let mut scene = Scene::local(3);
    scene.press(&["q", "right", "enter"]);
    assert_eq!(scene.effects, [Effect::Quit(Outcome::StopAll { purge: false })]);
    let mut scene = Scene::local(3);
    scene.press(&["q", "right", "right", "enter", "enter"]);
    assert_eq!(scene.effects, [], "deleting data takes a second, deliberate yes");
    scene.press(&["q", "right", "right", "enter", "right", "enter"]);
    assert_eq!(scene.effects, [Effect::Quit(Outcome::StopAll { purge: true })]);
    let mut scene = Scene::remote(3, true);
    scene.press(&["q"]);
    assert_eq!(scene.effects, [Effect::Quit(Outcome::Detached)]);
}

#[test]
fn ctrl_c_twice_leaves_from_anywhere() {
    let mut scene = Scene::local(3);
    scene.press(&["ctrl-c", "ctrl-c"]);
    assert_eq!(scene.effects, [Effect::Quit(Outcome::Detached)]);
}

#[test]
fn the_tree_unfolds_what_is_alone_and_reads_what_is_opened() {
    let mut scene = Scene::remote(3, true);
    scene.keys();
    assert_eq!(shown(&scene), ["/", "/app/", "/registry/", "/version"]);
    scene.press(&["down", "enter"]);
    let Some(Effect::List(_, query)) = scene.effects.first() else { panic!("a listing") };
    assert_eq!((query.prefix.as_slice(), query.revision), (&b"/app/"[..], 1_200), "pinned");
    let children = vec![Child::Key(key("/app/a", 5)), Child::Key(key("/app/b", 6))];
    scene.answer(list, Ok(Reply::Listing { children, next: None, revision: 1_300 }));
    assert_eq!(shown(&scene), ["/", "/app/", "/app/a", "/app/b", "/registry/", "/version"]);
    scene.press(&["left"]);
    assert_eq!(shown(&scene).len(), 4);
}

#[test]
fn changes_show_where_they_belong_and_late_ones_of_an_old_view_nowhere() {
    let mut scene = Scene::remote(3, true);
    scene.keys();
    changes(&mut scene, 1_201, vec![change("/new", 1_201, false), change("/app/x", 1_201, false)]);
    assert_eq!(shown(&scene), ["/", "/app/", "/new", "/registry/", "/version"]);
    changes(&mut scene, 1_202, vec![change("/version", 1_202, true)]);
    assert_eq!(shown(&scene), ["/", "/app/", "/new", "/registry/"]);
    let generation = scene.model.keys.generation;
    scene.press(&["ctrl-r"]);
    let late = vec![change("/late", 1_203, false)];
    scene.send(Msg::Changes { generation, revision: 1_203, changes: late });
    assert!(!shown(&scene).contains(&"/late".to_owned()));
}

#[test]
fn a_directory_goes_when_its_last_key_does_and_only_then() {
    let mut scene = Scene::remote(3, true);
    scene.keys();
    changes(&mut scene, 1_201, vec![change("/app/x", 1_201, true)]);
    scene.answer(count, Ok(Reply::Count { count: 1 }));
    assert!(shown(&scene).contains(&"/app/".to_owned()));
    changes(&mut scene, 1_202, vec![change("/app/y", 1_202, true)]);
    scene.answer(count, Ok(Reply::Count { count: 0 }));
    assert_eq!(shown(&scene), ["/", "/registry/", "/version"]);
}

#[test]
fn a_change_during_a_read_is_applied_to_the_page_that_missed_it() {
    let mut scene = Scene::remote(3, true);
    scene.keys().press(&["down", "enter"]);
    let request = scene.effects.iter().find_map(list).expect("a listing");
    changes(&mut scene, 1_201, vec![change("/app/b", 1_201, false), change("/app/a", 1_201, true)]);
    let children = vec![Child::Key(key("/app/a", 5))];
    scene.send(Msg::Reply(request, Ok(Reply::Listing { children, next: None, revision: 1_200 })));
    assert_eq!(shown(&scene), ["/", "/app/", "/app/b", "/registry/", "/version"]);
}

#[test]
fn pages_are_read_ahead_of_the_cursor_but_not_behind_it() {
    let mut scene = Scene::remote(3, true);
    scene.press(&["2"]);
    let page: Vec<Child> = (0..200).map(|i| Child::Key(key(&format!("k{i:03}"), 5))).collect();
    let next = Some(b"k199\0".to_vec());
    scene.answer(list, Ok(Reply::Listing { children: page, next, revision: 1_200 }));
    assert!(scene.effects.iter().find_map(list).is_none(), "the end is far away");
    scene.press(&["end"]);
    let Some(Effect::List(_, query)) = scene.effects.iter().find(|effect| list(effect).is_some())
    else {
        panic!("the next page")
    };
    assert_eq!((query.from.as_slice(), query.revision), (&b"k199\0"[..], 1_200));
    let page = vec![Child::Key(key("k200", 5)), Child::Key(key("k201", 5))];
    scene.answer(list, Ok(Reply::Listing { children: page, next: None, revision: 1_200 }));
    let current = scene.model.keys.current_key().map(|meta| meta.key.clone());
    assert_eq!(current, Some(b"k200".to_vec()), "the cursor is on the first of the new rows");
}

#[test]
fn a_compacted_view_is_read_anew() {
    let mut scene = Scene::remote(3, true);
    scene.keys().press(&["down", "enter"]);
    scene.answer(list, Err(Failure::new(FailureKind::Compacted, "compacted")));
    let fresh = scene.effects.iter().any(|effect| {
        matches!(effect, Effect::List(_, query) if query.revision == 0 && query.prefix.is_empty())
    });
    assert!(fresh, "{:?}", scene.effects);
}

#[test]
fn a_broken_watch_goes_on_from_where_it_was() {
    let mut scene = Scene::remote(3, true);
    scene.keys();
    changes(&mut scene, 1_250, vec![change("/new", 1_250, false)]);
    let generation = scene.model.keys.generation;
    scene.send(Msg::WatchLost { generation, compacted: false });
    assert_eq!(scene.model.keys.live, Live::Lost);
    scene.round();
    let again = scene.effects.iter().find_map(|effect| match effect {
        Effect::Watch { revision, .. } => Some(*revision),
        _ => None,
    });
    assert_eq!(again, Some(1_251));
}

#[test]
fn only_the_newest_read_of_the_value_counts() {
    let mut scene = Scene::remote(3, true);
    scene.keys();
    let counting = scene.model.keys.pane.count_waiting.expect("a count under way");
    scene.press(&["end"]);
    let reading = scene.effects.iter().find_map(get).expect("a read");
    scene.send(Msg::Reply(counting, Ok(Reply::Count { count: 3 })));
    assert_eq!(scene.model.keys.pane.count, None, "of a directory the cursor has left");
    let found = Some((key("/version", 1_100), b"v1".to_vec()));
    scene.send(Msg::Reply(reading, Ok(Reply::Value { revision: 1_200, found })));
    assert_eq!(scene.model.keys.pane.decoded.lines, ["v1"]);
    // An answer nobody waits for changes nothing.
    scene.send(Msg::Reply(9_999, Ok(Reply::Value { revision: 1, found: None })));
    assert!(!scene.model.keys.pane.gone);
}

fn editing() -> Scene {
    let mut scene = Scene::remote(3, false);
    scene.keys().press(&["end"]);
    let found = Some((key("/version", 1_100), b"v1".to_vec()));
    scene.answer(get, Ok(Reply::Value { revision: 1_200, found })).press(&["e"]);
    scene
}

#[test]
fn an_edit_is_a_compare_and_swap_on_the_revision_that_was_seen() {
    let mut scene = editing();
    scene.write("!").press(&["ctrl-s"]);
    let write = Write::Put { key: b"/version".to_vec(), value: b"v1!".to_vec(), expect: 1_100 };
    assert!(matches!(scene.effects.as_slice(), [Effect::Write(_, w)] if *w == write));
}

#[test]
fn a_conflict_keeps_the_text_and_shows_what_is_there() {
    let mut scene = editing();
    scene.write("!").press(&["ctrl-s"]);
    let theirs = Some((key("/version", 1_205), b"other".to_vec()));
    scene.answer(write, Ok(Reply::Conflict { current: theirs }));
    let Some(Overlay::Editor(editor)) = &scene.model.overlay else { panic!("still editing") };
    assert_eq!(editor.value.text(), "v1!");
    assert_eq!(editor.theirs, Some(vec!["other".to_owned()]));
    scene.press(&["ctrl-s"]);
    assert!(
        matches!(scene.effects.as_slice(), [Effect::Write(_, Write::Put { expect: 1_205, .. })]),
        "replacing the other version, knowingly"
    );
}

#[test]
fn a_write_without_an_answer_is_called_unknown() {
    let mut scene = editing();
    scene.press(&["ctrl-s"]).answer(write, Err(timeout()));
    let Some(Overlay::Editor(editor)) = &scene.model.overlay else { panic!("still editing") };
    assert!(editor.problem.as_ref().is_some_and(|text| text.contains("may or may not")));
}

#[test]
fn typed_text_is_not_lost_to_one_escape() {
    let mut scene = editing();
    scene.write("!").press(&["esc"]);
    assert!(scene.model.overlay.is_some());
    scene.press(&["esc"]);
    assert!(scene.model.overlay.is_none());
}

#[test]
fn a_delete_that_came_too_late_deletes_nothing() {
    let mut scene = editing();
    scene.press(&["esc", "d", "right", "enter"]);
    assert!(matches!(
        scene.effects.as_slice(),
        [Effect::Write(_, Write::Delete { expect: 1_100, .. })]
    ));
    let current = Some((key("/version", 1_300), b"x".to_vec()));
    scene.answer(write, Ok(Reply::Conflict { current }));
    assert!(toast(&scene).starts_with("not deleted"), "{}", toast(&scene));
}

#[test]
fn keys_that_are_not_text_can_be_typed_and_mistakes_are_named() {
    let mut scene = Scene::remote(3, false);
    scene.keys().press(&["n", "ctrl-u"]).write("/bin/\\xff\\x00").press(&["enter"]).write("v");
    scene.press(&["ctrl-s"]);
    let key = b"/bin/\xff\0".to_vec();
    assert!(
        matches!(scene.effects.as_slice(), [Effect::Write(_, Write::Put { key: k, expect: 0, .. })] if *k == key)
    );
    let mut scene = Scene::remote(3, false);
    scene.keys().press(&["n", "ctrl-u"]).write("/bad\\q").press(&["ctrl-s"]);
    let Some(Overlay::Editor(editor)) = &scene.model.overlay else { panic!("still editing") };
    assert!(editor.problem.as_ref().is_some_and(|text| text.starts_with("key:")));
}

#[test]
fn a_search_shows_its_progress_and_drops_that_of_the_one_before() {
    let mut scene = Scene::remote(3, true);
    scene.keys().press(&["/"]).write("nginx").press(&["enter"]);
    let Some(Effect::Scan { generation, needle, .. }) = scene.effects.first().cloned() else {
        panic!("a scan")
    };
    assert_eq!(needle, "nginx");
    let progress = |name: &str| ScanProgress {
        scanned: 10,
        total: 20,
        matches: vec![key(name, 3)],
        ..ScanProgress::default()
    };
    scene.send(Msg::ScanProgress { generation, progress: progress("/a/nginx") });
    scene.send(Msg::ScanProgress { generation: 1, progress: progress("/old") });
    assert_eq!(shown(&scene), ["/a/nginx"]);
    scene.press(&["esc"]);
    assert!(scene.effects.contains(&Effect::CancelScan));
    assert_eq!(shown(&scene).len(), 4);
}

#[test]
fn without_a_leader_keys_are_read_from_one_member_and_again_when_there_is_one() {
    let mut scene = Scene::remote(3, true);
    scene.report(2, Err(refused())).report(3, Err(refused())).up(1, 0, 4).press(&["2"]);
    let Some(Effect::List(_, query)) = scene.effects.iter().find(|e| list(e).is_some()) else {
        panic!("a listing")
    };
    assert!(query.serializable);
    scene.answer(list, Ok(Reply::Listing { children: Vec::new(), next: None, revision: 9 }));
    assert!(scene.model.keys.local_view);
    scene.up(2, 1, 5).up(1, 1, 5).round();
    let again = scene.effects.iter().find(|effect| list(effect).is_some());
    assert!(matches!(again, Some(Effect::List(_, query)) if !query.serializable));
}

#[test]
fn the_palette_runs_verbs_on_members_and_says_why_not() {
    let mut scene = Scene::local(3);
    scene.press(&[":"]).write("kill n2").press(&["enter"]);
    assert!(matches!(scene.model.overlay, Some(Overlay::Confirm(_))));
    scene.press(&["right", "enter"]);
    assert_eq!(scene.effects, [Effect::Fleet(FleetCommand::Kill("n2".into()))]);
    scene.press(&[":"]).write("kill n2").press(&["enter", "n"]);
    assert_eq!((&scene.model.overlay, &scene.effects[..]), (&None, &[][..]));
    scene.press(&[":"]).write("kill n2").press(&["enter", "y"]);
    assert_eq!(scene.effects, [Effect::Fleet(FleetCommand::Kill("n2".into()))]);
    scene.press(&[":"]).write("start n2").press(&["enter"]);
    assert_eq!(toast(&scene), "n2 is running already");
}

#[test]
fn the_palette_takes_arguments() {
    let mut scene = Scene::remote(3, true);
    scene.press(&[":"]).write("keys /app/").press(&["enter"]);
    assert_eq!(scene.model.keys.root, b"/app/");
    let asked = scene.effects.iter().find(|effect| list(effect).is_some());
    assert!(matches!(asked, Some(Effect::List(_, query)) if query.prefix == b"/app/"));
}

#[test]
fn replies_to_an_abandoned_view_are_dropped() {
    let mut scene = Scene::remote(3, true);
    scene.press(&["2"]);
    let first = scene.effects.iter().find_map(list).expect("a listing");
    scene.press(&["ctrl-r"]);
    let children = vec![Child::Key(key("/stale", 1))];
    scene.send(Msg::Reply(first, Ok(Reply::Listing { children, next: None, revision: 1 })));
    assert_eq!(shown(&scene), [] as [&str; 0]);
}

#[test]
fn a_refused_command_of_the_supervisor_is_said() {
    let mut scene = Scene::local(3);
    scene.send(Msg::Fleet(FleetUpdate::CommandFailed("n2 is being replaced".into())));
    assert_eq!(toast(&scene), "n2 is being replaced");
}

#[test]
fn every_action_of_every_mode_is_survived_in_every_session() {
    // No panic, whatever is pressed wherever, with nothing loaded and with something.
    for (local, loaded) in [(true, false), (true, true), (false, false), (false, true)] {
        for screen in ["1", "2", "3"] {
            for mode in [Mode::Global, Mode::Cluster, Mode::Keys, Mode::Logs] {
                let mut scene = match (local, loaded) {
                    (true, true) => Scene::local(3),
                    (false, true) => Scene::remote(3, false),
                    _ => Scene::new(local, false),
                };
                let keys = scene.model.keymap.listing(mode);
                for (names, action) in keys {
                    if matches!(action, Action::Quit | Action::Interrupt) {
                        continue;
                    }
                    scene.model.overlay = None;
                    scene.press(&[screen]);
                    scene.send(Msg::Key(names[0]));
                    scene.press(&["down", "up", "tab", "enter"]);
                }
            }
        }
    }
}
