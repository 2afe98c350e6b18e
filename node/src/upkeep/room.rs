//! Free space of the disk, given back before a member serves (`--bootstrap-defrag-threshold-megabytes`).
//!
//! What compaction frees is reused, and given back only by a defragmentation. A start is a good
//! moment for one: nobody waits for this member yet.

use std::sync::Arc;

use crate::member::Member;
use crate::spelling;
use crate::storage::store::StoreError;

/// Defragments when what that can free is worth it. Blocks.
pub fn make(member: &Arc<Member>) -> Result<(), StoreError> {
    let Some(threshold) = member.config.upkeep.defragment_at_start else { return Ok(()) };
    let (size, in_use) = (member.store.size_on_disk(), member.db_size_in_use());
    if size.saturating_sub(in_use) < threshold {
        tracing::info!(
            current_db_size_bytes = size,
            current_db_size = spelling::bytes(size),
            current_db_size_in_use_bytes = in_use,
            current_db_size_in_use = spelling::bytes(in_use),
            experimental_bootstrap_defrag_threshold_bytes = threshold,
            experimental_bootstrap_defrag_threshold = spelling::bytes(threshold),
            "Skipping defragmentation"
        );
        return Ok(());
    }
    member.defragment()
}
