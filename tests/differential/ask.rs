//! What is asked: one request, or a few that only make sense together.

use proto::etcdserverpb as pb;

use crate::malformed::Malformed;
use crate::upkeep::Target;
use crate::users::{Users, Who};

/// Lease ids from here on name what a server picked itself: `PICKED + 2` is the third lease
/// of that kind. A server never sees such a number, see [`crate::normal`].
pub const PICKED: i64 = i64::MIN + 1_000;

/// One step of a run.
#[derive(Clone, Debug)]
pub enum Ask {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    Grant(pb::LeaseGrantRequest),
    /// A lease that would end during the run is revoked at once.
    GrantAndRevoke(pb::LeaseGrantRequest),
    Revoke(i64),
    TimeToLive(pb::LeaseTimeToLiveRequest),
    Leases,
    /// Several keep-alives on one stream.
    KeepAlive(Vec<i64>),
    MemberList,
    MemberAdd(pb::MemberAddRequest),
    MemberRemove(u64),
    MemberUpdate(pb::MemberUpdateRequest),
    MemberPromote(u64),
    /// A learner is added, not promoted, moved and removed, and what cannot be done meanwhile.
    Learner,
    MoveLeader(u64),
    HashKv(i64),
    Hash,
    Snapshot,
    /// A downgrade that is asked about or taken back, none being under way.
    Downgrade(i32, Target),
    /// One that is announced, followed, and taken back.
    Downgrades,
    Alarms,
    /// Out of space by decree, and what may still be asked.
    NoSpace(Vec<Ask>),
    Status,
    Defragment,
    /// A watch on the one stream that is open during the whole run.
    Watch(pb::WatchCreateRequest),
    CancelWatch(i64),
    /// Waits until all watchers have caught up, and compares all they got since.
    CatchUp,
    Progress,
    /// A watch on a stream of its own, until its last event has come.
    WatchOnce(pb::WatchCreateRequest),
    /// A lock of this name is taken with this lease, and left.
    Lock(String, i64),
    /// An election of this name is won with this lease, used, and left.
    Elect(String, i64),
    /// Something for the gateway that is no request, or hardly one.
    Malformed(Malformed),
    /// Users, roles and rights.
    Users(Users),
    /// Asked by somebody.
    As(Who, Box<Ask>),
}
