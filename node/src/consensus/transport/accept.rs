//! The receiving side: who may speak, and what of it raft gets to see.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message as _;
use proto::peer::{self, Hello, frame};
use tonic::{Status, Streaming};

use super::super::drive::Input;
use super::super::message;
use super::dial::REMOVED_TEXT;
use super::{PROTOCOL, Transport};
use crate::metrics::Metrics;

/// Checks a peer's greeting; gives its member id.
pub fn greet(transport: &Transport, hello: Option<&Hello>) -> Result<u64, Status> {
    let refuse = |text: String| Err(Status::failed_precondition(text));
    let Some(hello) = hello else {
        return refuse("a peer's stream must begin with a greeting".to_owned());
    };
    let identity = &transport.identity;
    if hello.cluster_id != identity.cluster_id {
        return refuse(format!(
            "cluster ID mismatch: this is {:x}, the peer belongs to {:x}",
            identity.cluster_id, hello.cluster_id
        ));
    }
    if hello.protocol != PROTOCOL {
        return refuse(format!("peer protocol {} is not {PROTOCOL}", hello.protocol));
    }
    if hello.to != identity.member_id || hello.from == identity.member_id {
        return refuse(format!("this is member {:x}, not {:x}", identity.member_id, hello.to));
    }
    let members = transport.members();
    if members.is_removed(hello.from) {
        return refuse(REMOVED_TEXT.to_owned());
    }
    let Some(member) = members.get(hello.from) else {
        // It may have been added by an entry that is not applied here yet.
        return Err(Status::unavailable(format!("member {:x} is not known here", hello.from)));
    };
    if !member.directory_id.is_empty() && member.directory_id[..] != hello.directory_id[..] {
        return refuse(format!(
            "member {:x} was started before with another data directory; remove it from the \
             cluster and add it again",
            hello.from
        ));
    }
    Ok(hello.from)
}

/// Takes a peer's frames until the stream ends.
pub async fn stream(
    transport: Arc<Transport>,
    mut batches: Streaming<peer::Batch>,
) -> Result<(), Status> {
    let first = batches.message().await?.unwrap_or_default();
    let from = greet(&transport, first.hello.as_ref())?;
    take(&transport, from, first.frames);
    loop {
        let batch = match batches.message().await {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(()),
            Err(status) => {
                if let Some(counts) = transport.counts_of(from) {
                    Metrics::count(&counts.received_failures);
                }
                return Err(status);
            }
        };
        if transport.members().is_removed(from) {
            return Err(Status::failed_precondition(REMOVED_TEXT));
        }
        if let Some(counts) = transport.counts_of(from) {
            let bytes = batch.encoded_len() as u64;
            counts.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        take(&transport, from, batch.frames);
    }
}

fn take(transport: &Transport, from: u64, frames: Vec<peer::Frame>) {
    for frame in frames {
        let input = match frame.kind {
            Some(frame::Kind::Raft(wire)) => {
                match message::check(wire, from, transport.identity.member_id) {
                    Ok(message) => {
                        transport.appends.count_received(&message);
                        Input::Message(message)
                    }
                    Err(error) => {
                        tracing::warn!(peer = %format!("{from:x}"), %error, "dropped a message");
                        continue;
                    }
                }
            }
            Some(frame::Kind::Probe(probe)) => {
                transport.send_frame(from, frame::Kind::ProbeAnswer(probe));
                continue;
            }
            Some(frame::Kind::ProbeAnswer(probe)) => {
                transport.heard(from);
                if let Some(counts) = transport.counts_of(from) {
                    let took = transport.now_us().saturating_sub(probe.sent_us);
                    counts.round_trip.observe(Duration::from_micros(took));
                    counts.latency.observe(Duration::from_micros(took));
                }
                continue;
            }
            Some(kind) => Input::Frame { from, frame: kind },
            None => continue,
        };
        let _ = transport.inbox.send(input);
    }
}
