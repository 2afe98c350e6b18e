//! Every error that a client can get, as a gRPC status with etcd's code and text.
//!
//! Clients tell errors apart by text, so the texts are etcd's to the letter. Where an error
//! type of ours carries the text already, only the code is chosen here.

use tonic::{Code, Status};

use super::rpc_counts::code_name;
use crate::auth::AuthError;
use crate::cluster::ClusterError;
use crate::cluster::version::DowngradeError;
use crate::consensus::handle::ConsensusError;
use crate::kv::KvError;
use crate::lease::LeaseError;
use crate::login::password::PasswordError;
use crate::machine::ApplyError;

/// An error with a gRPC code.
pub trait WireError: std::fmt::Display {
    /// etcd's code for it.
    fn code(&self) -> Code;
}

/// The status of an error; its text is the error's own.
pub fn to_status(error: impl WireError) -> Status {
    Status::new(error.code(), error.to_string())
}

/// A status as Go's gRPC prints it: the form in which a watch is told why it ends.
pub fn go_text(status: &Status) -> String {
    format!("rpc error: code = {} desc = {}", code_name(status.code()), status.message())
}

impl WireError for KvError {
    fn code(&self) -> Code {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSortOption => Code::InvalidArgument,
            Self::LeaseNotFound => Code::NotFound,
            Self::Compacted | Self::FutureRevision => Code::OutOfRange,
            Self::History(_) => Code::DataLoss,
        }
    }
}

impl WireError for LeaseError {
    fn code(&self) -> Code {
        match self {
            Self::Exists => Code::FailedPrecondition,
            Self::NotFound => Code::NotFound,
            Self::TtlTooLarge => Code::OutOfRange,
            Self::NotLeader => Code::FailedPrecondition,
        }
    }
}

impl WireError for ClusterError {
    fn code(&self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::IdExists
            | Self::PeerUrlExists
            | Self::TooManyLearners
            | Self::NotLearner
            | Self::LearnerNotReady => Code::FailedPrecondition,
            // etcd declares FailedPrecondition, but its server answers Unknown (3.5.1).
            Self::NotEnoughStarted => Code::FailedPrecondition,
            Self::BadUrls => Code::InvalidArgument,
            Self::Unhealthy => Code::Unavailable,
        }
    }
}

impl WireError for DowngradeError {
    fn code(&self) -> Code {
        match self {
            Self::Format | Self::Target => Code::InvalidArgument,
            Self::InProgress | Self::NoClusterVersion => Code::FailedPrecondition,
        }
    }
}

impl WireError for ApplyError {
    fn code(&self) -> Code {
        match self {
            Self::Kv(error) => error.code(),
            Self::Lease(error) => error.code(),
            Self::Cluster(error) => error.code(),
            Self::Auth(error) => error.code(),
            Self::Downgrade(error) => error.code(),
            Self::NoSpace => Code::ResourceExhausted,
            Self::Corrupt => Code::DataLoss,
            // v2 has errors of its own and never comes this way.
            Self::V2(_) | Self::Unknown => Code::Unknown,
        }
    }
}

impl WireError for AuthError {
    fn code(&self) -> Code {
        match self {
            Self::UserEmpty
            | Self::RoleEmpty
            | Self::Failed
            | Self::PermissionNotGiven
            | Self::InvalidManagement
            | Self::OldRevision => Code::InvalidArgument,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::InvalidToken => Code::Unauthenticated,
            Self::RootUserMissing
            | Self::RootRoleMissing
            | Self::UserExists
            | Self::UserNotFound
            | Self::RoleExists
            | Self::RoleNotFound
            | Self::RoleNotGranted
            | Self::PermissionNotGranted
            | Self::NotEnabled => Code::FailedPrecondition,
        }
    }
}

impl WireError for PasswordError {
    fn code(&self) -> Code {
        match self {
            Self::TooMany => Code::ResourceExhausted,
            Self::TooLong | Self::Failed => Code::Unknown,
        }
    }
}

impl WireError for ConsensusError {
    fn code(&self) -> Code {
        match self {
            Self::TooManyRequests => Code::ResourceExhausted,
            Self::Timeout
            | Self::TimeoutLeaderFailure
            | Self::Stopped
            | Self::NoLeader
            | Self::LeaderChanged => Code::Unavailable,
        }
    }
}

/// A request whose log entry would be larger than `--max-request-bytes`.
pub fn request_too_large() -> Status {
    Status::invalid_argument("etcdserver: request is too large")
}

/// The client's version is no text.
pub fn invalid_client_version() -> Status {
    Status::invalid_argument("etcdserver: invalid client api version")
}

/// The quota is used up.
pub fn no_space() -> Status {
    to_status(ApplyError::NoSpace)
}

/// A learner was asked for what only a voter may answer.
pub fn not_for_learner() -> Status {
    Status::failed_precondition("etcdserver: rpc not supported for learner")
}

/// The request is for the leader, and this is not it.
pub fn not_leader() -> Status {
    Status::failed_precondition("etcdserver: not leader")
}

/// Leadership cannot go to that member.
pub fn bad_transferee() -> Status {
    Status::failed_precondition("etcdserver: bad leader transferee")
}

/// There is no leader.
pub fn no_leader() -> Status {
    to_status(ConsensusError::NoLeader)
}

/// A request message larger than the receive limit; `size` is the message's.
pub fn message_too_large(size: u64, limit: u64) -> Status {
    let text = format!("grpc: received message larger than max ({size} vs. {limit})");
    Status::resource_exhausted(text)
}
