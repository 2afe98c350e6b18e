//! What the raft crate would panic on, kept away from it.
//!
//! These are not malformed messages ([`super::message`] refuses those) but good ones in a
//! situation that the crate does not expect: a member that has lost data it acknowledged, one
//! that is between an accepted and an installed snapshot, a leader that was removed.

use raft::eraftpb::{Message, MessageType};
use raft::{RawNode, StateRole};

use super::log_view::LogView;

/// Whether a snapshot took the place of the log and is not applied yet. Before an election
/// the raft crate looks through all entries that are not applied; they are gone then, so
/// there must be no election.
pub fn is_installing(node: &RawNode<LogView>) -> bool {
    let log = &node.raft.raft_log;
    log.applied + 1 < log.first_index()
}

/// A leader whose own removal is applied goes on for a moment, so that the others hear that
/// it is committed. It must not count acknowledgements any more, not even its own disk's: the
/// raft crate looks for the leader's own progress then, and there is none.
pub fn leads_as_stranger(node: &RawNode<LogView>) -> bool {
    let raft = &node.raft;
    raft.state == StateRole::Leader && raft.prs().get(raft.id).is_none()
}

/// What a leader knows that this member acknowledged, beyond its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub acknowledged: u64,
    pub last: u64,
}

/// Whether the message tells that this member has lost data that it once acknowledged: a
/// leader's heartbeat commits no further than what the member told *this* leader it has, and
/// in a leader's term a log never gets shorter. So the disk lied, or an older copy of the data
/// directory took the place of the right one.
pub fn lost(node: &RawNode<LogView>, message: &Message) -> Option<Lost> {
    let last = node.raft.raft_log.last_index();
    let tells = message.get_msg_type() == MessageType::MsgHeartbeat
        && message.commit > last
        && message.term >= node.raft.term;
    tells.then_some(Lost { acknowledged: message.commit, last })
}

/// The message as raft may see it, if at all.
pub fn admit(node: &RawNode<LogView>, mut message: Message) -> Option<Message> {
    let raft = &node.raft;
    let last = raft.raft_log.last_index();
    match message.get_msg_type() {
        // It commits beyond our log: we have lost data that we once acknowledged. Keep the
        // leader's authority, but not what it says of our log.
        MessageType::MsgHeartbeat if message.commit > last => {
            if message.term < raft.term {
                return None;
            }
            message.commit = raft.raft_log.committed;
        }
        // Entries that we do not have were acknowledged to a leader of another life.
        MessageType::MsgAppendResponse => {
            let beyond = !message.reject && message.index > last;
            if beyond || leads_as_stranger(node) {
                return None;
            }
        }
        // The commit index of a vote message is a hint only.
        MessageType::MsgRequestVote
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVoteResponse
            if message.commit > last =>
        {
            message.commit = 0;
            message.commit_term = 0;
        }
        MessageType::MsgAppend if contradicts(node, &message) => return None,
        MessageType::MsgTimeoutNow if is_installing(node) => return None,
        _ => {}
    }
    Some(message)
}

/// Whether an append would replace what is committed.
fn contradicts(node: &RawNode<LogView>, message: &Message) -> bool {
    let log = &node.raft.raft_log;
    message.index < log.committed
        && message.entries.iter().any(|entry| {
            entry.index <= log.committed
                && log.term(entry.index).is_ok_and(|term| term != entry.term)
        })
}
