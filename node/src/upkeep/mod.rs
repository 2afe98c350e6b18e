//! What a member does by itself that needs the other members: comparing data, agreeing on
//! versions, and stepping out when its own disk lies.
//!
//! Determinism makes members equal; [`corruption`] finds out when something (a defect of the
//! hardware, or of this program) made it fail. A member in the minority is named in a
//! CORRUPT alarm, which stops reads and writes of keys in the whole cluster until an operator
//! takes it back; when there is no majority nobody can tell who is right, and the alarm names
//! member 0. [`judge`] is the decision alone, [`corruption`] asks and acts.
//!
//! [`versions`] keeps the cluster version and ends downgrades. [`damage`] watches the store,
//! [`room`] gives back what it does not need.

pub mod corruption;
pub mod damage;
pub mod judge;
pub mod room;
pub mod versions;

use std::time::Duration;

use crate::api::Service;

/// Between tries of what needs a leader.
const RETRY: Duration = Duration::from_millis(200);

/// Starts all of it, once the member serves.
pub fn start(service: &Service) {
    tokio::spawn(damage::watch(service.member.clone()));
    tokio::spawn(corruption::periodic(service.clone()));
    tokio::spawn(corruption::after_compactions(service.clone()));
    tokio::spawn(versions::end_downgrades(service.clone()));
    tokio::spawn(versions::monitor(service.clone()));
}
