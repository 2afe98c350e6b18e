//! Steps out when the applied state on disk turns out to be damaged.
//!
//! A value whose checksum is wrong is never served, but a member that cannot read its own
//! history must not go on as if nothing were: watchers would miss events, hashes could not
//! be compared, a snapshot could not be made. It ends with a clear word, and the next start
//! sets the damaged store aside and rebuilds it from snapshot and log. No alarm is raised:
//! that would stop the cluster for what one member can mend alone.

use std::sync::Arc;

use crate::consensus::transport::Expelled;
use crate::member::Member;

/// Waits for damage, and ends the member.
pub async fn watch(member: Arc<Member>) {
    let why = member.store.condemned().await;
    tracing::error!(
        error = %why,
        "the applied state on disk is damaged; this member ends, and rebuilds it from snapshot \
         and log at its next start"
    );
    let _ = member.expelled.send(Expelled(format!("the applied state is damaged: {why}")));
}
