//! The key screen as somebody uses it for long: what is shown stays true, and all of it can
//! be reached.

use crate::effect::Effect;
use crate::model::browser::RowKind;
use crate::msg::{Change, Child, Failure, FailureKind, Msg, Reply};
use crate::scene::*;
use crate::update::palette;

fn counted(scene: &mut Scene, keys: i64) {
    let asked = scene.model.keys.pane.count_waiting.expect("a count under way");
    scene.send(Msg::Reply(asked, Ok(Reply::Count { count: keys })));
}

fn cursor(scene: &Scene) -> usize {
    scene.model.keys.cursor
}

#[test]
fn a_directory_is_counted_again_when_keys_come_and_go_but_once_a_round() {
    let mut scene = Scene::remote(3, true);
    scene.keys();
    counted(&mut scene, 3);
    let generation = scene.model.keys.generation;
    for revision in 1_201..1_300 {
        let meta = key(&format!("/app/{revision}"), revision);
        let changes = vec![Change { meta, deleted: false }];
        scene.send(Msg::Changes { generation, revision, changes });
        assert!(scene.effects.iter().all(|effect| count(effect).is_none()));
    }
    scene.round();
    counted(&mut scene, 102);
    assert_eq!(scene.model.keys.pane.count, Some(102));
    scene.round();
    assert!(scene.effects.iter().all(|effect| count(effect).is_none()), "nothing changed");
}

#[test]
fn a_count_that_failed_is_asked_for_again() {
    let mut scene = Scene::remote(3, true);
    scene.keys();
    let asked = scene.model.keys.pane.count_waiting.expect("a count under way");
    scene.send(Msg::Reply(asked, Err(timeout())));
    scene.round();
    counted(&mut scene, 3);
    assert_eq!(scene.model.keys.pane.count, Some(3));
    assert_eq!(scene.model.keys.pane.failure, None);
}

#[test]
fn a_value_is_as_wide_as_the_pane_and_is_laid_out_again_when_that_changes() {
    let mut scene = Scene::remote(3, true);
    scene.keys().press(&["end"]);
    let value = "x".repeat(1_000);
    let found = Some((key("/version", 1_100), value.clone().into_bytes()));
    scene.answer(get, Ok(Reply::Value { revision: 1_200, found }));
    for width in [120, 80, 60, 200] {
        scene.send(Msg::Resize(width, 30));
        let pane = &scene.model.keys.pane;
        assert_eq!(pane.decoded.lines.concat(), value);
        assert!(pane.decoded.lines.iter().all(|line| line.len() <= pane.columns), "{width}");
    }
    // The end of it can be seen, also after there is more room.
    scene.press(&["tab", "end"]);
    assert!(scene.model.keys.pane.scroll > 0 || scene.model.keys.pane.decoded.lines.len() < 20);
    scene.send(Msg::Resize(60, 20)).press(&["end"]);
    assert!(scene.model.keys.pane.scroll > 0);
    scene.send(Msg::Resize(200, 60));
    assert_eq!(scene.model.keys.pane.scroll, 0, "all of it is in sight");
}

#[test]
fn to_the_right_is_into_a_directory_and_never_folds_it() {
    let mut scene = Scene::remote(3, true);
    scene.keys();
    let first = &scene.model.keys.rows[0].kind;
    assert!(matches!(first, RowKind::Directory { open: true, .. }), "{first:?}");
    scene.press(&["right"]);
    assert_eq!(cursor(&scene), 1);
    scene.press(&["right"]);
    let child = Child::Key(key("/app/a", 1_000));
    let listing = Reply::Listing { children: vec![child], next: None, revision: 1_200 };
    scene.answer(list, Ok(listing)).press(&["right"]);
    assert_eq!(cursor(&scene), 2);
    // Back out the same way.
    scene.press(&["left"]);
    assert_eq!(cursor(&scene), 1);
    scene.press(&["left", "right", "enter"]);
    let folded = &scene.model.keys.rows[1].kind;
    assert!(matches!(folded, RowKind::Directory { open: false, .. }), "enter folds: {folded:?}");
}

#[test]
fn what_cannot_be_seen_cannot_be_done_but_left() {
    let mut scene = Scene::local(3);
    scene.send(Msg::Resize(30, 8)).press(&["X", "y", "?"]);
    assert!(scene.model.overlay.is_none());
    assert!(!scene.effects.iter().any(|effect| matches!(effect, Effect::Fleet(..))));
    scene.press(&["ctrl-c", "ctrl-c"]);
    assert!(scene.effects.iter().any(|effect| matches!(effect, Effect::Quit(_))));
}

#[test]
fn who_is_told_nothing_of_the_members_reads_keys_from_the_cluster() {
    let mut scene = Scene::new(false, true);
    let denied = || Failure::new(FailureKind::Denied, "this user may not do that");
    scene.report(1, Err(denied())).press(&["2"]);
    let asks_the_cluster =
        |effect: &Effect| matches!(effect, Effect::List(_, wish) if !wish.serializable);
    assert!(scene.effects.iter().any(asks_the_cluster), "{:?}", scene.effects);
    scene.answer(list, Err(denied())).round();
    assert!(scene.effects.iter().any(asks_the_cluster), "and again: {:?}", scene.effects);
}

#[test]
fn a_command_without_a_match_says_what_its_word_is_used_with() {
    let scene = Scene::local(3);
    assert!(palette::matching(&scene.model, "kill n9").is_empty());
    assert_eq!(palette::advice(&scene.model, "kill n9"), "kill is used with: n1, n2, n3");
    let none = "no such command: an empty line lists all";
    for typed in ["frob", "ki", "", "  "] {
        assert_eq!(palette::advice(&scene.model, typed), none, "{typed:?}");
    }
}
