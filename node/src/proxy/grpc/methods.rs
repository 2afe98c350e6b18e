//! What a proxy has to know of a method: how many messages there are, and whether asking twice is
//! the same as asking once.
//!
//! The invariant: a method that is not among a member's is refused here, and one that may change
//! something is never asked twice unless it surely was not asked the first time.

use crate::api::gate;

/// One method of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A question and an answer. `repeatable`: nothing is changed by it.
    Single { repeatable: bool },
    /// Any number of messages, either way.
    Stream,
}

pub const RANGE: &str = "/etcdserverpb.KV/Range";
pub const PUT: &str = "/etcdserverpb.KV/Put";
pub const DELETE_RANGE: &str = "/etcdserverpb.KV/DeleteRange";
pub const TXN: &str = "/etcdserverpb.KV/Txn";
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
pub const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
pub const LEASE_KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
pub const TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";
pub const MEMBER_LIST: &str = "/etcdserverpb.Cluster/MemberList";
pub const LOCK: &str = "/v3lockpb.Lock/Lock";
pub const UNLOCK: &str = "/v3lockpb.Lock/Unlock";
pub const CAMPAIGN: &str = "/v3electionpb.Election/Campaign";
pub const PROCLAIM: &str = "/v3electionpb.Election/Proclaim";
pub const LEADER: &str = "/v3electionpb.Election/Leader";
pub const OBSERVE: &str = "/v3electionpb.Election/Observe";
pub const RESIGN: &str = "/v3electionpb.Election/Resign";

const STREAMS: &[&str] = &[
    WATCH,
    LEASE_KEEP_ALIVE,
    "/etcdserverpb.Maintenance/Snapshot",
    OBSERVE,
    "/grpc.health.v1.Health/Watch",
];

const REPEATABLE: &[&str] = &[
    RANGE,
    TIME_TO_LIVE,
    "/etcdserverpb.Lease/LeaseLeases",
    MEMBER_LIST,
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Maintenance/Hash",
    "/etcdserverpb.Maintenance/HashKV",
    "/etcdserverpb.Auth/AuthStatus",
    "/etcdserverpb.Auth/UserGet",
    "/etcdserverpb.Auth/UserList",
    "/etcdserverpb.Auth/RoleGet",
    "/etcdserverpb.Auth/RoleList",
    LEADER,
    "/grpc.health.v1.Health/Check",
];

/// The shape of the method of this path, if there is one.
pub fn shape(path: &str) -> Option<Shape> {
    gate::rule(path)?;
    Some(match STREAMS.contains(&path) {
        true => Shape::Stream,
        false => Shape::Single { repeatable: REPEATABLE.contains(&path) },
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn streams_are_those_of_the_descriptors() {
        let set = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
        let mut known = 0;
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let Some(shape) = shape(&path) else { continue };
                    let streams = method.client_streaming() || method.server_streaming();
                    assert_eq!(shape == Shape::Stream, streams, "{path}");
                    known += 1;
                }
            }
        }
        assert!(known > 40, "{known}");
    }

    #[test]
    fn what_changes_something_is_not_repeated() {
        for path in REPEATABLE {
            assert_eq!(shape(path), Some(Shape::Single { repeatable: true }), "{path}");
        }
        for path in [PUT, DELETE_RANGE, TXN, LEASE_GRANT, LOCK, CAMPAIGN] {
            assert_eq!(shape(path), Some(Shape::Single { repeatable: false }), "{path}");
        }
        assert_eq!(shape("/etcdserverpb.KV/Drop"), None);
    }
}
