//! Keys live as long as their lease.
//!
//! # Invariant
//! Time is the clients' own: an acknowledged grant or keepalive, invoked at `t`, promises the
//! keys until `t` plus the time to live, whatever leader timed it. When a lease ends late
//! nothing is proved, since every change of leader may prolong it; that is for a drill to
//! measure.

use crate::committed::Committed;
use crate::record::{Answer, History, Nanos, Operation, Outcome, Request};
use crate::replay::{Seen, lease_that_ended};
use crate::verdict::{Report, Rule, Violation};

const SECOND: Nanos = 1_000_000_000;

/// Checks every end of a lease that nobody asked for.
pub fn check(history: &History, committed: &Committed, report: &mut Report) {
    let seen = Seen::new(history);
    for (revision, _) in committed.between(committed.start(), i64::MAX) {
        let Some(lease) = lease_that_ended(committed, revision) else { continue };
        let Some(gone) = seen.first(revision) else { continue };
        if history.operations.iter().any(|operation| may_have_ended(operation, lease)) {
            continue;
        }
        for operation in &history.operations {
            let Some(until) = promised(operation, lease) else { continue };
            if gone < until {
                let what = format!(
                    "the keys of lease {lease} were gone at revision {revision}, {:.3} s before \
                     the time to live was over",
                    (until - gone) as f64 / 1e9
                );
                report.violations.push(Violation::new(Rule::Lease, what).shown_by([operation]));
                break;
            }
        }
    }
    orphans(history, committed, report);
}

/// Whether a client may have ended the lease, or deleted its keys, itself.
fn may_have_ended(operation: &Operation, lease: i64) -> bool {
    let asked = match &operation.request {
        Request::Revoke { lease: revoked } => *revoked == lease,
        Request::Delete { .. } => true,
        Request::Txn(txn) => txn
            .success
            .iter()
            .chain(&txn.failure)
            .any(|one| matches!(one, crate::record::TxnOp::Delete { .. })),
        _ => false,
    };
    asked && !matches!(operation.outcome, Outcome::Refused(_))
}

/// Until when this operation promises the lease.
fn promised(operation: &Operation, lease: i64) -> Option<Nanos> {
    let asked = match &operation.request {
        Request::Grant { lease: granted, .. } => *granted == lease,
        Request::KeepAlive { lease: kept } => *kept == lease,
        _ => false,
    };
    match &operation.outcome {
        Outcome::Ok(response) if asked => match response.answer {
            Answer::Ttl(seconds) if seconds > 0 => {
                Some(operation.invoked + seconds as Nanos * SECOND)
            }
            _ => None,
        },
        _ => None,
    }
}

/// After a lease was revoked, and not granted again, no key hangs on it.
fn orphans(history: &History, committed: &Committed, report: &mut Report) {
    for operation in &history.operations {
        let (Request::Revoke { lease }, Outcome::Ok(_)) = (&operation.request, &operation.outcome)
        else {
            continue;
        };
        let is_grant = |one: &&Operation| matches!(&one.request, Request::Grant { lease: id, .. } if id == lease);
        if history.operations.iter().filter(is_grant).count() != 1 {
            continue;
        }
        let left = committed.keys_of_lease(*lease, committed.last());
        if !left.is_empty() {
            let what = format!("lease {lease} was revoked, and its keys {left:?} are still there");
            report.violations.push(Violation::new(Rule::Lease, what).shown_by([operation]));
        }
    }
}
