//! Messages between members: a bounded queue and one gRPC stream per peer.
//!
//! Sending never blocks: raft's messages may be lost, and raft is told
//! ([`Input::Unreachable`]) when they are. Every stream begins with a [`peer::Hello`] that
//! names the cluster, both members and the sender's data directory; nothing is looked at
//! before that is checked ([`accept`]). Snapshots go by a stream of their own ([`snapshot`]),
//! so that they never stand in front of a heartbeat.
//!
//! Runs on a runtime of its own thread, apart from the clients' one: a flood of client
//! requests does not delay heartbeats.

pub mod accept;
pub mod dial;
pub mod receive;
mod snapshot;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use proto::peer::{self, Frame, frame};
use raft::eraftpb::{Message, MessageType};
use tokio::sync::mpsc;

use super::drive::Input;
use super::guard::Lost;
use super::message;
use crate::cluster::{Member, Members};
use crate::mailbox::Sender;
use crate::metrics::{Metrics, PeerCounts};
use crate::net::Dialer;

/// Frames waiting for one peer; more are dropped, and raft sends again.
const QUEUE_FRAMES: usize = 4096;

/// Version of the messages between members.
pub const PROTOCOL: u32 = 1;

/// Who this member is, to others.
#[derive(Clone, Debug)]
pub struct Identity {
    pub cluster_id: u64,
    pub member_id: u64,
    pub directory_id: [u8; 16],
}

impl Identity {
    fn hello(&self, to: u64) -> peer::Hello {
        peer::Hello {
            cluster_id: self.cluster_id,
            from: self.member_id,
            to,
            directory_id: self.directory_id.to_vec().into(),
            protocol: PROTOCOL,
        }
    }
}

/// A peer said something after which this member must not go on.
#[derive(Clone, Debug)]
pub struct Expelled(pub String);

/// One peer as it can be reached.
struct Link {
    urls: Vec<String>,
    queue: mpsc::Sender<Frame>,
    state: Arc<LinkState>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is known of the connection to a peer.
#[derive(Default)]
pub struct LinkState {
    pub counts: Arc<PeerCounts>,
    connected_since: Mutex<Option<Instant>>,
    /// A failure is told once, not at every try. Set until the peer has answered.
    complained: Mutex<Option<String>>,
}

/// How many messages with entries of the log came and went.
#[derive(Default)]
struct Appends {
    sent: AtomicU64,
    received: AtomicU64,
}

/// See [`Transport::append_counts`].
pub struct AppendCounts {
    pub sent: u64,
    pub received: u64,
}

impl Appends {
    fn count_sent(&self, message: &Message) {
        Self::count(&self.sent, message);
    }

    fn count_received(&self, message: &Message) {
        Self::count(&self.received, message);
    }

    fn count(counter: &AtomicU64, message: &Message) {
        if message.get_msg_type() == MessageType::MsgAppend {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// See the module.
pub struct Transport {
    pub identity: Identity,
    pub inbox: Sender<Input>,
    /// Directory of the snapshot files that are sent and received.
    pub snapshots: PathBuf,
    /// How other members are reached.
    pub dialer: Dialer,
    runtime: tokio::runtime::Handle,
    started: Instant,
    links: RwLock<HashMap<u64, Link>>,
    members: RwLock<Arc<Members>>,
    appends: Appends,
    expelled: mpsc::UnboundedSender<Expelled>,
}

impl Transport {
    /// A transport that does its work on `runtime`.
    pub fn new(
        identity: Identity,
        inbox: Sender<Input>,
        snapshots: PathBuf,
        dialer: Dialer,
        runtime: tokio::runtime::Handle,
        expelled: mpsc::UnboundedSender<Expelled>,
    ) -> Arc<Self> {
        Arc::new(Self {
            identity,
            inbox,
            snapshots,
            dialer,
            runtime,
            started: Instant::now(),
            links: RwLock::default(),
            members: RwLock::default(),
            appends: Appends::default(),
            expelled,
        })
    }

    /// The members as this one knows them.
    pub fn members(&self) -> Arc<Members> {
        self.members.read().clone()
    }

    /// Opens and closes links so that there is one to every other member.
    pub fn set_members(self: &Arc<Self>, members: &Members) {
        let mut links = self.links.write();
        links.retain(|id, link| {
            members.get(*id).is_some_and(|member| member.peer_urls == link.urls)
        });
        for member in members.iter() {
            if member.id != self.identity.member_id && !links.contains_key(&member.id) {
                links.insert(member.id, self.link(member));
            }
        }
        *self.members.write() = Arc::new(members.clone());
    }

    fn link(self: &Arc<Self>, member: &Member) -> Link {
        let (queue, frames) = mpsc::channel(QUEUE_FRAMES);
        let complained = Mutex::new(Some(String::new()));
        let state = Arc::new(LinkState { complained, ..LinkState::default() });
        let task = self.runtime.spawn(dial::run(
            self.clone(),
            member.id,
            member.peer_urls.clone(),
            frames,
            state.clone(),
        ));
        Link { urls: member.peer_urls.clone(), queue, state, task }
    }

    /// Sends raft's messages; what cannot be sent is reported to raft.
    pub fn send(self: &Arc<Self>, messages: Vec<Message>) {
        for message in messages {
            let to = message.to;
            if message.get_msg_type() == MessageType::MsgSnapshot {
                self.runtime.spawn(snapshot::send(self.clone(), message));
                continue;
            }
            self.appends.count_sent(&message);
            let frame = frame::Kind::Raft(message::to_wire(message));
            if !self.send_frame(to, frame) {
                let _ = self.inbox.send(Input::Unreachable(to));
            }
        }
    }

    /// Sends one frame; false when it cannot be queued.
    pub fn send_frame(&self, to: u64, kind: frame::Kind) -> bool {
        let links = self.links.read();
        let Some(link) = links.get(&to) else { return false };
        if link.state.connected_since.lock().is_none() {
            return false;
        }
        let sent = link.queue.try_send(Frame { kind: Some(kind) }).is_ok();
        if !sent {
            Metrics::count(&link.state.counts.sent_failures);
        }
        sent
    }

    /// This member must not go on: it would vote and count as one that has what it lacks.
    pub fn lost(&self, lost: Lost) {
        let Lost { acknowledged, last } = lost;
        let _ = self.expelled.send(Expelled(format!(
            "the log ends at {last}, but this member acknowledged entries up to {acknowledged}: its \
             data directory is an old copy, or its disk lost synced writes; remove the member \
             from the cluster and add it again with an empty directory"
        )));
    }

    /// For how long there has been a connection to `member`, if there is one.
    pub fn connected_for(&self, member: u64) -> Option<Duration> {
        if member == self.identity.member_id {
            return Some(Duration::MAX);
        }
        let links = self.links.read();
        let since = *links.get(&member)?.state.connected_since.lock();
        since.map(|since| since.elapsed())
    }

    /// What was counted for every other member.
    pub fn counts(&self) -> Vec<(u64, Arc<PeerCounts>)> {
        let links = self.links.read();
        let mut counts: Vec<_> =
            links.iter().map(|(id, link)| (*id, link.state.counts.clone())).collect();
        counts.sort_unstable_by_key(|(id, _)| *id);
        counts
    }

    /// Messages with entries of the log, sent and received.
    pub fn append_counts(&self) -> AppendCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AppendCounts { sent: read(&self.appends.sent), received: read(&self.appends.received) }
    }

    fn counts_of(&self, member: u64) -> Option<Arc<PeerCounts>> {
        self.links.read().get(&member).map(|link| link.state.counts.clone())
    }

    /// The member has answered over the present connection.
    fn heard(&self, member: u64) {
        let links = self.links.read();
        let Some(link) = links.get(&member) else { return };
        if link.state.complained.lock().take().is_some() {
            tracing::info!(peer_id = %format!("{member:x}"), "peer became active");
        }
    }

    /// Microseconds on this member's own clock.
    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Peer URLs of a member.
    pub fn urls(&self, member: u64) -> Vec<String> {
        self.links.read().get(&member).map(|link| link.urls.clone()).unwrap_or_default()
    }
}
