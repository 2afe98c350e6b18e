//! Random requests: the key space answers as the naive model does, and so does a member that
//! restarted, whatever compaction has removed from its disk.

use proptest::prelude::*;
use proto::etcdserverpb::Compare;
use proto::etcdserverpb::compare::TargetUnion;

use super::model::Model;
use super::*;

#[derive(Clone, Debug)]
enum Action {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Revoke(i64),
    /// Compact so many revisions before the present, or after it when negative.
    Compact(i64),
    Range(RangeRequest),
    /// The members restart; so many of the records to remove are still on disk.
    Restart(usize),
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![9 => "[a-d]", 1 => "[a-d]{2}"].prop_map(Bytes::from)
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => Just(Bytes::new()),
        2 => Just(Bytes::from_static(&[0])),
        3 => key(),
    ]
}

fn put_request() -> impl Strategy<Value = PutRequest> {
    let lease = prop_oneof![6 => Just(0), 2 => Just(7), 2 => Just(8), 1 => Just(9)];
    let rarely = || prop::bool::weighted(0.15);
    (key(), "[x-z]{0,2}", lease, any::<bool>(), rarely(), rarely()).prop_map(
        |(key, value, lease, prev_kv, ignore_value, ignore_lease)| PutRequest {
            key,
            value: if ignore_value { Bytes::new() } else { value.into() },
            lease: if ignore_lease { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete_request() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn range_request() -> impl Strategy<Value = RangeRequest> {
    let seldom = || prop_oneof![5 => Just(0i64), 1 => 1i64..20];
    let keys = prop_oneof![
        3 => (key(), range_end()),
        2 => Just((Bytes::from_static(&[0]), Bytes::from_static(&[0]))),
    ];
    let revision = prop_oneof![3 => Just(0i64), 4 => -1i64..30];
    let sort = (0..=2i32, prop_oneof![20 => 0..=4i32, 1 => Just(5)]);
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    let limits = (seldom(), seldom(), seldom(), seldom());
    (keys, -1i64..4, revision, sort, flags, limits).prop_map(
        |((key, range_end), limit, revision, sort, flags, limits)| RangeRequest {
            key,
            range_end,
            limit,
            revision,
            sort_order: sort.0,
            sort_target: sort.1,
            serializable: false,
            keys_only: flags.0,
            count_only: flags.1,
            min_mod_revision: limits.0,
            max_mod_revision: limits.1,
            min_create_revision: limits.2,
            max_create_revision: limits.3,
        },
    )
}

fn compare() -> impl Strategy<Value = Compare> {
    let operand = prop_oneof![
        (0i64..3).prop_map(TargetUnion::Version),
        (0i64..9).prop_map(TargetUnion::CreateRevision),
        (0i64..9).prop_map(TargetUnion::ModRevision),
        "[x-z]{0,1}".prop_map(|value| TargetUnion::Value(value.into())),
        prop_oneof![Just(0i64), Just(7)].prop_map(TargetUnion::Lease),
    ];
    (key(), range_end(), 0..=3i32, operand).prop_map(|(key, range_end, result, operand)| Compare {
        result,
        target: match operand {
            TargetUnion::Version(_) => 0,
            TargetUnion::CreateRevision(_) => 1,
            TargetUnion::ModRevision(_) => 2,
            TargetUnion::Value(_) => 3,
            TargetUnion::Lease(_) => 4,
        },
        key,
        target_union: Some(operand),
        range_end,
    })
}

fn txn_request() -> impl Strategy<Value = TxnRequest> {
    let leaf = prop_oneof![
        4 => put_request().prop_map(op_put),
        2 => delete_request().prop_map(op_delete),
        3 => range_request().prop_map(op_range),
    ];
    let op = leaf.prop_recursive(2, 8, 3, |inner| branches(inner).prop_map(op_txn));
    branches(op)
}

fn branches(op: impl Strategy<Value = RequestOp>) -> impl Strategy<Value = TxnRequest> {
    let ops = prop::collection::vec(op, 0..4).prop_map(Arc::new);
    let compares = prop_oneof![Just(0usize), Just(1), Just(2)]
        .prop_flat_map(|count| prop::collection::vec(compare(), count));
    // One list cut in two: both branches get operations, and stay small.
    (compares, ops, 0usize..4).prop_map(|(compare, ops, cut)| {
        let (success, failure) = ops.split_at(cut.max(1).min(ops.len()));
        TxnRequest { compare, success: success.to_vec(), failure: failure.to_vec() }
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => put_request().prop_map(Action::Put),
        4 => delete_request().prop_map(Action::Delete),
        8 => txn_request().prop_map(Action::Txn),
        1 => prop_oneof![Just(7), Just(8)].prop_map(Action::Revoke),
        2 => (-2i64..10).prop_map(Action::Compact),
        6 => range_request().prop_map(Action::Range),
        2 => (0usize..12).prop_map(Action::Restart),
    ]
}

/// Three members that differ only in what is physically there.
struct Members {
    model: Model,
    /// Never restarts.
    steady: Store,
    /// Restarts from every record ever written.
    hoarder: Store,
    /// Restarts from what compaction keeps, and some of what it had no time to remove.
    tidy: Store,
}

impl Members {
    fn new() -> Self {
        let store = Store::new();
        let (model, steady, hoarder) = (Model::default(), store.clone(), store.clone());
        Self { model, steady, hoarder, tidy: store }
    }

    fn stores(&mut self) -> [&mut Store; 3] {
        [&mut self.steady, &mut self.hoarder, &mut self.tidy]
    }

    fn act(&mut self, action: &Action) -> Result<(), TestCaseError> {
        match action {
            Action::Put(request) => {
                let expected = self.model.put(request);
                let applied = self.stores().map(|store| store.put(request));
                self.check_applied(expected, applied)?;
            }
            Action::Delete(request) => {
                let expected = self.model.delete(request);
                let applied = self.stores().map(|store| store.delete(request));
                self.check_applied(expected, applied)?;
            }
            // The edge looks at both branches, applying only at the one it takes: what the edge
            // refuses never gets here.
            Action::Txn(request) if check::txn(request, 128).is_err() => {}
            Action::Txn(request) => {
                if check::is_read_only(request) {
                    self.check_read_txn(request)?;
                }
                let expected = self.model.txn(request);
                let applied = self.stores().map(|store| store.txn(request));
                self.check_applied(expected, applied)?;
            }
            Action::Revoke(lease) => {
                self.model.revoke(*lease);
                let [steady, hoarder, tidy] = self.stores().map(|store| store.revoke(*lease));
                prop_assert_eq!(&steady, &hoarder);
                prop_assert_eq!(&steady, &tidy);
                self.check_changes(&steady)?;
            }
            Action::Compact(back) => {
                let revision = self.model.revision() - back;
                let expected = self.model.compact(revision);
                for store in self.stores() {
                    prop_assert_eq!(store.kv.compact(revision), expected.clone());
                }
            }
            Action::Range(request) => {
                let expected = self.model.range(request);
                for store in self.stores() {
                    prop_assert_eq!(store.range(request), expected.clone());
                }
            }
            Action::Restart(left) => self.restart(*left),
        }
        self.check_state()
    }

    fn check_applied<R: Clone + PartialEq + std::fmt::Debug>(
        &self,
        expected: Result<R, KvError>,
        applied: [Result<Applied<R>, KvError>; 3],
    ) -> Result<(), TestCaseError> {
        let [steady, hoarder, tidy] = applied;
        prop_assert_eq!(&steady, &hoarder);
        prop_assert_eq!(&steady, &tidy);
        match steady {
            Ok(applied) => {
                prop_assert_eq!(Ok(applied.response), expected);
                self.check_changes(&applied.changes)
            }
            Err(error) => {
                prop_assert_eq!(Err(error), expected);
                Ok(())
            }
        }
    }

    /// The changes are the model's newest events, each with the version before it.
    fn check_changes(&self, changes: &[Change]) -> Result<(), TestCaseError> {
        let split = self.model.events.len() - changes.len();
        let mut before =
            Model { events: self.model.events[..split].to_vec(), compacted: self.model.compacted };
        for (change, event) in changes.iter().zip(&self.model.events[split..]) {
            prop_assert_eq!(change.record.revision, event.revision);
            prop_assert_eq!(change.record.key().as_ref(), event.key.as_ref());
            let now = before.now();
            let previous = change.previous.as_ref().map(|version| version.to_proto());
            prop_assert_eq!(previous.as_ref(), now.get(&event.key));
            before.events.push(event.clone());
            let put = match &change.record.kind {
                RecordKind::Put(version) => Some(version.to_proto()),
                RecordKind::Tombstone(_) => None,
            };
            let now = before.now();
            prop_assert_eq!(put.as_ref(), now.get(&event.key));
        }
        Ok(())
    }

    fn check_read_txn(&mut self, request: &TxnRequest) -> Result<(), TestCaseError> {
        let expected = self.model.clone().txn(request).map(Some);
        for store in self.stores() {
            prop_assert_eq!(read_txn(&store.kv, &store.history, request), expected.clone());
        }
        Ok(())
    }

    fn check_state(&mut self) -> Result<(), TestCaseError> {
        let now = self.model.now();
        let leases = self.model.leases();
        let (revision, compacted) = (self.model.revision(), self.model.compacted);
        let keep = self.model.keep_at(compacted);
        for store in self.stores() {
            prop_assert_eq!(store.kv.revision(), revision);
            prop_assert_eq!(store.kv.compacted(), compacted);
            prop_assert_eq!(store.kv.key_count(), now.len());
            prop_assert_eq!(&store.leases, &leases);
            prop_assert_eq!(store.kv.keep_at(compacted), keep.clone());
            // The present is answered from memory alone.
            let all = store.kv.range(&everything(), &NoHistory).unwrap();
            prop_assert!(all.kvs.iter().eq(now.values()));
        }
        Ok(())
    }

    fn restart(&mut self, left: usize) {
        let (revision, compacted) = (self.model.revision(), self.model.compacted);
        let all = self.steady.records.clone();
        let keep = self.tidy.kv.keep_at(compacted);
        let removable =
            |record: &Record| record.revision.main <= compacted && !keep.contains(&record.revision);
        // Removal goes in revision order, so it is the newest that are left.
        let all_removable = self.tidy.records.iter().filter(|record| removable(record)).count();
        let mut to_remove = all_removable.saturating_sub(left);
        let mut rest = self.tidy.records.clone();
        rest.retain(|record| {
            let remove = to_remove > 0 && removable(record);
            to_remove -= usize::from(remove);
            !remove
        });
        let leases = self.steady.leases.clone();
        self.hoarder = Store::restored(all, revision, compacted, leases.clone());
        self.tidy = Store::restored(rest, revision, compacted, leases);
    }

    /// Every readable revision, read in full.
    fn check_all_revisions(&mut self) -> Result<(), TestCaseError> {
        for revision in 0..=self.model.revision() + 1 {
            let request = RangeRequest { revision, ..everything() };
            let expected = self.model.range(&request);
            let keep = self.model.keep_at(revision);
            let compacted = self.model.compacted;
            for store in self.stores() {
                prop_assert_eq!(store.range(&request), expected.clone());
                if revision >= compacted {
                    prop_assert_eq!(store.kv.keep_at(revision), keep.clone());
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn members_answer_as_the_model_whatever_is_on_their_disks(
        actions in prop::collection::vec(action(), 1..40),
    ) {
        let mut members = Members::new();
        for action in &actions {
            members.act(action)?;
        }
        members.act(&Action::Restart(0))?;
        members.check_all_revisions()?;
    }
}
