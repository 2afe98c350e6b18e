//! Sizes that the member holds to.

use node::config::Limits;

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, number};

pub const SECTION: Section = Section {
    title: "Limits",
    flags: &[
        number("snapshot-count", "10000", "Applied entries that trigger a snapshot."),
        number("snapshot-catchup-entries", "5000", "Entries kept for slow followers."),
        number("quota-backend-bytes", "0", "Database size limit (0: 2GiB, negative: none)."),
        number("max-request-bytes", "1572864", "Largest client request in bytes."),
        number("max-txn-ops", "128", "Most operations in one transaction."),
    ],
};

/// etcd's limit when `--quota-backend-bytes` is 0.
const QUOTA_DEFAULT_BYTES: u64 = 2 * 1024 * 1024 * 1024;

pub fn build(settings: &Settings) -> Result<Limits, FlagError> {
    Ok(Limits {
        snapshot_count: snapshot_count(settings)?,
        catch_up_entries: settings.number("snapshot-catchup-entries")?,
        quota_bytes: match settings.number::<i64>("quota-backend-bytes")? {
            0 => Some(QUOTA_DEFAULT_BYTES),
            bytes => u64::try_from(bytes).ok(),
        },
        max_request_bytes: settings.number::<u32>("max-request-bytes")? as usize,
        max_txn_ops: settings.number::<u32>("max-txn-ops")? as usize,
    })
}

/// 0 means the default, as in etcd.
fn snapshot_count(settings: &Settings) -> Result<u64, FlagError> {
    match settings.number("snapshot-count")? {
        0 => Ok(10_000),
        count => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    use crate::flags::testing::options;

    #[test]
    fn a_negative_quota_is_none() {
        let quota = |text: &str| {
            options(&[&format!("--quota-backend-bytes={text}")]).map(|o| o.limits.quota_bytes)
        };
        assert_eq!(quota("-1"), Ok(None));
        assert_eq!(quota("16777216"), Ok(Some(16_777_216)));
        assert!(quota("2GiB").is_err());
    }
}
