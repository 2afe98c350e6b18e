//! One simulated member: the product's [`Router`] between a simulated disk, network, applier
//! and clients.
//!
//! Mirrors the threads of the product: inputs gather while the consensus thread sleeps, and
//! all that wait are handled before it thinks; the log's thread syncs all that waits at once;
//! the applier runs behind, stops at a configuration change until raft has answered, and
//! answers the clients of this member; reads are asked for one question at a time.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use proto::command::MemberChange;
use proto::peer::frame;
use raft::eraftpb::{ConfChange, Entry, Message, SnapshotMetadata};

use super::applied::{Applied, Saved};
use super::disk::Disk;
use super::world::Settings;
use crate::bootstrap;
use crate::cluster::Members;
use crate::consensus::core::RaftCore;
use crate::consensus::pending::Proposal;
use crate::consensus::router::Router;

/// What the consensus thread is told.
pub enum Input {
    Propose(Proposal),
    ProposeInTerm {
        term: u64,
        proposal: Proposal,
    },
    Read(u64),
    Message(Message),
    Frame {
        from: u64,
        frame: frame::Kind,
    },
    Persisted(u64),
    Applied(u64),
    /// The applier is at a configuration change, accepted or not.
    Change(Option<(ConfChange, MemberChange)>),
    SnapshotBuilt(SnapshotMetadata),
    SnapshotSent {
        member: u64,
        ok: bool,
    },
    Unreachable(u64),
    Transfer(u64),
}

/// What waits for the applier.
pub enum Work {
    Entry(Entry),
    Install(SnapshotMetadata),
    Snapshot,
}

/// A read of a client.
#[derive(Clone)]
pub struct Read {
    pub key: Vec<u8>,
    /// What was visible when it began.
    pub floor: u64,
    pub deadline: u64,
}

/// Gathers reads into one question at a time, as the product does.
#[derive(Default)]
pub struct ReadGate {
    pub waiting: Vec<Read>,
    pub round: Vec<Read>,
    pub asked: Option<u64>,
    pub next_id: u64,
    /// Reads that have their index and wait until it is applied.
    pub ready: Vec<(u64, Read)>,
}

/// See the module.
pub struct Node {
    pub id: u64,
    /// Counts starts; what belongs to an earlier life is void.
    pub life: u64,
    pub disk: Disk,
    /// Removed from the cluster for ever.
    pub gone: bool,
    /// Nothing when the process does not run.
    pub run: Option<Running>,
    pub paused_until: u64,
    pub slow_disk_until: u64,
    pub slow_apply_until: u64,
    /// The members it was told of before it had a state.
    pub contacts: Members,
}

/// What a process has in memory.
pub struct Running {
    pub router: Router,
    pub inbox: VecDeque<Input>,
    pub wakes: bool,
    pub ticks: u64,
    pub tick_due: bool,
    pub applied: Applied,
    pub work: VecDeque<Work>,
    pub applier_busy: bool,
    /// The applier waits for raft's answer to a configuration change.
    pub at_change: Option<(u64, u64)>,
    pub building: bool,
    pub links: Members,
    pub gate: ReadGate,
    /// Clients that wait for an answer: when they give up.
    pub clients: BTreeMap<u64, u64>,
    pub next_id: u64,
    /// Plants a fault: proposals of ours that a faulty shell sends again.
    pub remembered: BTreeMap<u64, Proposal>,
    pub seen_term: u64,
    pub skip_next: bool,
}

impl Node {
    pub fn new(id: u64, disk: Disk, contacts: Members) -> Self {
        Self {
            id,
            life: 0,
            disk,
            gone: false,
            run: None,
            paused_until: 0,
            slow_disk_until: 0,
            slow_apply_until: 0,
            contacts,
        }
    }

    /// Starts the process from what is on disk.
    pub fn start(&mut self, settings: &Settings) -> Result<(), String> {
        let recovered = self.disk.recover();
        let snapshot = self.disk.newest_snapshot();
        let (applied, meta) = match snapshot {
            None if !self.disk.is_blank() => {
                return Err(format!("member {}: its snapshot file is lost", self.id));
            }
            None => (Applied::default(), SnapshotMetadata::default()),
            Some(snapshot) => {
                let meta = snapshot.meta();
                let fits = |saved: &&Rc<Saved>| {
                    let (index, term) = (saved.position.index, saved.position.term);
                    bootstrap::fits(index, term, &meta, &recovered)
                };
                let ground = self.disk.saved.as_ref().filter(fits).unwrap_or(&snapshot);
                (Applied::load(ground), meta)
            }
        };
        if applied.state.members.is_removed(self.id) {
            self.gone = true;
            return Ok(());
        }
        let log = bootstrap::log_view(recovered, &applied.state, &meta)
            .map_err(|error| format!("member {} cannot start: {error}", self.id))?;
        let index = applied.state.applied.index;
        let config = settings.raft_config(self.id, index);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut core = RaftCore::new(&config, log, &logger).map_err(|error| error.to_string())?;
        self.life += 1;
        if applied.state.applied.voters == [self.id] {
            core.campaign();
        } else {
            core.advance_election(config.election_tick - 1);
        }
        let router = Router::new(self.id, core, index, settings.proposal_ticks, settings.retention);
        let links = if self.disk.is_blank() {
            self.contacts.clone()
        } else {
            applied.state.members.clone()
        };
        let first_id = self.life << 32;
        let first_read =
            if settings.fault_is(super::Fault::SameReadIdsInEveryLife) { 0 } else { first_id };
        self.run = Some(Running {
            router,
            inbox: VecDeque::new(),
            wakes: false,
            ticks: 0,
            tick_due: false,
            applied,
            work: VecDeque::new(),
            applier_busy: false,
            at_change: None,
            building: false,
            links,
            gate: ReadGate { next_id: first_read, ..ReadGate::default() },
            clients: BTreeMap::new(),
            next_id: first_id,
            remembered: BTreeMap::new(),
            seen_term: 0,
            skip_next: false,
        });
        Ok(())
    }

    /// Whether the process runs.
    pub fn runs(&self) -> bool {
        self.run.is_some()
    }
}
