#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use proptest::prelude::*;
use prost::Message as _;
use proto::command::{Command, command::Kind};
use proto::etcdserverpb::{
    AlarmType, CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest,
};
use sha2::{Digest, Sha256};

use super::file::Hash;
use super::{Error, RestoreOptions, Restored, buckets, export, restore, status};
use crate::auth;
use crate::bbolt;
use crate::kv::{Record, Revision};
use crate::machine::{self, State};
use crate::snapshots;
use crate::storage::files;
use crate::storage::store::{Batch, Store, StoreOptions};

fn store(directory: &Path) -> Store {
    Store::open(directory, StoreOptions::default()).unwrap().0
}

fn apply(state: &mut State, store: &Store, kind: Kind) {
    let mut command = Command::default();
    command.kind = Some(kind);
    let applied = machine::apply(state, store, command);
    let records = applied.changes.into_iter().flatten().map(|change| change.record).collect();
    store.enqueue(Batch { records, ..Batch::default() }).unwrap();
}

fn put(key: &str, value: &str, lease: i64) -> Kind {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    Kind::Put(PutRequest { key, value, lease, ..Default::default() })
}

fn delete(key: &str, range_end: &str) -> Kind {
    let (key, range_end) = (key.to_owned().into(), range_end.to_owned().into());
    Kind::DeleteRange(DeleteRangeRequest { key, range_end, ..Default::default() })
}

fn compact(revision: i64) -> Kind {
    Kind::Compaction(CompactionRequest { revision, physical: false })
}

fn grant(id: i64, ttl: i64) -> Kind {
    Kind::LeaseGrant(LeaseGrantRequest { id, ttl })
}

/// Writes a backup as `snapshot save` leaves it.
fn save(state: &State, store: &Store, to: &Path) {
    let job = export::begin(state, store, store.pause_compaction());
    let _ = std::fs::remove_file(to);
    job.write(files::create_file(to).unwrap()).unwrap();
    seal(to);
}

fn seal(file: &Path) {
    let hash = Sha256::digest(std::fs::read(file).unwrap());
    File::options().append(true).open(file).unwrap().write_all(&hash).unwrap();
}

fn options(file: &Path, data_dir: &Path) -> RestoreOptions {
    let url = |port: u16| vec![format!("http://127.0.0.1:{port}")];
    RestoreOptions {
        file: file.to_owned(),
        hash: Hash::Check,
        data_dir: data_dir.to_owned(),
        wal_dir: None,
        name: "b".into(),
        cluster: vec![("a".into(), url(1)), ("b".into(), url(2)), ("c".into(), url(3))],
        token: "t".into(),
        bump_revision: 0,
    }
}

/// What a restored member begins with.
fn load(data_dir: &Path, scratch: &Path) -> (State, Store) {
    let store = store(scratch);
    let state = snapshots::load_into(&data_dir.join("member/snap"), &store, 2, 2).unwrap();
    (state, store)
}

/// All records that compaction keeps.
fn records(state: &State, store: &Store) -> Vec<Record> {
    let compacted = state.kv.compacted();
    let keep = state.kv.keep_at(compacted);
    let mut records = Vec::new();
    store
        .scan(Revision::default(), i64::MAX, &mut |record| {
            if record.revision.main > compacted || keep.contains(&record.revision) {
                records.push(record);
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    records
}

fn filled(directory: &Path) -> (State, Store) {
    let (mut state, store) = (State::default(), store(directory));
    apply(&mut state, &store, grant(7, 60));
    apply(&mut state, &store, grant(-7, 600));
    for number in 0..40 {
        apply(&mut state, &store, put(&format!("k{}", number % 9), &"v".repeat(number * 40), 0));
    }
    apply(&mut state, &store, put("leased", "x", -7));
    apply(&mut state, &store, delete("k3", "k5"));
    apply(&mut state, &store, compact(20));
    state.alarms.raise(5, AlarmType::Nospace);
    state.leases.checkpoint(7, 12);
    state.cluster_version = "3.6.0".into();
    let user = proto::authpb::User {
        name: "u".into(),
        password: "hash".into(),
        roles: vec!["r".into()],
        options: None,
    };
    let role = proto::authpb::Role { name: "r".into(), ..Default::default() };
    let rows = [
        (auth::rows::SWITCH, "auth", [&[1][..], &9u64.to_be_bytes()].concat()),
        (auth::rows::USER, "u", user.encode_to_vec()),
        (auth::rows::ROLE, "r", role.encode_to_vec()),
    ];
    for (table, name, value) in rows {
        auth::load(&mut state.auth, table, name.as_bytes(), &value).unwrap();
    }
    (state, store)
}

#[test]
fn a_restored_member_has_the_data_and_the_new_members() {
    let temp = tempfile::tempdir().unwrap();
    let (state, store) = filled(&temp.path().join("one"));
    let (file, data_dir) = (temp.path().join("s.db"), temp.path().join("data"));
    save(&state, &store, &file);
    let Restored { member_id, cluster_id, revision, .. } =
        restore(&options(&file, &data_dir)).unwrap();
    let (restored, kept) = load(&data_dir, &temp.path().join("two"));
    assert_eq!(revision, state.kv.revision());
    assert_eq!(restored.members.cluster_id, cluster_id);
    assert_eq!(restored.members.get(member_id).unwrap().peer_urls, ["http://127.0.0.1:2"]);
    assert_eq!(restored.members.iter().count(), 3);
    assert_eq!(restored.applied.voters.len(), 3);
    assert_eq!(restored.leases, state.leases);
    assert_eq!(restored.alarms, state.alarms);
    assert_eq!(restored.auth, state.auth);
    assert!(restored.auth.enabled() && restored.auth.has_role("u", "r"));
    assert_eq!(restored.kv.compacted(), 20);
    assert_eq!(records(&restored, &kept), records(&state, &store));
    let status = status(&file).unwrap();
    assert_eq!(
        (status.revision, status.total_keys, status.version.as_str()),
        (revision, state.kv.key_count(), "3.6.0")
    );
    // A second member of the same cluster, the log elsewhere.
    let mut other = options(&file, &temp.path().join("other"));
    (other.name, other.wal_dir) = ("a".into(), Some(temp.path().join("log")));
    let second = restore(&other).unwrap();
    assert!(second.cluster_id == cluster_id && second.member_id != member_id);
    assert!(temp.path().join("log").is_dir() && !temp.path().join("other/member/wal").exists());
}

#[test]
fn backups_of_equal_states_are_equal() {
    let temp = tempfile::tempdir().unwrap();
    let (first, second) = (temp.path().join("1.db"), temp.path().join("2.db"));
    let (state, store) = filled(&temp.path().join("one"));
    save(&state, &store, &first);
    save(&state, &store, &second);
    assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
}

#[test]
fn a_raised_revision_is_compacted() {
    let temp = tempfile::tempdir().unwrap();
    let (state, store) = filled(&temp.path().join("one"));
    let (file, data_dir) = (temp.path().join("s.db"), temp.path().join("data"));
    save(&state, &store, &file);
    let mut options = options(&file, &data_dir);
    options.bump_revision = u64::MAX;
    assert!(matches!(restore(&options), Err(Error::BumpTooLarge { .. })));
    assert!(!data_dir.exists());
    options.bump_revision = 1_000_000;
    let revision = state.kv.revision() + 1_000_000;
    assert_eq!(restore(&options).unwrap().revision, revision);
    let (restored, _) = load(&data_dir, &temp.path().join("two"));
    assert_eq!((restored.kv.revision(), restored.kv.compacted()), (revision, revision));
    let current = |state: &State| state.kv.current().cloned().collect::<Vec<_>>();
    assert_eq!(current(&restored), current(&state));
}

#[test]
fn used_directories_and_unknown_names_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (state, store) = filled(&temp.path().join("one"));
    let (file, data_dir) = (temp.path().join("s.db"), temp.path().join("data"));
    save(&state, &store, &file);
    let mut wrong = options(&file, &data_dir);
    wrong.name = "z".into();
    assert!(matches!(restore(&wrong), Err(Error::NameNotInCluster(_))));
    let mut wrong = options(&file, &data_dir);
    wrong.wal_dir = Some(temp.path().to_owned());
    assert!(matches!(restore(&wrong), Err(Error::WalDirExists(_))));
    restore(&options(&file, &data_dir)).unwrap();
    let again = restore(&options(&file, &data_dir)).unwrap_err().to_string();
    assert_eq!(
        again,
        format!("data-dir \"{}\" not empty or could not be read", data_dir.display())
    );
}

#[test]
fn damage_is_refused_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (state, store) = filled(&temp.path().join("one"));
    let (file, data_dir) = (temp.path().join("s.db"), temp.path().join("data"));
    save(&state, &store, &file);
    let whole = std::fs::read(&file).unwrap();
    let damaged = temp.path().join("damaged.db");
    let mut options = options(&damaged, &data_dir);
    for place in (0..whole.len()).step_by(997) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        std::fs::write(&damaged, &bytes).unwrap();
        let error = restore(&options).unwrap_err();
        assert!(error.to_string().contains("expected sha256"), "{place}: {error}");
        assert!(!data_dir.exists());
    }
    for length in [0, 31, 32, 512, 544, 8192 + 32, whole.len() - 512, whole.len() - 32] {
        std::fs::write(&damaged, &whole[..length]).unwrap();
        restore(&options).unwrap_err();
        assert!(!data_dir.exists(), "{length}");
    }
    std::fs::write(&damaged, &whole[..whole.len() - 32]).unwrap();
    assert!(matches!(restore(&options), Err(Error::NoHash)));
    options.hash = Hash::Ignore;
    restore(&options).unwrap();
}

/// A file with these rows in the bucket of keys.
fn with_keys(file: &Path, rows: Vec<(Vec<u8>, Vec<u8>)>) {
    let mut writer = bbolt::Writer::new(File::create(file).unwrap()).unwrap();
    writer.bucket::<bbolt::Error>(b"key", rows.into_iter().map(Ok)).unwrap();
    writer.finish().unwrap();
    seal(file);
}

#[test]
fn rows_that_cannot_be_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (file, data_dir) = (temp.path().join("s.db"), temp.path().join("data"));
    let revision = |main: i64, tail: &[u8]| {
        [&main.to_be_bytes()[..], b"_", &0i64.to_be_bytes(), tail].concat()
    };
    let value = |main: i64| {
        let (create_revision, mod_revision, version) = (main, main, 1);
        let key = bytes::Bytes::from_static(b"k");
        let kv = proto::mvccpb::KeyValue {
            key,
            create_revision,
            mod_revision,
            version,
            ..Default::default()
        };
        kv.encode_to_vec()
    };
    let wrong = [
        vec![(b"short".to_vec(), value(2))],
        vec![(revision(-2, b""), value(2))],
        vec![(revision(2, b"x"), value(2))],
        vec![(revision(2, b"tt"), value(2))],
        vec![(revision(2, b""), vec![0xff; 9])],
        vec![(revision(3, b""), value(2))],
        vec![(revision(2, b""), value(2)), (revision(2, b"t"), value(2))],
    ];
    for rows in wrong {
        with_keys(&file, rows.clone());
        let error = restore(&options(&file, &data_dir)).unwrap_err();
        assert!(!data_dir.exists(), "{error} {rows:?}");
    }
    // What etcdutl leaves when it raises the revision: a row without a key.
    with_keys(&file, vec![(revision(2, b""), value(2)), (revision(90, b""), Vec::new())]);
    assert_eq!(restore(&options(&file, &data_dir)).unwrap().revision, 90);
}

#[test]
fn a_tombstone_of_a_key_that_compaction_took_is_no_harm() {
    let temp = tempfile::tempdir().unwrap();
    let (mut state, store) = (State::default(), store(&temp.path().join("one")));
    apply(&mut state, &store, put("k", "v", 0));
    apply(&mut state, &store, delete("k", ""));
    apply(&mut state, &store, compact(3));
    let (file, data_dir) = (temp.path().join("s.db"), temp.path().join("data"));
    save(&state, &store, &file);
    assert_eq!(restore(&options(&file, &data_dir)).unwrap().revision, 3);
    let (restored, _) = load(&data_dir, &temp.path().join("two"));
    assert_eq!((restored.kv.revision(), restored.kv.key_count()), (3, 0));
}

#[test]
fn compactions_in_the_file_are_read() {
    let rows = |scheduled: &[u8], finished: &[u8]| {
        buckets::Rows::from([
            (b"scheduledCompactRev".to_vec(), scheduled.to_vec()),
            (b"finishedCompactRev".to_vec(), finished.to_vec()),
        ])
    };
    let at = |main: i64| [&main.to_be_bytes()[..], b"_", &[0; 8]].concat();
    assert_eq!(buckets::compacted(&rows(&at(9), &at(5))).unwrap(), 9);
    assert_eq!(buckets::compacted(&rows(&at(0), &at(0))).unwrap(), 0);
    assert_eq!(buckets::compacted(&buckets::Rows::new()).unwrap(), 0);
    assert!(buckets::compacted(&rows(b"nine", &at(5))).is_err());
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let key = || (0..12u8).prop_map(|key| format!("k{key:02}"));
    prop_oneof![
        6 => (key(), 0..400usize, 0..3i64)
            .prop_map(|(key, length, lease)| put(&key, &"v".repeat(length), lease)),
        2 => key().prop_map(|key| delete(&key, "")),
        1 => key().prop_map(|key| delete(&key, "k99")),
        1 => (1..60i64).prop_map(compact),
        1 => (1..3i64, 1..900i64).prop_map(|(id, ttl)| grant(id, ttl)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The model is the state itself.
    #[test]
    fn whatever_was_applied_comes_back(kinds in proptest::collection::vec(any_kind(), 0..120)) {
        let temp = tempfile::tempdir().unwrap();
        let (mut state, store) = (State::default(), store(&temp.path().join("one")));
        for kind in kinds {
            apply(&mut state, &store, kind);
        }
        let (file, data_dir) = (temp.path().join("s.db"), temp.path().join("data"));
        save(&state, &store, &file);
        restore(&options(&file, &data_dir)).unwrap();
        let (restored, kept) = load(&data_dir, &temp.path().join("two"));
        prop_assert_eq!(restored.kv.revision(), state.kv.revision());
        prop_assert_eq!(restored.kv.compacted(), state.kv.compacted());
        prop_assert_eq!(&restored.leases, &state.leases);
        prop_assert_eq!(records(&restored, &kept), records(&state, &store));
    }
}
