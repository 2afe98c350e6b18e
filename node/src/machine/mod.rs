//! The replicated state machine: one command in, a reply and a list of effects out.
//!
//! # Invariant
//! [`apply`] is a function of the state and the command, and of nothing else: no clock, no
//! random number, no setting of this member, no progress of its disk or its compaction. So
//! every member that applies the same log is in the same state, and a reply can be given by
//! whichever member was asked. An error of `apply` is a reply like any other; it leaves the
//! state as it was.
//!
//! What is left to others: durability (the log), order (consensus), and who hears of the
//! effects (the applier hands them to storage, watchers and the waiting client).

pub mod auth;
pub mod rights;
pub mod side;
mod upkeep;

use proto::command::{Command, LeaseRevoke, MemberChange, command::Kind};
use proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, AlarmType, CompactionRequest, CompactionResponse,
    DeleteRangeResponse, LeaseGrantRequest, LeaseGrantResponse, PutResponse, TxnResponse,
    alarm_request::AlarmAction,
};

use crate::auth::{Auth, AuthError, AuthEvent};
use crate::cluster::version::{DowngradeError, Version};
use crate::cluster::{Alarms, ClusterError, Members};
use crate::kv::{self, Applied as KvApplied, Change, History, Kv, KvError};
use crate::lease::{LeaseError, Leases};
use crate::v2;
use side::SideChange;

/// Everything that is replicated.
#[derive(Default)]
pub struct State {
    pub kv: Kv,
    pub leases: Leases,
    pub members: Members,
    pub alarms: Alarms,
    pub auth: Auth,
    /// `major.minor.0` that all members agreed on; empty until then.
    pub cluster_version: String,
    /// Where a downgrade that is under way leads.
    pub downgrade: Option<Version>,
    /// The v2 keys, a store of their own.
    pub v2: v2::Store,
    /// Where in the log this state is.
    pub applied: Position,
}

/// A place in the log, with the configuration in force there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub index: u64,
    pub term: u64,
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
}

/// What the client is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Put(PutResponse),
    DeleteRange(DeleteRangeResponse),
    Txn(TxnResponse),
    Compaction(CompactionResponse),
    LeaseGrant(LeaseGrantResponse),
    Alarm(AlarmResponse),
    /// A token was given out by the entry at this index.
    Authenticated(u64),
    V2(std::sync::Arc<v2::Event>),
    /// Done, nothing to tell.
    Done,
}

/// A command that changed nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Downgrade(DowngradeError),
    #[error(transparent)]
    V2(#[from] v2::Error),
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    #[error("etcdserver: corrupt cluster")]
    Corrupt,
    #[error("etcdserver: the log holds a command that this version does not know")]
    Unknown,
}

/// What a command did.
#[derive(Debug)]
pub struct Applied {
    pub reply: Result<Reply, ApplyError>,
    /// Changes of keys, grouped by main revision, in order.
    pub changes: Vec<Vec<Change>>,
    /// Changes of the small tables.
    pub side: Vec<SideChange>,
    /// A compaction up to this revision was ordered.
    pub compacted: Option<i64>,
    pub leases: Vec<LeaseEvent>,
    pub auth: Vec<AuthEvent>,
    /// What a v2 command did.
    pub v2: Option<v2::Outcome>,
}

/// What the leader's lease clock must hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEvent {
    /// A lease with its time to live in seconds.
    Granted(i64, i64),
    Revoked(i64),
}

impl Applied {
    fn new(reply: Result<Reply, ApplyError>) -> Self {
        Self {
            reply,
            changes: Vec::new(),
            side: Vec::new(),
            compacted: None,
            leases: Vec::new(),
            auth: Vec::new(),
            v2: None,
        }
    }

    fn of_kv<R>(result: Result<KvApplied<R>, KvError>, reply: impl FnOnce(R) -> Reply) -> Self {
        match result {
            Ok(applied) => {
                let mut out = Self::new(Ok(reply(applied.response)));
                if !applied.changes.is_empty() {
                    out.changes.push(applied.changes);
                }
                out
            }
            Err(error) => Self::new(Err(error.into())),
        }
    }
}

/// Applies one command.
pub fn apply(state: &mut State, history: &dyn History, command: Command) -> Applied {
    let by = rights::By::of(&command);
    let Some(kind) = command.kind else {
        return Applied::new(Err(ApplyError::Unknown));
    };
    if let Err(error) = admit(state, &kind).and_then(|()| rights::check(state, &by, &kind)) {
        return Applied::new(Err(error));
    }
    let State { kv, leases, .. } = state;
    match kind {
        Kind::Put(request) => Applied::of_kv(kv::put(kv, leases, history, &request), Reply::Put),
        Kind::DeleteRange(request) => {
            Applied::of_kv(kv::delete_range(kv, leases, history, &request), Reply::DeleteRange)
        }
        Kind::Txn(request) => Applied::of_kv(kv::txn(kv, leases, history, &request), Reply::Txn),
        Kind::Compaction(request) => compact(state, &request),
        Kind::LeaseGrant(request) => grant(state, &request),
        Kind::LeaseRevoke(request) => revoke(state, &request),
        Kind::Alarm(request) => alarm(state, &request),
        Kind::MemberAttributes(attributes) => {
            state.members.publish(&attributes);
            let mut applied = Applied::new(Ok(Reply::Done));
            applied.side.extend(side::member(&state.members, attributes.member_id));
            applied
        }
        Kind::MemberUpdate(change) => match change_members(state, &change) {
            Ok(rows) => {
                let mut applied = Applied::new(Ok(Reply::Done));
                applied.side = rows;
                applied
            }
            Err(error) => Applied::new(Err(error.into())),
        },
        Kind::ClusterVersion(request) => {
            state.cluster_version = request.version;
            let mut applied = Applied::new(Ok(Reply::Done));
            applied.side.push(side::cluster_version(&state.cluster_version));
            applied
        }
        Kind::AuthEnable(_)
        | Kind::AuthDisable(_)
        | Kind::Authenticate(_)
        | Kind::UserAdd(_)
        | Kind::UserDelete(_)
        | Kind::UserPassword(_)
        | Kind::UserGrantRole(_)
        | Kind::UserRevokeRole(_)
        | Kind::RoleAdd(_)
        | Kind::RoleDelete(_)
        | Kind::RoleGrantPermission(_)
        | Kind::RoleRevokePermission(_) => auth::apply(state, &kind),
        Kind::Downgrade(request) => upkeep::downgrade(state, &request),
        Kind::LeaseCheckpoint(request) => upkeep::checkpoint(state, &request),
        Kind::V2(request) => {
            let (result, outcome, rows) = state.v2.apply(&request);
            let reply = result.map(|event| event.map_or(Reply::Done, Reply::V2));
            let mut applied = Applied::new(reply.map_err(ApplyError::V2));
            applied.side = rows;
            applied.v2 = Some(outcome);
            applied
        }
    }
}

/// Alarms decide what may pass. In force at apply too, so that every member refuses the same.
fn admit(state: &State, kind: &Kind) -> Result<(), ApplyError> {
    let changes_keys = matches!(
        kind,
        Kind::Put(_)
            | Kind::DeleteRange(_)
            | Kind::Txn(_)
            | Kind::Compaction(_)
            | Kind::LeaseGrant(_)
            | Kind::LeaseRevoke(_)
    );
    if changes_keys && state.alarms.any(AlarmType::Corrupt) {
        return Err(ApplyError::Corrupt);
    }
    if state.alarms.any(AlarmType::Nospace) && takes_space(kind) {
        return Err(ApplyError::NoSpace);
    }
    Ok(())
}

fn takes_space(kind: &Kind) -> bool {
    match kind {
        Kind::Put(_) | Kind::LeaseGrant(_) => true,
        Kind::Txn(request) => kv::check::quota_cost_txn(request) > 0,
        _ => false,
    }
}

fn compact(state: &mut State, request: &CompactionRequest) -> Applied {
    match state.kv.compact(request.revision) {
        Ok(()) => {
            let mut applied = Applied::new(Ok(Reply::Compaction(CompactionResponse::default())));
            applied.compacted = Some(request.revision);
            applied
        }
        Err(error) => Applied::new(Err(error.into())),
    }
}

fn grant(state: &mut State, request: &LeaseGrantRequest) -> Applied {
    match state.leases.grant(request.id, request.ttl) {
        Ok(()) => {
            let response =
                LeaseGrantResponse { id: request.id, ttl: request.ttl, ..Default::default() };
            let mut applied = Applied::new(Ok(Reply::LeaseGrant(response)));
            applied.side.push(side::lease(request.id, Some(request.ttl)));
            applied.leases.push(LeaseEvent::Granted(request.id, request.ttl));
            applied
        }
        Err(error) => Applied::new(Err(error.into())),
    }
}

/// Each lease's keys go at one revision of their own. An unknown id is an error only when
/// it is the only one: in a batch it was revoked by someone else meanwhile.
fn revoke(state: &mut State, request: &LeaseRevoke) -> Applied {
    let mut applied = Applied::new(Ok(Reply::Done));
    let mut known = 0;
    for id in &request.ids {
        let checkpointed = state.leases.left(*id).is_some();
        let Some(keys) = state.leases.revoke(*id) else { continue };
        known += 1;
        if checkpointed {
            applied.side.push(side::lease_left(*id, None));
        }
        let changes = kv::delete_keys(&mut state.kv, &mut state.leases, keys);
        if !changes.is_empty() {
            applied.changes.push(changes);
        }
        applied.side.push(side::lease(*id, None));
        applied.leases.push(LeaseEvent::Revoked(*id));
    }
    if known == 0 {
        applied.reply = Err(LeaseError::NotFound.into());
    }
    applied
}

fn alarm(state: &mut State, request: &AlarmRequest) -> Applied {
    let kind = request.alarm();
    let member = request.member_id;
    let mut response = AlarmResponse::default();
    let mut changes = Vec::new();
    match request.action() {
        AlarmAction::Get => response.alarms = state.alarms.list(kind),
        AlarmAction::Activate => {
            if kind != AlarmType::None {
                state.alarms.raise(member, kind);
                changes.push(side::alarm(member, kind, true));
                response.alarms.push(proto::etcdserverpb::AlarmMember {
                    member_id: member,
                    alarm: kind as i32,
                });
            }
        }
        AlarmAction::Deactivate => {
            // By member and type only, as in etcd: `etcdctl alarm disarm` lists them and asks
            // for each.
            if state.alarms.disarm(member, kind) {
                changes.push(side::alarm(member, kind, false));
                response.alarms.push(proto::etcdserverpb::AlarmMember {
                    member_id: member,
                    alarm: kind as i32,
                });
            }
        }
    }
    let mut applied = Applied::new(Ok(Reply::Alarm(response)));
    applied.side = changes;
    applied
}

/// Makes a committed membership change, if it is still possible.
pub fn change_members(
    state: &mut State,
    change: &MemberChange,
) -> Result<Vec<SideChange>, ClusterError> {
    state.members.check(change)?;
    state.members.apply(change);
    Ok(side::member(&state.members, change.member_id))
}
