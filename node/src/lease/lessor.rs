//! The clock of the leases, on the leader only.
//!
//! # How it keeps time
//! Time is an argument: the [`Duration`] since any fixed point of a monotonic clock. Every
//! lease has an expiry in a map and one place in a schedule ordered by time. A renewal moves
//! the expiry only, so it costs a hash lookup; [`Lessor::tick`] finds that the place came
//! too early and moves it. Tens of thousands of renewals a second are therefore cheap, and
//! unlike in a heap with stale entries a revoked lease leaves nothing behind.
//!
//! # Invariant
//! Between [`Lessor::promote`] and [`Lessor::demote`] every lease has exactly one place in
//! the schedule, never later than its expiry (or its next revocation attempt). A lease whose
//! expiry has passed is never renewed, whether or not its revocation was proposed: a client
//! told "renewed" about a lease that is about to be revoked would believe in a lock it has
//! lost.
//!
//! # Left to others
//! When to promote: only once the leader has applied everything of earlier terms, so that no
//! revocation proposed before is still on its way. Everything here is lost on [`Lessor::demote`];
//! the next leader starts each lease at its full TTL.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::LeaseError;
use super::checkpoint::Checkpoints;

/// How long a revocation may take before it is asked for again.
pub const RETRY: Duration = Duration::from_secs(3);

/// Leases noted in one entry of the log (etcd's).
const CHECKPOINTS_PER_TICK: usize = 1000;

/// Expiry times of all leases, while this member leads.
#[derive(Clone, Debug)]
pub struct Lessor {
    leading: bool,
    leases: HashMap<i64, Clock>,
    schedule: BTreeSet<(Duration, i64)>,
    revocations_per_tick: usize,
    checkpoints: Checkpoints,
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    ttl: i64,
    expiry: Duration,
    /// Where the lease stands in the schedule.
    scheduled: Duration,
}

impl Lessor {
    /// A lessor that does not lead. A tick names at most `revocations_per_tick` leases: with
    /// ticks at a fixed rate this bounds how much of the log mass expiry may take.
    pub fn new(revocations_per_tick: usize) -> Self {
        Self {
            leading: false,
            leases: HashMap::new(),
            schedule: BTreeSet::new(),
            revocations_per_tick: revocations_per_tick.max(1),
            checkpoints: Checkpoints::default(),
        }
    }

    /// With the feature gate `LeaseCheckpoint` as given.
    pub fn with_checkpoints(mut self, enabled: bool) -> Self {
        self.checkpoints = Checkpoints::new(enabled);
        self
    }

    /// Whether this lessor keeps time.
    pub fn leading(&self) -> bool {
        self.leading
    }

    /// Starts to keep time for `leases` (id and granted TTL). Nobody knows when the previous
    /// leader renewed them last, so each gets its full TTL, and `extend` on top for the time
    /// clients need to find the new leader.
    pub fn promote(
        &mut self,
        now: Duration,
        extend: Duration,
        leases: impl IntoIterator<Item = (i64, i64)>,
    ) {
        self.demote();
        self.leading = true;
        for (id, ttl) in leases {
            self.start(id, ttl, now.saturating_add(extend));
            self.checkpoints.plan(id, whole_seconds(ttl), now);
        }
    }

    /// The log says that `left` seconds were left of the lease: it runs on from there, counted
    /// from `from`, and not from its full TTL.
    pub fn resume(&mut self, id: i64, left: i64, from: Duration) {
        let Some(clock) = self.leases.get_mut(&id) else { return };
        self.schedule.remove(&(clock.scheduled, id));
        clock.expiry = clock.expiry.min(expiry(left, from));
        clock.scheduled = clock.expiry;
        self.schedule.insert((clock.scheduled, id));
        self.checkpoints.note(id);
    }

    /// The leases whose checkpoint is due, with the seconds that are left of them.
    pub fn checkpoints(&mut self, now: Duration) -> Vec<(i64, i64)> {
        let mut noted = Vec::new();
        for id in self.checkpoints.take_due(now, CHECKPOINTS_PER_TICK) {
            let Some(clock) = self.leases.get(&id).filter(|clock| clock.expiry > now) else {
                continue;
            };
            let left = clock.expiry - now;
            let seconds = i64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
            self.checkpoints.plan(id, left, now);
            if seconds < clock.ttl {
                self.checkpoints.note(id);
                noted.push((id, seconds));
            }
        }
        noted
    }

    /// Which checkpoint of the lease must be taken back before it may be renewed.
    pub fn noted(&self, id: i64) -> Option<u64> {
        self.checkpoints.noted(id)
    }

    /// The log says that this checkpoint counts no more.
    pub fn taken_back(&mut self, id: i64, generation: u64) {
        self.checkpoints.taken_back(id, generation);
    }

    /// Stops keeping time and forgets all expiries.
    pub fn demote(&mut self) {
        self.leading = false;
        self.leases.clear();
        self.schedule.clear();
        self.checkpoints.clear();
    }

    /// A lease was granted (the grant was applied).
    pub fn granted(&mut self, id: i64, ttl: i64, now: Duration) {
        if self.leading {
            self.revoked(id);
            self.start(id, ttl, now);
            self.checkpoints.plan(id, whole_seconds(ttl), now);
        }
    }

    /// A lease has ended (its revocation was applied).
    pub fn revoked(&mut self, id: i64) {
        if let Some(clock) = self.leases.remove(&id) {
            self.schedule.remove(&(clock.scheduled, id));
            self.checkpoints.forget(id);
        }
    }

    /// Keeps the lease alive for another full TTL, which is the answer. An expired lease is
    /// [`LeaseError::NotFound`] although it is not revoked yet.
    pub fn renew(&mut self, id: i64, now: Duration) -> Result<i64, LeaseError> {
        if !self.leading {
            return Err(LeaseError::NotLeader);
        }
        let clock = self.leases.get_mut(&id).ok_or(LeaseError::NotFound)?;
        if clock.expiry <= now {
            return Err(LeaseError::NotFound);
        }
        // A renewal never shortens a lease that was extended at promotion.
        clock.expiry = clock.expiry.max(expiry(clock.ttl, now));
        let ttl = clock.ttl;
        self.checkpoints.plan(id, whole_seconds(ttl), now);
        Ok(ttl)
    }

    /// Whole seconds until the lease expires; `None` when it is unknown or has expired.
    pub fn remaining(&self, id: i64, now: Duration) -> Option<i64> {
        let clock = self.leases.get(&id).filter(|clock| clock.expiry > now)?;
        i64::try_from((clock.expiry - now).as_secs()).ok()
    }

    /// The leases that have expired and must be revoked, earliest first. One that is still
    /// there [`RETRY`] later is named again.
    pub fn tick(&mut self, now: Duration) -> Vec<i64> {
        let mut expired = Vec::new();
        while expired.len() < self.revocations_per_tick
            && let Some(&(scheduled, id)) = self.schedule.first()
            && scheduled <= now
        {
            self.schedule.remove(&(scheduled, id));
            let Some(clock) = self.leases.get_mut(&id) else { continue };
            if clock.expiry <= now {
                expired.push(id);
                clock.scheduled = now.saturating_add(RETRY);
            } else {
                clock.scheduled = clock.expiry;
            }
            self.schedule.insert((clock.scheduled, id));
        }
        expired
    }

    /// When [`Lessor::tick`] may next have something to do.
    pub fn next_tick(&self) -> Option<Duration> {
        self.schedule.first().map(|(scheduled, _)| *scheduled)
    }

    /// All leases, the one that expires first in front.
    pub fn by_expiry(&self) -> Vec<i64> {
        let mut leases: Vec<_> =
            self.leases.iter().map(|(id, clock)| (clock.expiry, *id)).collect();
        leases.sort_unstable();
        leases.into_iter().map(|(_, id)| id).collect()
    }

    fn start(&mut self, id: i64, ttl: i64, from: Duration) {
        let expiry = expiry(ttl, from);
        self.leases.insert(id, Clock { ttl, expiry, scheduled: expiry });
        self.schedule.insert((expiry, id));
    }
}

fn whole_seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

fn expiry(ttl: i64, from: Duration) -> Duration {
    from.saturating_add(whole_seconds(ttl))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_expired_lease_is_named_once_then_again_after_the_retry_time() {
        let mut lessor = Lessor::new(10);
        lessor.promote(seconds(100), seconds(1), [(1, 5)]);
        assert_eq!(lessor.next_tick(), Some(seconds(106)));
        assert!(lessor.tick(Duration::from_millis(105_999)).is_empty());
        assert_eq!(lessor.tick(seconds(106)), [1]);
        assert!(lessor.tick(seconds(108)).is_empty());
        assert_eq!(lessor.tick(seconds(109)), [1]);
        lessor.revoked(1);
        assert!(lessor.tick(seconds(1000)).is_empty());
        assert_eq!(lessor.next_tick(), None);
    }

    #[test]
    fn no_renewal_succeeds_once_the_expiry_has_passed() {
        let mut lessor = Lessor::new(10);
        lessor.promote(seconds(0), seconds(0), [(1, 5)]);
        assert_eq!(lessor.renew(1, seconds(5)), Err(LeaseError::NotFound));
        assert_eq!(lessor.remaining(1, seconds(5)), None);
        assert_eq!(lessor.tick(seconds(5)), [1]);
        assert_eq!(lessor.renew(1, seconds(5)), Err(LeaseError::NotFound));
    }

    #[test]
    fn not_leading_is_told_apart_from_not_found() {
        let mut lessor = Lessor::new(10);
        lessor.granted(1, 5, seconds(0));
        assert_eq!(lessor.renew(1, seconds(1)), Err(LeaseError::NotLeader));
        lessor.promote(seconds(0), seconds(0), [(1, 5)]);
        assert_eq!(lessor.renew(1, seconds(1)), Ok(5));
        assert_eq!(lessor.renew(2, seconds(1)), Err(LeaseError::NotFound));
        lessor.demote();
        assert_eq!(lessor.renew(1, seconds(1)), Err(LeaseError::NotLeader));
        assert!(lessor.tick(seconds(1000)).is_empty());
    }

    #[test]
    fn a_renewal_does_not_take_back_the_extension_of_a_promotion() {
        let mut lessor = Lessor::new(10);
        lessor.promote(seconds(0), seconds(3), [(1, 5)]);
        assert_eq!(lessor.renew(1, seconds(1)), Ok(5));
        assert_eq!(lessor.remaining(1, seconds(1)), Some(7));
    }

    #[test]
    fn remaining_time_is_rounded_down() {
        let mut lessor = Lessor::new(10);
        lessor.promote(seconds(0), seconds(0), [(1, 5)]);
        assert_eq!(lessor.remaining(1, Duration::from_millis(1)), Some(4));
        assert_eq!(lessor.remaining(1, Duration::from_millis(4_500)), Some(0));
    }

    #[test]
    fn mass_expiry_comes_in_bounded_portions_and_loses_none() {
        let mut lessor = Lessor::new(500);
        lessor.promote(seconds(0), seconds(0), (1..=1200).map(|id| (id, 5)));
        let mut named = Vec::new();
        for _ in 0..3 {
            let portion = lessor.tick(seconds(6));
            assert!(portion.len() <= 500);
            named.extend(portion);
        }
        assert_eq!(named, (1..=1200).collect::<Vec<_>>());
    }

    #[test]
    fn the_longest_lease_does_not_overflow() {
        let mut lessor = Lessor::new(1);
        lessor.promote(Duration::MAX - seconds(1), seconds(5), [(1, i64::MAX), (2, -1)]);
        assert_eq!(lessor.by_expiry(), [1, 2]);
        assert!(lessor.tick(seconds(1)).is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Promote(u64, Vec<(i64, i64)>),
        Demote,
        Grant(i64, i64),
        Revoke(i64),
        Renew(i64),
        Pass(u64),
        Tick,
    }

    fn step() -> impl Strategy<Value = Step> {
        let lease = (1..6i64, 0..8i64);
        prop_oneof![
            1 => (0..4u64, proptest::collection::vec(lease.clone(), 0..6))
                .prop_map(|(extend, leases)| Step::Promote(extend, leases)),
            1 => Just(Step::Demote),
            3 => lease.prop_map(|(id, ttl)| Step::Grant(id, ttl)),
            2 => (1..6i64).prop_map(Step::Revoke),
            6 => (1..6i64).prop_map(Step::Renew),
            6 => (1..4u64).prop_map(Step::Pass),
            6 => Just(Step::Tick),
        ]
    }

    /// The naive model: every question is answered by looking at every lease.
    #[derive(Default)]
    struct Model {
        leading: bool,
        leases: std::collections::BTreeMap<i64, Naive>,
    }

    struct Naive {
        ttl: i64,
        expiry: u64,
        not_named_before: u64,
    }

    impl Model {
        fn start(&mut self, id: i64, ttl: i64, from: u64) {
            let expiry = from + ttl as u64;
            self.leases.insert(id, Naive { ttl, expiry, not_named_before: 0 });
        }

        fn due(&self, now: u64) -> Vec<i64> {
            let due = |lease: &Naive| lease.expiry <= now && lease.not_named_before <= now;
            self.leases.iter().filter(|(_, lease)| due(lease)).map(|(id, _)| *id).collect()
        }
    }

    proptest! {
        #[test]
        fn agrees_with_looking_at_every_lease(
            limit in 1..4usize,
            steps in proptest::collection::vec(step(), 0..80),
        ) {
            let mut lessor = Lessor::new(limit);
            let mut model = Model::default();
            let mut now = 0u64;
            for step in steps {
                match step {
                    Step::Promote(extend, leases) => {
                        let leases: std::collections::BTreeMap<_, _> = leases.into_iter().collect();
                        lessor.promote(seconds(now), seconds(extend), leases.clone());
                        model = Model { leading: true, ..Model::default() };
                        leases.into_iter().for_each(|(id, ttl)| model.start(id, ttl, now + extend));
                    }
                    Step::Demote => {
                        lessor.demote();
                        model = Model::default();
                    }
                    Step::Grant(id, ttl) => {
                        lessor.granted(id, ttl, seconds(now));
                        if model.leading {
                            model.start(id, ttl, now);
                        }
                    }
                    Step::Revoke(id) => {
                        lessor.revoked(id);
                        model.leases.remove(&id);
                    }
                    Step::Renew(id) => {
                        let expected = match model.leases.get_mut(&id) {
                            _ if !model.leading => Err(LeaseError::NotLeader),
                            Some(lease) if lease.expiry > now => {
                                lease.expiry = lease.expiry.max(now + lease.ttl as u64);
                                Ok(lease.ttl)
                            }
                            _ => Err(LeaseError::NotFound),
                        };
                        prop_assert_eq!(lessor.renew(id, seconds(now)), expected);
                    }
                    Step::Pass(by) => now += by,
                    Step::Tick => {
                        let due = model.due(now);
                        let named = lessor.tick(seconds(now));
                        prop_assert_eq!(named.len(), due.len().min(limit));
                        for id in named {
                            prop_assert!(due.contains(&id), "{} is not due", id);
                            let lease = model.leases.get_mut(&id).unwrap();
                            prop_assert!(lease.not_named_before <= now, "{} named twice", id);
                            lease.not_named_before = now + RETRY.as_secs();
                        }
                    }
                }
                for id in 1..6 {
                    let expected = model.leases.get(&id).filter(|lease| lease.expiry > now)
                        .map(|lease| (lease.expiry - now) as i64);
                    prop_assert_eq!(lessor.remaining(id, seconds(now)), expected);
                }
                let mut order: Vec<_> =
                    model.leases.iter().map(|(id, lease)| (lease.expiry, *id)).collect();
                order.sort();
                let order: Vec<_> = order.into_iter().map(|(_, id)| id).collect();
                prop_assert_eq!(lessor.by_expiry(), order);
                // The schedule may be early but never late.
                let first = model.leases.values()
                    .map(|lease| seconds(lease.expiry.max(lease.not_named_before))).min();
                prop_assert_eq!(lessor.next_tick().is_some(), first.is_some());
                prop_assert!(lessor.next_tick() <= first);
            }
        }
    }
}
