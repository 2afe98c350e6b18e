//! The conditions of a transaction.
//!
//! Every condition of a transaction, those of nested transactions included, is decided on
//! the state before its first write. A missing key compares as a version of all zeros, which
//! makes `version == 0` the test for absence; only its value compares as nothing at all, so
//! that an absent key differs from one with an empty value. Over a range the condition must
//! hold for every key in it.

use std::cmp::Ordering;

use proto::etcdserverpb::Compare;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};

use super::key_range::KeyRange;
use super::{KeyValue, Kv};

/// Whether every condition holds now.
pub(super) fn all_hold(kv: &Kv, compares: &[Compare]) -> bool {
    compares.iter().all(|compare| holds(kv, compare))
}

fn holds(kv: &Kv, compare: &Compare) -> bool {
    let keys = KeyRange::new(&compare.key, &compare.range_end);
    let mut versions = kv.histories(&keys).filter_map(|history| history.current()).peekable();
    if versions.peek().is_none() {
        let of_value = compare.target == CompareTarget::Value as i32;
        return !of_value && holds_for(compare, None);
    }
    versions.all(|version| holds_for(compare, Some(version)))
}

fn holds_for(compare: &Compare, version: Option<&KeyValue>) -> bool {
    let ordering = order(compare, version);
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        // etcd holds an unknown condition for true, and replicas must agree for ever.
        Err(_) => true,
    }
}

/// How what is stored stands to what the condition names. An operand of another kind than
/// the target is as good as none: zero, or no bytes.
fn order(compare: &Compare, version: Option<&KeyValue>) -> Ordering {
    let stored = |field: fn(&KeyValue) -> i64| version.map_or(0, field);
    match (CompareTarget::try_from(compare.target), compare.target_union.as_ref()) {
        (Ok(CompareTarget::Version), operand) => stored(|kv| kv.version).cmp(match operand {
            Some(TargetUnion::Version(wanted)) => wanted,
            _ => &0,
        }),
        (Ok(CompareTarget::Create), operand) => {
            stored(|kv| kv.create_revision).cmp(match operand {
                Some(TargetUnion::CreateRevision(wanted)) => wanted,
                _ => &0,
            })
        }
        (Ok(CompareTarget::Mod), operand) => stored(|kv| kv.mod_revision).cmp(match operand {
            Some(TargetUnion::ModRevision(wanted)) => wanted,
            _ => &0,
        }),
        (Ok(CompareTarget::Lease), operand) => stored(|kv| kv.lease).cmp(match operand {
            Some(TargetUnion::Lease(wanted)) => wanted,
            _ => &0,
        }),
        (Ok(CompareTarget::Value), operand) => {
            version.map_or(&[][..], |kv| &kv.value).cmp(match operand {
                Some(TargetUnion::Value(wanted)) => wanted,
                _ => &[],
            })
        }
        (Err(_), _) => Ordering::Equal,
    }
}
