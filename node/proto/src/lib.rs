//! Wire types: etcd's client API, the messages between members, and the commands in the log.
//!
//! A leaf crate. It holds generated code and nothing else; what the fields mean is written
//! in the `.proto` files beside it. `bytes` fields are [`bytes::Bytes`]: decoding shares the
//! receive buffer, so whoever keeps a field for long copies it first.

#![allow(clippy::all, clippy::unwrap_used)]

/// Key-value pairs and events.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Users, roles and permissions.
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// etcd's v3 client API.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// Locks held by the server.
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

/// Elections run by the server.
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

/// The standard gRPC health check.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// What members say to each other.
pub mod peer {
    tonic::include_proto!("etcdtuipeer");
}

/// What the raft log holds.
pub mod command {
    tonic::include_proto!("etcdtuicommand");
}

/// Requests, rows and events of etcd's v2 keys.
pub mod v2 {
    tonic::include_proto!("v2");
}

/// All of the above described, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
