//! Raft messages between the raft crate's types and our own wire types.
//!
//! What comes from a socket is checked here before raft sees it ([`check`]): the raft crate
//! panics on a good many malformed messages, and trusts whatever names its sender. Only
//! the message types that members really send each other pass; proposals and ReadIndex
//! requests travel as messages of our own.

use proto::peer;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

/// Why a peer's message was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("peer message refused: {0}")]
pub struct Refused(pub &'static str);

const fn type_number(kind: MessageType) -> u32 {
    kind as u32
}

fn type_from(number: u32) -> Option<MessageType> {
    [
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgSnapshot,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgTimeoutNow,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
    ]
    .into_iter()
    .find(|kind| type_number(*kind) == number)
}

/// The wire form. Entry data is shared, not copied.
pub fn to_wire(message: Message) -> peer::RaftMessage {
    let mut message = message;
    let entries = message.take_entries().into_iter().map(entry_to_wire).collect();
    peer::RaftMessage {
        r#type: type_number(message.get_msg_type()),
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries,
        commit: message.commit,
        commit_term: message.commit_term,
        request_snapshot: message.request_snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: std::mem::take(&mut message.context),
        priority: message.priority,
    }
}

fn entry_to_wire(mut entry: Entry) -> peer::Entry {
    peer::Entry {
        r#type: entry.get_entry_type() as u32,
        term: entry.term,
        index: entry.index,
        data: std::mem::take(&mut entry.data),
        context: std::mem::take(&mut entry.context),
    }
}

/// Checks a message of `from` to `to` and turns it into raft's type.
pub fn check(wire: peer::RaftMessage, from: u64, to: u64) -> Result<Message, Refused> {
    let kind = type_from(wire.r#type).ok_or(Refused("not a message that members send"))?;
    if wire.from != from {
        return Err(Refused("its sender is not the member at the other end"));
    }
    if wire.to != to {
        return Err(Refused("it is for another member"));
    }
    if wire.term == 0 {
        return Err(Refused("it has no term"));
    }
    if kind != MessageType::MsgAppend && !wire.entries.is_empty() {
        return Err(Refused("only an append carries entries"));
    }
    // No index can be near the end of the number range; sums of them must not overflow.
    let limit = u64::MAX / 4;
    if [wire.index, wire.commit, wire.reject_hint, wire.request_snapshot, wire.term]
        .iter()
        .any(|number| *number > limit)
    {
        return Err(Refused("a number in it is out of range"));
    }
    let mut message = Message::default();
    let mut term = wire.log_term;
    let mut entries = Vec::with_capacity(wire.entries.len());
    for (offset, entry) in wire.entries.into_iter().enumerate() {
        if entry.index != wire.index + 1 + offset as u64 {
            return Err(Refused("its entries are not contiguous"));
        }
        if entry.term < term || entry.term > wire.term {
            return Err(Refused("an entry's term is out of order"));
        }
        term = entry.term;
        entries.push(entry_from_wire(entry)?);
    }
    message.set_msg_type(kind);
    message.to = wire.to;
    message.from = wire.from;
    message.term = wire.term;
    message.log_term = wire.log_term;
    message.index = wire.index;
    message.set_entries(entries.into());
    message.commit = wire.commit;
    message.commit_term = wire.commit_term;
    message.request_snapshot = wire.request_snapshot;
    message.reject = wire.reject;
    message.reject_hint = wire.reject_hint;
    message.context = wire.context;
    message.priority = wire.priority;
    Ok(message)
}

fn entry_from_wire(wire: peer::Entry) -> Result<Entry, Refused> {
    let kind = match wire.r#type {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        _ => return Err(Refused("an entry's type is unknown")),
    };
    let mut entry = Entry::default();
    entry.set_entry_type(kind);
    entry.term = wire.term;
    entry.index = wire.index;
    entry.data = wire.data;
    entry.context = wire.context;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append() -> peer::RaftMessage {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppend);
        message.from = 2;
        message.to = 1;
        message.term = 5;
        message.index = 10;
        message.log_term = 4;
        let entries: Vec<Entry> = (11..14)
            .map(|index| {
                let mut entry = Entry::default();
                entry.index = index;
                entry.term = 5;
                entry.data = "command".into();
                entry
            })
            .collect();
        message.set_entries(entries.into());
        to_wire(message)
    }

    #[test]
    fn a_good_message_survives_the_wire() {
        let message = check(append(), 2, 1).expect("a good message");
        assert_eq!(to_wire(message), append());
    }

    #[test]
    fn what_would_harm_raft_is_refused() {
        let refused = |change: fn(&mut peer::RaftMessage)| {
            let mut wire = append();
            change(&mut wire);
            assert!(check(wire, 2, 1).is_err());
        };
        refused(|wire| wire.from = 3);
        refused(|wire| wire.to = 3);
        refused(|wire| wire.term = 0);
        refused(|wire| wire.index = u64::MAX - 1);
        refused(|wire| wire.entries[1].index = 99);
        refused(|wire| wire.entries[1].term = 6);
        refused(|wire| wire.entries[1].term = 3);
        refused(|wire| wire.entries[1].r#type = 2);
        for forbidden in [
            MessageType::MsgPropose,
            MessageType::MsgReadIndex,
            MessageType::MsgReadIndexResp,
            MessageType::MsgHup,
            MessageType::MsgUnreachable,
            MessageType::MsgTransferLeader,
        ] {
            let mut wire = append();
            wire.entries.clear();
            wire.r#type = type_number(forbidden);
            assert!(check(wire, 2, 1).is_err(), "{forbidden:?}");
        }
    }
}
