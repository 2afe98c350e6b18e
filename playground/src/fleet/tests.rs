//! The fleet with virtual time. Scripts in words: a line does something, the effects are
//! listed as text; random histories are checked against the invariants.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    probe::MemberInfo,
    spec::FleetSpec,
    view::{Health, Role},
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fleet(count: usize) -> Fleet {
    let mut fleet = Fleet::default();
    for number in 1..=count {
        fleet.enroll(Identity {
            name: format!("n{number}"),
            client_url: String::new(),
            peer_url: String::new(),
            log_path: String::new(),
            member_id: None,
        });
    }
    fleet
}

fn names(names: &str) -> Vec<String> {
    names.split(',').map(str::to_owned).collect()
}

/// What node `number` reports when node `leader` leads `voters` members in `term`.
fn report(number: u64, leader: u64, term: u64, voters: u64) -> FleetEvent {
    let members = (1..=voters).map(|id| MemberInfo { id, ..MemberInfo::default() }).collect();
    FleetEvent::Probed(Some(Box::new(Report {
        member_id: number,
        leader,
        term,
        members,
        ..Report::default()
    })))
}

fn died() -> FleetEvent {
    FleetEvent::Exited(Diagnosis { removed: false, why: "died".into() })
}

/// Effects without notes and timers, as text.
fn words(effects: &[FleetEffect]) -> Vec<String> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            FleetEffect::Spawn { node, epoch } => Some(format!("spawn {node}#{epoch}")),
            FleetEffect::Signal { node, signal } => Some(format!("{signal:?} {node}")),
            FleetEffect::Timer { .. } | FleetEffect::Note { .. } => None,
        })
        .collect()
}

/// A cluster in which every node runs and `leader` leads.
fn running(count: u64, leader: u64) -> Fleet {
    let mut fleet = fleet(count as usize);
    let everyone = fleet.names();
    fleet.order(Order::Start, &everyone, at(0)).unwrap();
    for number in 1..=count {
        let name = format!("n{number}");
        fleet.step(&name, 1, FleetEvent::Spawned { pid: 100 + number as u32 }, at(0));
        fleet.step(&name, 1, report(number, leader, 5, count), at(1));
    }
    fleet
}

fn state(fleet: &Fleet, name: &str) -> NodeState {
    fleet.state(name).unwrap().0
}

#[test]
fn a_node_runs_once_it_serves_under_a_leader() {
    let mut fleet = fleet(3);
    let effects = fleet.order(Order::Start, &names("n1"), at(0)).unwrap();
    assert_eq!(words(&effects), ["spawn n1#1"]);
    fleet.step("n1", 1, FleetEvent::Spawned { pid: 7 }, at(0));
    fleet.step("n1", 1, report(1, 0, 1, 3), at(1));
    assert_eq!(state(&fleet, "n1"), NodeState::Starting);
    fleet.step("n1", 1, report(1, 2, 2, 3), at(2));
    assert_eq!(state(&fleet, "n1"), NodeState::Running);
    // Starting what runs does nothing.
    assert!(words(&fleet.order(Order::Start, &names("n1"), at(3)).unwrap()).is_empty());
}

#[test]
fn a_dead_node_stays_dead_until_it_is_started() {
    let mut fleet = running(3, 1);
    let effects = fleet.step("n2", 1, died(), at(5));
    assert!(words(&effects).is_empty());
    assert_eq!(fleet.state("n2").unwrap(), (NodeState::Exited, Some("died")));
    let effects = fleet.order(Order::Start, &names("n2"), at(9)).unwrap();
    assert_eq!(words(&effects), ["spawn n2#2"]);
    assert_eq!(fleet.state("n2").unwrap(), (NodeState::Starting, None));
}

#[test]
fn late_facts_about_an_older_process_change_nothing() {
    let mut fleet = running(3, 1);
    fleet.step("n2", 1, died(), at(5));
    fleet.order(Order::Start, &names("n2"), at(6)).unwrap();
    fleet.step("n2", 1, died(), at(7));
    fleet.step("n2", 1, report(2, 1, 5, 3), at(7));
    assert_eq!(state(&fleet, "n2"), NodeState::Starting);
    assert!(fleet.step("n9", 1, died(), at(7)).is_empty());
}

#[test]
fn everything_stops_in_turn_with_the_leader_last() {
    let mut fleet = running(3, 2);
    assert_eq!(words(&fleet.close(false, at(10))), ["Term n1"]);
    assert_eq!(words(&fleet.step("n1", 1, died(), at(10))), ["Term n3"]);
    assert_eq!(words(&fleet.step("n3", 1, died(), at(10))), ["Term n2"]);
    assert!(!fleet.is_closed());
    fleet.step("n2", 1, died(), at(11));
    assert!(fleet.is_closed());
    assert_eq!(state(&fleet, "n2"), NodeState::Stopped);
    assert!(fleet.order(Order::Start, &names("n1"), at(12)).unwrap_err().contains("going down"));
}

#[test]
fn closing_at_once_kills_at_once() {
    let mut fleet = running(3, 2);
    assert_eq!(words(&fleet.close(true, at(10))), ["Kill n1", "Kill n2", "Kill n3"]);
}

#[test]
fn a_stop_that_takes_too_long_becomes_a_kill() {
    let mut fleet = running(3, 1);
    let effects = fleet.order(Order::Stop, &names("n3"), at(10)).unwrap();
    let timer = FleetEffect::Timer { node: "n3".into(), epoch: 1, at: at(10) + STOP_GRACE };
    assert!(effects.contains(&timer));
    let effects = fleet.step("n3", 1, FleetEvent::TimerFired, at(10) + STOP_GRACE);
    assert_eq!(words(&effects), ["Kill n3"]);
    fleet.step("n3", 1, died(), at(21));
    assert_eq!(state(&fleet, "n3"), NodeState::Stopped);
    // The timer of a stop that went well finds nothing to kill.
    assert!(words(&fleet.step("n3", 1, FleetEvent::TimerFired, at(30))).is_empty());
}

#[test]
fn a_paused_node_is_continued_so_that_it_can_stop() {
    let mut fleet = running(3, 1);
    assert_eq!(words(&fleet.order(Order::Pause, &names("n2"), at(2)).unwrap()), ["Stop n2"]);
    assert_eq!(state(&fleet, "n2"), NodeState::Paused);
    let again = fleet.order(Order::Pause, &names("n2"), at(2)).unwrap_err();
    assert_eq!(again, "n2 is already paused");
    let effects = fleet.order(Order::Stop, &names("n2"), at(3)).unwrap();
    assert_eq!(words(&effects), ["Term n2", "Continue n2"]);
}

#[test]
fn a_resumed_node_is_what_it_was() {
    let mut fleet = running(3, 1);
    fleet.order(Order::Pause, &names("n2"), at(2)).unwrap();
    // An answer sent before the pause arrives after it.
    fleet.step("n2", 1, report(2, 1, 5, 3), at(2));
    assert_eq!(fleet.voters(), (3, 2));
    assert_eq!(words(&fleet.order(Order::Resume, &names("n2"), at(4)).unwrap()), ["Continue n2"]);
    assert_eq!(state(&fleet, "n2"), NodeState::Running);
    assert!(fleet.order(Order::Resume, &names("n2"), at(5)).unwrap_err().contains("not paused"));
}

#[test]
fn a_rolling_restart_waits_for_each_node_to_serve_again() {
    let mut fleet = running(3, 1);
    let everyone = fleet.names();
    assert_eq!(words(&fleet.order(Order::Restart, &everyone, at(2)).unwrap()), ["Term n2"]);
    assert_eq!(words(&fleet.step("n2", 1, died(), at(3))), ["spawn n2#2"]);
    assert!(words(&fleet.step("n2", 2, FleetEvent::Spawned { pid: 9 }, at(3))).is_empty());
    assert_eq!(words(&fleet.step("n2", 2, report(2, 1, 5, 3), at(4))), ["Term n3"]);
    assert_eq!(words(&fleet.step("n3", 1, died(), at(5))), ["spawn n3#2"]);
    // One that never comes back does not hold up the others for ever.
    let late = at(5) + READY_GRACE;
    assert_eq!(words(&fleet.step("n3", 2, FleetEvent::TimerFired, late)), ["Term n1"]);
    assert_eq!(words(&fleet.step("n1", 1, died(), late)), ["spawn n1#2"]);
    assert!(fleet.has_turn("n1"));
    fleet.step("n1", 2, FleetEvent::SpawnFailed { why: "no".into() }, late);
    assert!(!fleet.has_turn("n1"));
}

#[test]
fn restarting_a_dead_node_starts_it() {
    let mut fleet = running(3, 1);
    fleet.step("n2", 1, died(), at(5));
    let effects = fleet.order(Order::Restart, &names("n2"), at(6)).unwrap();
    assert_eq!(words(&effects), ["spawn n2#2"]);
}

#[test]
fn a_kill_in_the_middle_of_a_stop_still_ends_the_turn() {
    let mut fleet = running(3, 1);
    fleet.order(Order::Stop, &names("n2,n3"), at(2)).unwrap();
    assert_eq!(words(&fleet.order(Order::Kill, &names("n2"), at(2)).unwrap()), ["Kill n2"]);
    assert_eq!(words(&fleet.step("n2", 1, died(), at(2))), ["Term n3"]);
}

#[test]
fn orders_that_do_not_fit_say_what_does() {
    let mut fleet = running(3, 1);
    fleet.step("n2", 1, died(), at(5));
    let refused = fleet.order(Order::Kill, &names("n2"), at(6)).unwrap_err();
    assert_eq!(refused, "n2 does not run (exited): `etcd-tui start n2`");
    fleet.order(Order::Stop, &names("n3"), at(6)).unwrap();
    let refused = fleet.order(Order::Start, &names("n3"), at(6)).unwrap_err();
    assert!(refused.contains("still stopping"));
    // Nothing is done to any node when one does not fit.
    assert!(fleet.order(Order::Kill, &names("n1,n2"), at(6)).is_err());
    assert_eq!(state(&fleet, "n1"), NodeState::Running);
}

#[test]
fn a_removed_member_is_not_a_crash() {
    let mut fleet = running(3, 1);
    let removed = Diagnosis { removed: true, why: "removed".into() };
    fleet.step("n3", 1, FleetEvent::Exited(removed), at(5));
    assert_eq!(state(&fleet, "n3"), NodeState::Removed);
}

#[test]
fn the_leader_is_who_says_so_in_the_highest_term() {
    let mut fleet = running(3, 1);
    assert_eq!(fleet.leader_name().as_deref(), Some("n1"));
    // n1 was cut off: it still believes in itself, the others have moved on.
    fleet.step("n2", 1, report(2, 2, 6, 3), at(5));
    fleet.step("n3", 1, report(3, 2, 6, 3), at(5));
    assert_eq!(fleet.leader_name().as_deref(), Some("n2"));
    let view = fleet.view(&FleetSpec::new("c", 3, 23790, 1, false), at(6));
    let roles: Vec<Role> = view.nodes.iter().map(|node| node.role).collect();
    assert_eq!(roles, [Role::Unknown, Role::Leader, Role::Follower]);
}

#[test]
fn a_new_leader_is_known_from_the_others_until_it_is_asked_itself() {
    let mut fleet = running(3, 1);
    fleet.step("n1", 1, died(), at(5));
    fleet.step("n3", 1, report(3, 2, 6, 3), at(5));
    assert_eq!(fleet.leader_name().as_deref(), Some("n2"));
    // It says that it has already stepped down.
    fleet.step("n2", 1, report(2, 0, 6, 3), at(6));
    assert_eq!(fleet.leader_name(), None);
}

#[test]
fn a_dead_leader_leads_no_more_whatever_the_others_still_report() {
    let mut fleet = running(3, 1);
    fleet.step("n1", 1, died(), at(5));
    assert_eq!(fleet.leader_name(), None);
    assert_eq!(fleet.voters(), (3, 2));
    let view = fleet.view(&FleetSpec::new("c", 3, 23790, 1, false), at(6));
    assert_eq!(view.health, Health::AtRisk);
    assert_eq!(view.nodes[0].pid, None);
    // The identity of a dead node is still worth knowing.
    assert_eq!(view.nodes[0].member_id.as_deref(), Some("1"));
}

#[test]
fn a_silent_node_serves_nobody_after_two_probes() {
    let mut fleet = running(3, 1);
    fleet.step("n3", 1, FleetEvent::Probed(None), at(5));
    assert_eq!(fleet.voters(), (3, 3));
    fleet.step("n3", 1, FleetEvent::Probed(None), at(6));
    assert_eq!(fleet.voters(), (3, 2));
    fleet.step("n3", 1, report(3, 1, 5, 3), at(7));
    assert_eq!(fleet.voters(), (3, 3));
}

#[test]
fn a_node_that_hears_a_leader_which_does_not_hear_it_serves_nobody() {
    let mut fleet = running(3, 1);
    // True if something is said about it.
    let round = |fleet: &mut Fleet, yes| {
        let effects = fleet.step("n3", 1, FleetEvent::Touched(yes), at(5));
        effects.iter().any(|effect| matches!(effect, FleetEffect::Note { .. }))
    };
    assert!(!(1..SILENT_ROUNDS).any(|_| round(&mut fleet, false)));
    assert_eq!(fleet.voters(), (3, 3), "an answer may be late");
    assert!(round(&mut fleet, false));
    assert!(!round(&mut fleet, false), "it is said once");
    assert_eq!(fleet.voters(), (3, 2));
    let view = fleet.view(&FleetSpec::new("c", 3, 23790, 1, false), at(6));
    assert_eq!((view.health, view.nodes[2].cut_off), (Health::AtRisk, true));
    assert!(!view.nodes[1].cut_off);
    // Nobody leads any more: what does not come back waits for the next leader.
    fleet.step("n1", 1, died(), at(7));
    assert_eq!(fleet.voters(), (3, 2));
    fleet.step("n2", 1, report(2, 2, 6, 3), at(8));
    assert_eq!(fleet.voters(), (3, 1));
    assert!(round(&mut fleet, true));
    assert_eq!(fleet.voters(), (3, 2));
    // A leader that it has just found is not to blame for what was not answered before.
    for _ in 0..SILENT_ROUNDS {
        round(&mut fleet, false);
    }
    fleet.step("n3", 1, report(3, 0, 6, 3), at(11));
    fleet.step("n3", 1, report(3, 2, 6, 3), at(12));
    assert_eq!(fleet.voters(), (3, 2));
}

#[test]
fn a_node_that_wakes_up_is_not_cut_off_for_having_slept() {
    let mut fleet = running(3, 1);
    let one = ["n3".to_owned()];
    fleet.order(Order::Pause, &one, at(5)).unwrap();
    for _ in 0..=SILENT_ROUNDS {
        fleet.step("n3", 1, FleetEvent::Touched(false), at(20));
    }
    fleet.order(Order::Resume, &one, at(20)).unwrap();
    fleet.step("n3", 1, FleetEvent::Touched(false), at(21));
    fleet.step("n3", 1, report(3, 1, 5, 3), at(21));
    assert_eq!(fleet.voters(), (3, 3));
}

#[test]
fn members_that_nobody_runs_here_count_against_health() {
    let mut fleet = running(3, 1);
    fleet.step("n1", 1, report(1, 1, 5, 5), at(5));
    assert_eq!(fleet.voters(), (5, 3));
}

#[test]
fn a_change_of_leader_is_noted_once() {
    let mut fleet = running(3, 1);
    let notes = |effects: Vec<FleetEffect>| {
        effects
            .into_iter()
            .filter_map(|effect| match effect {
                FleetEffect::Note { node, text } => Some(format!("{} {text}", node.unwrap())),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert!(notes(fleet.step("n2", 1, report(2, 1, 5, 3), at(5))).is_empty());
    assert_eq!(
        notes(fleet.step("n1", 1, died(), at(5))),
        ["n1 ended: died", "n1 no longer leads (term 5)"]
    );
    // The term is that of the election, although n2 itself has not told of it yet.
    assert_eq!(notes(fleet.step("n3", 1, report(3, 2, 6, 3), at(6))), ["n2 is leader in term 6"]);
    assert!(notes(fleet.step("n2", 1, report(2, 2, 6, 3), at(6))).is_empty());
}

/// The world outside the machine: at most one process per node, as the effects have it.
#[derive(Default)]
struct World {
    processes: BTreeMap<String, u64>,
    timers: Vec<(String, u64, Duration)>,
}

impl World {
    fn apply(&mut self, effects: Vec<FleetEffect>) {
        for effect in effects {
            match effect {
                FleetEffect::Spawn { node, epoch } => {
                    let before = self.processes.insert(node.clone(), epoch);
                    assert_eq!(before, None, "{node} has two processes");
                }
                FleetEffect::Signal { node, signal } => {
                    assert!(self.processes.contains_key(&node), "{signal:?} to dead {node}");
                }
                FleetEffect::Timer { node, epoch, at } => self.timers.push((node, epoch, at)),
                FleetEffect::Note { .. } => {}
            }
        }
    }
}

proptest! {
    /// Whatever is ordered and whatever happens: one process per node, signals only to live
    /// ones, and a close that is followed by exits always completes.
    #[test]
    fn no_history_breaks_the_invariants(script in prop::collection::vec((0u8..10, 0usize..5), 1..80)) {
        let mut fleet = fleet(5);
        let mut world = World::default();
        let everyone = fleet.names();
        for (second, (action, index)) in script.iter().enumerate() {
            let now = at(second as u64);
            let name = &everyone[*index];
            let some = everyone[*index..].to_vec();
            let epoch = world.processes.get(name).copied();
            let order = match action {
                0 => Some(Order::Start),
                1 => Some(Order::Stop),
                2 => Some(Order::Kill),
                3 => Some(Order::Restart),
                4 => Some(Order::Pause),
                5 => Some(Order::Resume),
                _ => None,
            };
            if let Some(order) = order {
                if let Ok(effects) = fleet.order(order, &some, now) {
                    world.apply(effects);
                }
                continue;
            }
            let Some(epoch) = epoch else { continue };
            let number = *index as u64 + 1;
            let event = match action {
                6 | 7 => {
                    world.processes.remove(name);
                    died()
                }
                8 => report(number, 1 + u64::from(*action) % 5, second as u64, 5),
                _ => FleetEvent::TimerFired,
            };
            let effects = fleet.step(name, epoch, event, now);
            world.apply(effects);
            for name in &everyone {
                prop_assert_eq!(fleet.is_live(name), world.processes.contains_key(name));
            }
        }
        let end = at(1000);
        world.apply(fleet.close(false, end));
        for _ in 0..5 {
            // Whoever was told to end, ends.
            let ending = everyone.iter().find(|name| {
                matches!(fleet.state(name), Some((NodeState::Stopping, _)))
            });
            let Some(name) = ending else { break };
            let Some(epoch) = world.processes.remove(name) else { break };
            let effects = fleet.step(name, epoch, died(), end);
            world.apply(effects);
        }
        prop_assert!(fleet.is_closed());
        prop_assert!(world.processes.is_empty());
    }
}
