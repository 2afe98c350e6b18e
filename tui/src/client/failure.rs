//! gRPC and transport errors as sentences a person can act on.

use crate::msg::{Failure, FailureKind};
use std::error::Error;
use std::time::Duration;
use tonic::{Code, Status};

/// A failed call as a kind to decide by and a text to show.
pub fn from_status(status: &Status) -> Failure {
    let message = status.message();
    let chain = error_chain(status);
    let has = |text: &str| message.contains(text) || chain.contains(text);
    let known = [
        ("Connection refused", FailureKind::Refused, "connection refused"),
        ("Connection reset", FailureKind::Refused, "connection reset"),
        ("connection closed", FailureKind::Refused, "connection closed"),
        ("broken pipe", FailureKind::Refused, "connection closed"),
        ("required revision has been compacted", FailureKind::Compacted, "revision compacted"),
        ("etcdserver: no leader", FailureKind::NoLeader, "the cluster has no leader"),
        ("request timed out", FailureKind::Timeout, "the cluster did not answer in time"),
        (
            "permission denied",
            FailureKind::Denied,
            "this user may not do that (etcdserver: permission denied)",
        ),
        ("failed to lookup address", FailureKind::Address, "no such host"),
        ("dns error", FailureKind::Address, "no such host"),
        (
            "invalid peer certificate",
            FailureKind::Address,
            "its certificate is not one to trust: is --cacert the right authority?",
        ),
        (
            "received fatal alert",
            FailureKind::Address,
            "it refuses this TLS client: does it want --cert and --key?",
        ),
        ("No route to host", FailureKind::Refused, "no route to host"),
        ("Network is unreachable", FailureKind::Refused, "the network is unreachable"),
    ];
    if let Some((_, kind, text)) = known.into_iter().find(|(pattern, ..)| has(pattern)) {
        return Failure::new(kind, text);
    }
    let foreign =
        ["frame with invalid size", "invalid HTTP version", "http2 error", "protocol error"];
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled if !has("http2") => {
            Failure::new(FailureKind::Timeout, "no answer in time")
        }
        Code::Unimplemented => Failure::new(
            FailureKind::NotEtcd,
            "something answers there, but not as an etcd v3 server",
        ),
        _ if foreign.iter().any(|pattern| has(pattern)) => Failure::new(
            FailureKind::NotEtcd,
            "something answers there, but not over gRPC: is it https, or a peer URL?",
        ),
        // What has no cause that is known above; as a stream breaks off, its code is another.
        Code::Unavailable | Code::Unknown
            if message.is_empty() || message.contains("transport") =>
        {
            Failure::new(FailureKind::Refused, "cannot be reached")
        }
        _ => Failure::new(FailureKind::Server, message.to_owned()),
    }
}

fn error_chain(status: &Status) -> String {
    let mut text = String::new();
    let mut source: Option<&dyn Error> = status.source();
    while let Some(error) = source {
        text.push_str(&error.to_string());
        text.push_str(": ");
        source = error.source();
    }
    text
}

/// Runs a call with a deadline.
pub async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(from_status(&status)),
        Err(_) => {
            let text = format!("no answer within {:.1} s", limit.as_secs_f32());
            Err(Failure::new(FailureKind::Timeout, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_own_errors_keep_their_meaning() {
        let kind = |code, text: &str| from_status(&Status::new(code, text)).kind;
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(kind(Code::OutOfRange, compacted), FailureKind::Compacted);
        assert_eq!(kind(Code::Unavailable, "etcdserver: no leader"), FailureKind::NoLeader);
        let timeout = "etcdserver: request timed out";
        assert_eq!(kind(Code::Unavailable, timeout), FailureKind::Timeout);
        assert_eq!(kind(Code::Unimplemented, ""), FailureKind::NotEtcd);
        assert_eq!(kind(Code::Unknown, "transport error"), FailureKind::Refused);
        assert_eq!(
            kind(Code::PermissionDenied, "etcdserver: permission denied"),
            FailureKind::Denied
        );
        let other = from_status(&Status::new(Code::ResourceExhausted, "mvcc: no space"));
        assert_eq!((other.kind, other.text.as_str()), (FailureKind::Server, "mvcc: no space"));
    }
}
