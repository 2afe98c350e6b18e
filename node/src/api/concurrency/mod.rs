//! Lock and Election: the recipes that clients otherwise run themselves, run by the member.
//!
//! Both are a line of keys under one prefix, `<name>/<lease in hex>`. Who has the key with the
//! lowest creation revision has the lock, or leads; the others wait for the key before theirs
//! to go. A key goes when its lease does, so nobody who died is in the way for long.
//!
//! The member does nothing here that its client could not do: each step is a request to the
//! same services, with the client's credentials ([`caller`]). State is in the keys alone, so
//! any member can serve the next request.
//!
//! Invariant: a request that ends without having got what it asked for leaves no key behind
//! that it has made, however it ends ([`place::in_line`]).

mod caller;
mod election;
mod lock;
mod observe;
mod place;

use tonic::{Code, Status};

/// Errors of the inner requests lose their code here, as in etcd. What ended the request
/// itself keeps it.
fn outwards(status: Status) -> Status {
    match status.code() {
        Code::Cancelled | Code::DeadlineExceeded => status,
        _ => Status::unknown(status.message()),
    }
}
