//! Situations that once went wrong, each by hand.

use raft::eraftpb::ConfChangeType;

use super::*;

fn configuration(voters: &[u64], learners: &[u64]) -> ConfState {
    let mut state = ConfState::default();
    state.set_voters(voters.to_vec());
    state.set_learners(learners.to_vec());
    state
}

fn snapshot(index: u64, voters: &[u64], learners: &[u64]) -> SnapshotMetadata {
    let mut meta = SnapshotMetadata { index, term: 1, ..SnapshotMetadata::default() };
    meta.set_conf_state(configuration(voters, learners));
    meta
}

/// Member 1, just founded, without pre-vote.
pub fn founded(voters: &[u64], learners: &[u64]) -> RaftCore {
    let meta = snapshot(1, voters, learners);
    let hard_state = HardState { term: 1, commit: 1, ..HardState::default() };
    let log = LogView::new((1, 1), Vec::new(), hard_state, meta.get_conf_state().clone(), meta);
    let config = raft::Config {
        id: 1,
        applied: 1,
        election_tick: 10,
        heartbeat_tick: 1,
        max_size_per_msg: 1 << 20,
        ..raft::Config::default()
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RaftCore::new(&config, log, &logger).expect("a good configuration")
}

pub fn message(kind: MessageType, from: u64, term: u64) -> Message {
    let mut message = Message::default();
    message.set_msg_type(kind);
    message.from = from;
    message.to = 1;
    message.term = term;
    message
}

/// Does everything at once; gives back what was sent.
pub fn settle(core: &mut RaftCore) -> Vec<Message> {
    let mut sent = Vec::new();
    while let Some(actions) = core.poll() {
        sent.extend(actions.send);
        if let Some(persist) = actions.persist {
            core.persisted(persist.number);
            sent.extend(persist.after);
        }
        if let Some(entry) = actions.committed.last() {
            core.applied(entry.index);
        }
    }
    sent
}

/// Member 1 leads term 2, elected by member 2.
pub fn leader(voters: &[u64]) -> RaftCore {
    let mut core = founded(voters, &[]);
    core.campaign();
    settle(&mut core);
    core.step(message(MessageType::MsgRequestVoteResponse, 2, 2));
    settle(&mut core);
    assert!(core.leads(2));
    core
}

fn change(kind: ConfChangeType, id: u64) -> ConfChange {
    let mut change = ConfChange::default();
    change.set_change_type(kind);
    change.node_id = id;
    change
}

fn acknowledge(core: &mut RaftCore, from: u64) {
    let mut answer = message(MessageType::MsgAppendResponse, from, 2);
    answer.index = core.status().last_index;
    core.step(answer);
}

fn command() -> [(u64, Proposal); 1] {
    [(1, Proposal { id: 1, data: Bytes::from_static(b"command"), member_change: false })]
}

#[test]
fn a_removed_leader_counts_no_acknowledgements() {
    let mut core = leader(&[1, 2]);
    acknowledge(&mut core, 2);
    settle(&mut core);
    core.propose(command());
    let record = core.poll().and_then(|actions| actions.persist).expect("an entry to write");
    core.apply_change(&change(ConfChangeType::RemoveNode, 1)).expect("a good change");
    core.persisted(record.number);
    acknowledge(&mut core, 2);
    core.tick();
    let told = settle(&mut core);
    let heartbeat = told.iter().find(|one| one.get_msg_type() == MessageType::MsgHeartbeat);
    assert!(heartbeat.is_some(), "the others must hear that the removal is committed");
    assert!(!core.propose(command()));
}

/// A follower that has accepted a snapshot at index 10 and installed nothing yet.
fn installing(voters: &[u64], then: &[u64]) -> (RaftCore, Persist) {
    let mut core = founded(voters, &[]);
    let mut offer = message(MessageType::MsgSnapshot, 2, 1);
    offer.mut_snapshot().set_metadata(snapshot(10, then, &[]));
    core.step(offer);
    let actions = core.poll().expect("a snapshot to install");
    assert!(actions.install.is_some());
    (core, actions.persist.expect("a record of it"))
}

#[test]
fn a_member_that_lost_what_it_acknowledged_is_told_apart() {
    let mut core = founded(&[1, 2], &[]);
    let heartbeat = |term: u64, commit: u64| {
        let mut one = message(MessageType::MsgHeartbeat, 2, term);
        one.commit = commit;
        one
    };
    core.step(heartbeat(2, 1));
    assert_eq!(core.take_lost(), None);
    core.step(heartbeat(1, 5));
    assert_eq!(core.take_lost(), None, "an older leader's word");
    core.step(heartbeat(2, 5));
    assert_eq!(core.take_lost(), Some(Lost { acknowledged: 5, last: 1 }));
    assert_eq!(core.take_lost(), None, "told once");
    settle(&mut core);
    // One that installs a snapshot has all that the snapshot holds.
    let (mut core, _) = installing(&[1, 2], &[1, 2]);
    core.step(heartbeat(1, 10));
    assert_eq!(core.take_lost(), None);
}

#[test]
fn no_election_while_a_snapshot_is_installed() {
    let (mut core, record) = installing(&[1, 2], &[1, 2]);
    core.step(message(MessageType::MsgTimeoutNow, 2, 1));
    for _ in 0..50 {
        core.tick();
    }
    assert_eq!(core.status().term, 1);
    core.persisted(record.number);
    core.applied(10);
    core.step(message(MessageType::MsgTimeoutNow, 2, 1));
    assert_eq!(core.status().term, 2, "now it may");
}

#[test]
fn a_change_from_before_a_snapshot_does_not_undo_what_the_snapshot_holds() {
    let (mut core, record) = installing(&[1, 2], &[1, 2, 3]);
    let old = core.apply_change(&change(ConfChangeType::AddLearnerNode, 3)).expect("a change");
    assert_eq!(old, configuration(&[1, 2], &[3]), "what the state machine saves");
    core.persisted(record.number);
    core.applied(10);
    let mut new = core.apply_change(&change(ConfChangeType::AddNode, 4)).expect("a change");
    new.mut_voters().sort_unstable();
    assert_eq!(new, configuration(&[1, 2, 3, 4], &[]), "what raft goes by");
}

#[test]
fn a_single_voter_sends_nothing_in_a_term_that_it_could_forget() {
    let mut core = founded(&[1], &[2]);
    core.campaign();
    core.propose(command());
    let actions = core.poll().expect("an election and an entry");
    assert!(core.leads(2));
    assert!(actions.send.is_empty());
    let record = actions.persist.expect("vote and entry");
    let append = |one: &Message| one.get_msg_type() == MessageType::MsgAppend;
    assert!(record.must_sync && record.after.iter().any(append));
    core.persisted(record.number);
    core.propose(command());
    core.step(message(MessageType::MsgHeartbeatResponse, 2, 2));
    let next = core.poll().expect("something to send");
    assert!(!next.send.is_empty(), "from now on it sends while it writes");
}
