//! The replicated part of leases: what exists, and what is attached to it.
//!
//! # Invariant
//! A key is attached to at most one lease, that lease exists, and the two directions (keys
//! of a lease, lease of a key) always agree. All methods are functions of the state and
//! their arguments alone; iteration is in id order and key order, so that members that
//! applied the same log write the same snapshot and delete keys in the same order.
//!
//! # Left to others
//! Deleting the keys of a revoked lease (the key space does, at one revision), and time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{LeaseError, MAXIMUM_TTL};
use crate::kv::LeaseBook;

/// All leases of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    leases: BTreeMap<i64, Lease>,
    /// The lease of every attached key.
    attached: HashMap<Arc<[u8]>, i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lease {
    ttl: i64,
    /// Seconds left at the last checkpoint; 0 when it was renewed since, or never noted.
    left: i64,
    keys: BTreeSet<Arc<[u8]>>,
}

impl Lease {
    fn new(ttl: i64) -> Self {
        Self { ttl, left: 0, keys: BTreeSet::new() }
    }
}

impl Leases {
    /// No lease.
    pub fn new() -> Self {
        Self::default()
    }

    /// The leases of a snapshot, as [`Leases::export`] gave them. Their keys are attached
    /// again from the current values, with [`Leases::attach`].
    pub fn restore(leases: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let leases = leases.into_iter().map(|(id, ttl)| (id, Lease::new(ttl)));
        Self { leases: leases.collect(), attached: HashMap::new() }
    }

    /// Every lease with its granted TTL, in id order.
    pub fn export(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.leases.iter().map(|(id, lease)| (*id, lease.ttl))
    }

    /// Creates a lease of `ttl` seconds.
    pub fn grant(&mut self, id: i64, ttl: i64) -> Result<(), LeaseError> {
        // 0 is how a put says "no lease", so no lease can ever have that id.
        if id == 0 {
            return Err(LeaseError::NotFound);
        }
        if ttl > MAXIMUM_TTL {
            return Err(LeaseError::TtlTooLarge);
        }
        if self.exists(id) {
            return Err(LeaseError::Exists);
        }
        self.leases.insert(id, Lease::new(ttl));
        Ok(())
    }

    /// Ends a lease. The answer is the keys that must now be deleted, sorted; `None` when
    /// there is no such lease.
    pub fn revoke(&mut self, id: i64) -> Option<Vec<Arc<[u8]>>> {
        let lease = self.leases.remove(&id)?;
        for key in &lease.keys {
            self.attached.remove(key);
        }
        Some(lease.keys.into_iter().collect())
    }

    /// Whether the lease exists. Never true of 0.
    pub fn exists(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// Attaches `key` to the lease, away from the one it was attached to. Nothing happens
    /// when there is no such lease: callers check [`Leases::exists`] before they change
    /// anything.
    pub fn attach(&mut self, id: i64, key: &Arc<[u8]>) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        lease.keys.insert(key.clone());
        let before = self.attached.insert(key.clone(), id);
        if let Some(before) = before.filter(|before| *before != id)
            && let Some(lease) = self.leases.get_mut(&before)
        {
            lease.keys.remove(key);
        }
    }

    /// Takes `key` off the lease, if it is attached to that one.
    pub fn detach(&mut self, id: i64, key: &Arc<[u8]>) {
        if self.lease_of(key) != Some(id) {
            return;
        }
        self.attached.remove(key);
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    /// The TTL the lease was granted, in seconds.
    pub fn ttl(&self, id: i64) -> Option<i64> {
        self.leases.get(&id).map(|lease| lease.ttl)
    }

    /// Notes that `left` seconds are left of the lease, 0 to forget it. False if there is no
    /// such lease.
    pub fn checkpoint(&mut self, id: i64, left: i64) -> bool {
        let Some(lease) = self.leases.get_mut(&id) else { return false };
        lease.left = left.clamp(0, lease.ttl.max(0));
        true
    }

    /// What the last checkpoint says is left of the lease.
    pub fn left(&self, id: i64) -> Option<i64> {
        self.leases.get(&id).map(|lease| lease.left).filter(|left| *left > 0)
    }

    /// Leases with a checkpoint, and what it says is left.
    pub fn checkpoints(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.leases.iter().filter(|(_, lease)| lease.left > 0).map(|(id, lease)| (*id, lease.left))
    }

    /// The keys attached to the lease, sorted; `None` when there is no such lease.
    pub fn keys(&self, id: i64) -> Option<impl Iterator<Item = &Arc<[u8]>>> {
        self.leases.get(&id).map(|lease| lease.keys.iter())
    }

    /// The lease `key` is attached to.
    pub fn lease_of(&self, key: &[u8]) -> Option<i64> {
        self.attached.get(key).copied()
    }

    /// The ids of all leases, in order.
    pub fn list(&self) -> impl Iterator<Item = i64> + '_ {
        self.leases.keys().copied()
    }

    /// How many leases there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is no lease.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}

impl LeaseBook for Leases {
    fn exists(&self, lease: i64) -> bool {
        Self::exists(self, lease)
    }

    fn attach(&mut self, lease: i64, key: &Arc<[u8]>) {
        Self::attach(self, lease, key);
    }

    fn detach(&mut self, lease: i64, key: &Arc<[u8]>) {
        Self::detach(self, lease, key);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Arc<[u8]> {
        Arc::from(text.as_bytes())
    }

    #[test]
    fn refusals() {
        let mut leases = Leases::new();
        assert_eq!(leases.grant(0, 5), Err(LeaseError::NotFound));
        assert_eq!(leases.grant(7, MAXIMUM_TTL + 1), Err(LeaseError::TtlTooLarge));
        assert_eq!(leases.grant(7, MAXIMUM_TTL), Ok(()));
        assert_eq!(leases.grant(7, 5), Err(LeaseError::Exists));
        assert_eq!(leases.grant(7, MAXIMUM_TTL + 1), Err(LeaseError::TtlTooLarge));
        assert_eq!(leases.grant(-7, 5), Ok(()), "a negative id is an id");
        assert_eq!(leases.ttl(7), Some(MAXIMUM_TTL));
        assert_eq!(leases.revoke(8), None);
    }

    #[test]
    fn revoked_keys_come_sorted_and_are_free() {
        let mut leases = Leases::new();
        leases.grant(1, 5).unwrap();
        for text in ["b", "a", "c", "a"] {
            leases.attach(1, &key(text));
        }
        assert_eq!(leases.revoke(1), Some(vec![key("a"), key("b"), key("c")]));
        assert_eq!(leases.lease_of(b"a"), None);
        leases.detach(1, &key("a"));
        assert_eq!(leases, Leases::new());
    }

    #[test]
    fn attaching_to_a_lease_that_is_gone_attaches_nothing() {
        let mut leases = Leases::new();
        leases.grant(1, 5).unwrap();
        leases.attach(1, &key("a"));
        leases.attach(2, &key("a"));
        assert_eq!(leases.lease_of(b"a"), Some(1));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Grant(i64, i64),
        Revoke(i64),
        Attach(i64, u8),
        Detach(i64, u8),
        Snapshot,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5i64, 1..100i64).prop_map(|(id, ttl)| Step::Grant(id, ttl)),
            (0..5i64).prop_map(Step::Revoke),
            (0..5i64, 0..6u8).prop_map(|(id, key)| Step::Attach(id, key)),
            (0..5i64, 0..6u8).prop_map(|(id, key)| Step::Detach(id, key)),
            Just(Step::Snapshot),
        ]
    }

    proptest! {
        /// The model is two plain lists: leases, and (key, lease) pairs.
        #[test]
        fn agrees_with_a_list_of_pairs(steps in proptest::collection::vec(step(), 0..60)) {
            let mut leases = Leases::new();
            let mut granted: Vec<(i64, i64)> = Vec::new();
            let mut pairs: Vec<(u8, i64)> = Vec::new();
            for step in steps {
                let known = |granted: &[(i64, i64)], id| granted.iter().any(|(g, _)| *g == id);
                match step {
                    Step::Grant(id, ttl) => {
                        let fine = id != 0 && !known(&granted, id);
                        prop_assert_eq!(leases.grant(id, ttl).is_ok(), fine);
                        if fine {
                            granted.push((id, ttl));
                        }
                    }
                    Step::Revoke(id) => {
                        let mut keys: Vec<Arc<[u8]>> = pairs.iter().filter(|(_, l)| *l == id)
                            .map(|(k, _)| Arc::from([*k].as_slice())).collect();
                        keys.sort();
                        let expected = known(&granted, id).then_some(keys);
                        prop_assert_eq!(leases.revoke(id), expected);
                        granted.retain(|(g, _)| *g != id);
                        pairs.retain(|(_, l)| *l != id);
                    }
                    Step::Attach(id, key) => {
                        leases.attach(id, &Arc::from([key].as_slice()));
                        if known(&granted, id) {
                            pairs.retain(|(k, _)| *k != key);
                            pairs.push((key, id));
                        }
                    }
                    Step::Detach(id, key) => {
                        leases.detach(id, &Arc::from([key].as_slice()));
                        pairs.retain(|pair| *pair != (key, id));
                    }
                    Step::Snapshot => {
                        let mut restored = Leases::restore(leases.export());
                        for (key, id) in &pairs {
                            restored.attach(*id, &Arc::from([*key].as_slice()));
                        }
                        prop_assert_eq!(&restored, &leases);
                        leases = restored;
                    }
                }
                for key in 0..6u8 {
                    let expected = pairs.iter().find(|(k, _)| *k == key).map(|(_, l)| *l);
                    prop_assert_eq!(leases.lease_of(&[key]), expected);
                }
                for id in leases.list() {
                    let keys: Vec<u8> = leases.keys(id).unwrap().map(|key| key[0]).collect();
                    let mut expected: Vec<u8> =
                        pairs.iter().filter(|(_, l)| *l == id).map(|(k, _)| *k).collect();
                    expected.sort();
                    prop_assert_eq!(keys, expected);
                }
                granted.sort();
                prop_assert_eq!(leases.export().collect::<Vec<_>>(), granted.clone());
            }
        }
    }
}
