//! Who leads an election, told whenever it changes.
//!
//! Each leader's last word is told; what was said before this began, or before a compaction, may
//! be missed.

use proto::mvccpb::KeyValue;
use proto::v3electionpb::LeaderResponse;
use tokio::sync::mpsc;
use tonic::Status;

use super::caller::{self, Caller, Seen};

type Leaders = mpsc::Sender<Result<LeaderResponse, Status>>;

/// Tells until that fails, and says why.
pub async fn tell_leaders(caller: &Caller, name: &[u8], leaders: &Leaders) -> Status {
    loop {
        if let Err(error) = tell_one_leader(caller, name, leaders).await {
            return error;
        }
    }
}

/// Tells all the words of one leader, until it resigns.
async fn tell_one_leader(caller: &Caller, name: &[u8], leaders: &Leaders) -> Result<(), Status> {
    let Some((key, revision)) = tell_first_word(caller, name, leaders).await? else {
        return Ok(());
    };
    let mut events = caller.watch(key, Default::default(), revision + 1).await?;
    while let Seen::Events(response) = events.next().await? {
        for event in response.events {
            if caller::is_delete(&event) {
                return Ok(());
            }
            tell(leaders, LeaderResponse { header: response.header, kv: event.kv }).await?;
        }
    }
    Ok(())
}

/// Waits for a leader and tells of it: its key, and the revision it is known at.
async fn tell_first_word(
    caller: &Caller,
    name: &[u8],
    leaders: &Leaders,
) -> Result<Option<(bytes::Bytes, i64)>, Status> {
    let mut seen = caller.range(caller::first_of(name)).await?;
    let mut header = seen.header;
    let revision = header.as_ref().map_or(0, |header| header.revision);
    let kv = match seen.kvs.pop() {
        Some(kv) => kv,
        None => {
            let (prefix, end) = caller::line(name);
            let mut events = caller.watch(prefix, end, revision + 1).await?;
            let Seen::Events(response) = events.next().await? else { return Ok(None) };
            // A key that is gone again already: look once more.
            let Some(kv) = first_put(response.events) else { return Ok(None) };
            header = response.header.map(|mut header| {
                header.revision = kv.mod_revision;
                header
            });
            kv
        }
    };
    let known = header.as_ref().map_or(0, |header| header.revision);
    let key = kv.key.clone();
    tell(leaders, LeaderResponse { header, kv: Some(kv) }).await?;
    Ok(Some((key, known)))
}

fn first_put(events: Vec<proto::mvccpb::Event>) -> Option<KeyValue> {
    events.into_iter().find(|event| !caller::is_delete(event)).and_then(|event| event.kv)
}

async fn tell(leaders: &Leaders, leader: LeaderResponse) -> Result<(), Status> {
    let gone = |_| Status::cancelled("context canceled");
    leaders.send(Ok(leader)).await.map_err(gone)
}
