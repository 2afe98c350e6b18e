use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::engine::Engine;
use super::place::Place;
use super::*;

fn put(main: i64, sub: i64, size: usize) -> Record {
    let key: Arc<[u8]> = format!("key/{:03}", (main * 7 + sub) % 50).into_bytes().into();
    let value: Vec<u8> = (0..size).map(|i| (i as i64 * 31 + main * 17 + sub) as u8).collect();
    let kv = KeyValue {
        key,
        value: Bytes::from(value),
        create_revision: main,
        mod_revision: main,
        version: 1,
        lease: sub,
    };
    Record { revision: Revision { main, sub }, kind: RecordKind::Put(Arc::new(kv)) }
}

fn tombstone(main: i64, sub: i64) -> Record {
    let key: Arc<[u8]> = format!("key/{main}").into_bytes().into();
    Record { revision: Revision { main, sub }, kind: RecordKind::Tombstone(key) }
}

fn quick() -> StoreOptions {
    StoreOptions { linger: Duration::ZERO, batch_bytes: 8 << 10, ..StoreOptions::default() }
}

fn batch(index: u64, records: Vec<Record>) -> Batch {
    let kv_revision = records.last().map_or(0, |record| record.revision.main);
    let mark = AppliedMark { index, term: 1, kv_revision, ..AppliedMark::default() };
    Batch { mark, records, ..Batch::default() }
}

fn all(store: &Store) -> Vec<Record> {
    let mut records = Vec::new();
    store
        .scan(Revision::default(), i64::MAX, &mut |record| {
            records.push(record);
            ControlFlow::Continue(())
        })
        .unwrap();
    records
}

fn load(store: &Store) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    store.load_records(&mut |record| records.push(record))?;
    Ok(records)
}

fn value_at(store: &Store, main: i64, sub: i64) -> Option<Arc<KeyValue>> {
    store.put_at(Revision { main, sub }).unwrap()
}

fn kv_of(record: &Record) -> Option<Arc<KeyValue>> {
    match &record.kind {
        RecordKind::Put(kv) => Some(kv.clone()),
        RecordKind::Tombstone(_) => None,
    }
}

/// Every file below `dir`, in a fixed order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn blob_count(dir: &Path) -> usize {
    files(dir).iter().filter(|path| path.parent().unwrap().ends_with("blobs")).count()
}

#[derive(Clone, Debug)]
enum Damage {
    DeleteAll,
    DeleteFile(Index),
    Truncate(Index, Index),
    Flip(Index, Index, u8),
}

impl Damage {
    fn inflict(&self, dir: &Path) {
        let all = files(dir);
        match self {
            Damage::DeleteAll => fs::remove_dir_all(dir).unwrap(),
            Damage::DeleteFile(file) => fs::remove_file(file.get(&all)).unwrap(),
            Damage::Truncate(file, length) => {
                let path = file.get(&all);
                let size = fs::metadata(path).unwrap().len() as usize;
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(length.index(size + 1) as u64).unwrap();
            }
            Damage::Flip(file, at, bit) => {
                // Most files are tiny; the large one is where the data is.
                let path = file.get(&all);
                let mut bytes = fs::read(path).unwrap();
                let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |end| end + 1);
                if written > 0 {
                    bytes[at.index(written)] ^= 1 << (bit % 8);
                    fs::write(path, bytes).unwrap();
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    /// Sizes of the values of each batch; a size below 10 is a tombstone.
    Write(Vec<Vec<usize>>),
    Side(u8, u8, Option<usize>),
    Compact {
        at: Index,
        keep: u64,
        wait: bool,
    },
    Reopen(Option<Damage>),
    Drain,
    Defragment,
    Reset,
}

fn damages() -> impl Strategy<Value = Damage> {
    let index = any::<Index>;
    prop_oneof![
        1 => Just(Damage::DeleteAll),
        1 => index().prop_map(Damage::DeleteFile),
        2 => (index(), index()).prop_map(|(file, length)| Damage::Truncate(file, length)),
        4 => (index(), index(), any::<u8>()).prop_map(|(file, at, bit)| Damage::Flip(file, at, bit)),
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    let size = prop_oneof![8 => 0..400usize, 3 => 400..6000usize, 1 => 6000..40_000usize];
    let batches = prop::collection::vec(prop::collection::vec(size, 0..12), 1..5);
    let side_size = prop::option::of(prop_oneof![4 => 0..50usize, 1 => 5000..20_000usize]);
    let damage = prop_oneof![4 => Just(None), 1 => damages().prop_map(Some)];
    prop_oneof![
        8 => batches.prop_map(Action::Write),
        2 => (0..2u8, 0..4u8, side_size).prop_map(|(table, key, size)| Action::Side(table, key, size)),
        3 => (any::<Index>(), any::<u64>(), any::<bool>())
            .prop_map(|(at, keep, wait)| Action::Compact { at, keep, wait }),
        3 => damage.prop_map(Action::Reopen),
        1 => Just(Action::Drain),
        1 => Just(Action::Defragment),
        1 => Just(Action::Reset),
    ]
}

/// What the store must hold.
#[derive(Clone, Default)]
struct Model {
    mark: AppliedMark,
    required: BTreeMap<Revision, Record>,
    /// Compacted, but perhaps not yet removed.
    optional: BTreeMap<Revision, Record>,
    side: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    compaction: Option<Compaction>,
}

struct Check {
    home: TempDir,
    store: Option<Store>,
    model: Model,
    /// The model after each log index.
    history: BTreeMap<u64, Model>,
    /// Fields that only grow, also over a reset: log index and revision.
    index: u64,
    revision: i64,
}

impl Check {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (store, loaded) = Store::open(&home.path().join("state"), quick()).unwrap();
        assert_eq!(loaded, None);
        let (model, history) = (Model::default(), BTreeMap::new());
        Self { home, store: Some(store), model, history, index: 0, revision: 1 }
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn enqueue(&mut self, records: Vec<Record>, side: Vec<SideWrite>, compact: Option<Compaction>) {
        self.index += 1;
        let model = &mut self.model;
        model.mark = AppliedMark {
            index: self.index,
            term: self.index / 5,
            voters: vec![1, 2, 3],
            learners: vec![self.index],
            kv_revision: self.revision,
            compacted: compact.as_ref().map_or(model.mark.compacted, |c| c.revision),
        };
        model.required.extend(records.iter().map(|record| (record.revision, record.clone())));
        for SideWrite { table, key, value } in side.clone() {
            match value {
                Some(value) => drop(model.side.insert((table, key), value)),
                None => drop(model.side.remove(&(table, key))),
            }
        }
        if let Some(compaction) = &compact {
            let stays =
                |at: &Revision| at.main > compaction.revision || compaction.keep.contains(at);
            let gone = model.required.extract_if(.., |at, _| !stays(at));
            model.optional.extend(gone);
            model.compaction = Some(compaction.clone());
        }
        self.history.insert(self.index, model.clone());
        let batch = Batch { mark: model.mark.clone(), records, side, compaction: compact };
        self.store().enqueue(batch).unwrap();
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Write(batches) => {
                for sizes in batches {
                    self.revision += i64::from(!sizes.is_empty());
                    let records = sizes.iter().enumerate().map(|(sub, size)| match size {
                        0..10 => tombstone(self.revision, sub as i64),
                        size => put(self.revision, sub as i64, *size),
                    });
                    self.enqueue(records.collect(), Vec::new(), None);
                }
            }
            Action::Side(table, key, size) => {
                let value = size.map(|size| vec![*table ^ size as u8; size]);
                let side = SideWrite { table: *table, key: vec![0; usize::from(*key)], value };
                self.enqueue(Vec::new(), vec![side], None);
            }
            Action::Compact { at, keep, wait } => self.compact(at, *keep, *wait),
            Action::Reopen(damage) => self.reopen(damage.as_ref()),
            Action::Drain => self.store().drain().unwrap(),
            Action::Defragment => self.store().defragment().unwrap(),
            Action::Reset => {
                self.store().reset().unwrap();
                self.forget();
            }
        }
    }

    fn forget(&mut self) {
        self.model = Model::default();
        self.history.clear();
    }

    fn compact(&mut self, at: &Index, keep: u64, wait: bool) {
        let low = self.model.mark.compacted;
        let revision = low + 1 + at.index((self.revision - low).max(1) as usize) as i64;
        if revision > self.revision {
            return;
        }
        let known = self.model.required.keys().filter(|at| at.main <= revision).copied();
        let keep = known.filter(|at| (keep >> ((at.main * 5 + at.sub) % 64)) & 3 == 0).collect();
        self.enqueue(Vec::new(), Vec::new(), Some(Compaction { revision, keep }));
        if wait {
            self.store().wait_compacted(revision).unwrap();
            self.model.optional.clear();
        }
    }

    fn reopen(&mut self, damage: Option<&Damage>) {
        self.store = None;
        if let Some(damage) = damage {
            damage.inflict(&self.dir());
        }
        let (store, loaded) = Store::open(&self.dir(), quick()).unwrap();
        self.store = Some(store);
        let mut records = None;
        if loaded.is_some() {
            match load(self.store()) {
                Ok(loaded) => records = Some(loaded),
                Err(StoreError::Damaged(_)) if damage.is_some() => {}
                Err(error) => panic!("load: {error}"),
            }
        }
        let (Some(loaded), Some(records)) = (loaded, records) else {
            assert!(damage.is_some() || self.model.mark.index == 0, "lost without damage");
            self.forget();
            return;
        };
        assert!(damage.is_some() || loaded.mark == self.model.mark, "went back without damage");
        // Damage to the tail may leave an earlier state, but exactly that.
        self.model = self.history[&loaded.mark.index].clone();
        self.history.split_off(&(loaded.mark.index + 1));
        assert_eq!(loaded.mark, self.model.mark);
        let side: BTreeMap<_, _> = loaded.side.into_iter().map(|(t, k, v)| ((t, k), v)).collect();
        assert_eq!(side, self.model.side);
        self.assert_records(records);
        if let Some(compaction) = self.model.compaction.clone() {
            let revision = compaction.revision;
            self.store().resume_compaction(compaction).unwrap();
            self.store().wait_compacted(revision).unwrap();
            self.model.optional.clear();
        }
    }

    fn assert_records(&self, records: Vec<Record>) {
        assert!(records.is_sorted_by(|a, b| a.revision < b.revision), "out of order");
        let found: BTreeMap<_, _> = records.into_iter().map(|r| (r.revision, r)).collect();
        for (revision, record) in &self.model.required {
            assert_eq!(found.get(revision), Some(record));
        }
        for (revision, record) in &found {
            let known = self.model.required.get(revision);
            assert_eq!(known.or(self.model.optional.get(revision)), Some(record));
        }
    }

    fn assert_all(&self) {
        let store = self.store();
        assert_eq!(store.is_failed(), None);
        self.assert_records(all(store));
        for (revision, record) in &self.model.required {
            assert_eq!(store.put_at(*revision).unwrap(), kv_of(record));
        }
        for (revision, record) in &self.model.optional {
            let found = store.put_at(*revision).unwrap();
            assert!(found.is_none() || found == kv_of(record));
        }
        let beyond = Revision { main: self.revision + 1, sub: 0 };
        assert_eq!(store.put_at(beyond).unwrap(), None);
        assert_eq!(blob_count(self.home.path()), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_store_equals_a_map_through_restarts_and_damage(
        actions in prop::collection::vec(actions(), 1..30)
    ) {
        let mut check = Check::new();
        for action in &actions {
            check.act(action);
            check.assert_all();
        }
        check.reopen(None);
        check.assert_all();
    }
}

#[test]
fn a_scan_begins_and_ends_where_it_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    for main in 2..60 {
        store
            .enqueue(batch(main, vec![put(main as i64, 0, 300), put(main as i64, 1, 9000)]))
            .unwrap();
        if main == 40 {
            store.drain().unwrap();
        }
    }
    let scan = |from: Revision, to: i64, count: usize| {
        let mut found = Vec::new();
        store
            .scan(from, to, &mut |record| {
                found.push((record.revision.main, record.revision.sub));
                if found.len() == count {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .unwrap();
        found
    };
    assert_eq!(scan(Revision::new(38, 1), 42, 99).len(), 9);
    assert_eq!(scan(Revision::new(38, 1), 42, 99)[0], (38, 1));
    assert_eq!(scan(Revision::new(38, 1), 42, 99)[8], (42, 1));
    assert_eq!(scan(Revision::new(3, 0), 99, 2), [(3, 0), (3, 1)]);
    assert_eq!(scan(Revision::new(58, 7), 99, 9), [(59, 0), (59, 1)]);
    assert_eq!(scan(Revision::new(60, 0), 99, 9), []);
    assert_eq!(scan(Revision::new(5, 0), 4, 9), []);
}

#[test]
fn values_of_a_mebibyte_need_no_blob_files() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    for main in 2..12 {
        let mut records = vec![put(main, 0, 1 << 20)];
        records.extend((1..40).map(|sub| put(main, sub, 5000)));
        store.enqueue(batch(main as u64, records)).unwrap();
    }
    let keep: HashSet<_> =
        (2..8).flat_map(|main| [Revision::new(main, 0), Revision::new(main, 9)]).collect();
    let compaction = Some(Compaction { revision: 8, keep: keep.clone() });
    store.enqueue(Batch { compaction, ..batch(12, vec![]) }).unwrap();
    store.wait_compacted(8).unwrap();
    store.defragment().unwrap();
    drop(store);
    assert_eq!(blob_count(home.path()), 0);

    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert_eq!(loaded.unwrap().mark.index, 12);
    let found: Vec<_> = load(&store).unwrap();
    assert_eq!(found.len(), keep.len() + 3 * 40);
    for record in found {
        let Revision { main, sub } = record.revision;
        assert_eq!(record, put(main, sub, if sub == 0 { 1 << 20 } else { 5000 }));
        assert_eq!(value_at(&store, main, sub), kv_of(&record));
    }
}

#[test]
fn a_round_that_is_written_in_pieces_is_whole_before_and_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("kv");
    let few = vec![put(1, 0, 100)];
    let many: Vec<Record> = (0..10_000).map(|sub| put(2, sub, 1000)).collect();
    let mut expected = few.clone();
    expected.extend(many.iter().cloned());
    {
        let store = Store::open(&path, quick()).unwrap().0;
        store.enqueue(batch(1, few)).unwrap();
        store.enqueue(batch(2, many)).unwrap();
        // Most likely while the pieces are written.
        assert_eq!(all(&store), expected);
        store.flush().unwrap();
        assert_eq!(all(&store), expected);
    }
    let (store, loaded) = Store::open(&path, quick()).unwrap();
    assert_eq!(loaded.unwrap().mark.index, 2);
    assert_eq!(load(&store).unwrap(), expected);
}

#[test]
fn compaction_frees_logical_bytes_and_defragment_frees_files() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    for main in 2..2000 {
        store.enqueue(batch(main as u64, vec![put(main, 0, 3000)])).unwrap();
    }
    store.drain().unwrap();
    let (full, full_files) = (store.logical_bytes(), store.size_on_disk());
    assert!(full > 1998 * 3000);
    let compaction = Some(Compaction { revision: 1900, keep: HashSet::new() });
    store.enqueue(Batch { compaction, ..batch(2000, vec![]) }).unwrap();
    store.wait_compacted(1900).unwrap();
    assert!((99 * 3000..99 * 3050).contains(&store.logical_bytes()), "{}", store.logical_bytes());
    store.defragment().unwrap();
    assert!(store.size_on_disk() * 4 < full_files, "{} of {full_files}", store.size_on_disk());
    assert_eq!(all(&store).len(), 99);
    assert_eq!(
        fs::read_dir(&dir).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count(),
        1
    );
}

#[test]
fn a_paused_compaction_removes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    let pause = store.pause_compaction();
    let compaction = Some(Compaction { revision: 3, keep: HashSet::new() });
    store.enqueue(batch(1, vec![put(2, 0, 20), put(3, 0, 20), put(4, 0, 20)])).unwrap();
    store.enqueue(Batch { compaction, ..batch(2, vec![]) }).unwrap();
    // Commands and batches behind the compaction are carried out all the same.
    store.defragment().unwrap();
    store.enqueue(batch(3, vec![put(5, 0, 20)])).unwrap();
    store.flush().unwrap();
    assert_eq!(all(&store).len(), 4);
    drop(pause);
    store.wait_compacted(3).unwrap();
    assert_eq!(all(&store), [put(4, 0, 20), put(5, 0, 20)]);
}

#[test]
fn waiting_for_a_compaction_nobody_asked_for_returns() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    store.wait_compacted(77).unwrap();
}

#[test]
fn a_failed_writer_is_told_to_everybody_and_reads_go_on() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    store.drain().unwrap();
    store.handle.shared.fail("no space left on device".into());
    let results = [
        store.enqueue(batch(2, vec![put(3, 0, 20)])),
        store.drain(),
        store.flush(),
        store.defragment(),
        store.reset(),
        store.wait_compacted(1),
    ];
    for result in results {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("no space left on device"), "{error}");
    }
    assert_eq!(store.is_failed().as_deref(), Some("no space left on device"));
    assert_eq!(value_at(&store, 2, 0), kv_of(&put(2, 0, 20)));
}

#[test]
fn records_out_of_order_and_long_side_keys_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    store.enqueue(batch(1, vec![put(5, 0, 20)])).unwrap();
    for wrong in [put(5, 0, 20), put(4, 9, 20)] {
        let error = store.enqueue(batch(2, vec![wrong])).unwrap_err();
        assert!(matches!(error, StoreError::OutOfOrder { .. }), "{error}");
    }
    let side = vec![SideWrite { table: 1, key: vec![0; 1025], value: None }];
    let error = store.enqueue(Batch { side, ..batch(2, vec![]) }).unwrap_err();
    assert!(matches!(error, StoreError::SideKeyTooLong(1025)), "{error}");
    assert_eq!(all(&store).len(), 1);
}

#[test]
fn a_store_that_was_being_filled_opens_as_new() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(0, vec![put(2, 0, 20)])).unwrap();
    drop(store);
    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert_eq!(loaded, None);
    assert_eq!(all(&store), []);
    store.enqueue(batch(9, vec![put(2, 0, 20)])).unwrap();
}

#[test]
fn a_bad_checksum_is_an_error_and_the_next_open_begins_anew() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20), put(3, 0, 20)])).unwrap();
    store.drain().unwrap();
    let engine = store.handle.shared.engine();
    let key = cell::record_key(Revision::new(2, 0));
    let sealed_for_another_key = cell::seal(b"x", cell::Kind::Block, &[b"data"]);
    engine.write(vec![(key.to_vec(), Some(sealed_for_another_key))], None).unwrap();
    drop(engine);
    assert!(store.put_at(Revision::new(3, 0)).is_err());
    assert!(store.scan(Revision::default(), 9, &mut |_| ControlFlow::Continue(())).is_err());
    drop(store);

    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert_eq!(loaded, None);
    assert_eq!(all(&store), []);
    assert!(home.path().join("state.bad-1").is_dir());
}

#[test]
fn a_missing_record_is_noticed_while_loading() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    for main in 2..9 {
        store.enqueue(batch(main as u64, vec![put(main, 0, 4000)])).unwrap();
    }
    store.drain().unwrap();
    let engine = store.handle.shared.engine();
    engine.write(vec![(cell::record_key(Revision::new(5, 0)).to_vec(), None)], None).unwrap();
    drop((engine, store));

    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert!(loaded.is_some());
    assert!(matches!(load(&store), Err(StoreError::Damaged(_))));
    assert_eq!(all(&store), []);
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    drop(store);
    assert_eq!(load(&Store::open(&dir, quick()).unwrap().0).unwrap(), [put(2, 0, 20)]);
}

/// A bit flipped anywhere, or the end missing: exactly an earlier state, or none.
#[test]
fn damage_anywhere_in_the_file_is_never_served() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    for main in 2..160 {
        let records = (0..5).map(|sub| put(main, sub, 500 * (main as usize % 8) + 20));
        store.enqueue(batch(main as u64, records.collect())).unwrap();
    }
    let database = store.handle.shared.engine().dir().join("db");
    drop(store);
    let original = fs::read(&database).unwrap();
    let others = files(&dir).into_iter().map(|path| (path.clone(), fs::read(path).unwrap()));
    let others: Vec<_> = others.collect();
    let mut rng = StdRng::seed_from_u64(7);
    let mut outcomes = [0; 2];
    for round in 0..60 {
        let _ = fs::remove_dir_all(&dir);
        for (path, bytes) in &others {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let mut bytes = original.clone();
        let at = rng.random_range(0..bytes.len());
        match round % 4 {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << rng.random_range(0..8),
        }
        fs::write(&database, bytes).unwrap();
        let (store, loaded) = Store::open(&dir, quick()).unwrap();
        match loaded.map(|loaded| (loaded, load(&store))) {
            Some((loaded, Ok(records))) => {
                outcomes[0] += 1;
                assert_eq!(records.len() as u64, (loaded.mark.index - 1) * 5, "round {round}");
                for record in records {
                    let Revision { main, sub } = record.revision;
                    assert_eq!(record, put(main, sub, 500 * (main as usize % 8) + 20));
                }
            }
            Some((_, Err(StoreError::Damaged(_)))) | None => {
                outcomes[1] += 1;
                assert_eq!(all(&store), []);
            }
            Some((_, Err(error))) => panic!("round {round}: {error}"),
        }
    }
    assert!(outcomes.iter().all(|count| *count > 5), "one-sided: {outcomes:?}");
}

#[test]
fn only_the_newest_damaged_database_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    for index in 1..4 {
        let (store, loaded) = Store::open(&dir, quick()).unwrap();
        assert_eq!(loaded, None);
        store.enqueue(batch(index, vec![put(2, 0, 20)])).unwrap();
        drop(store);
        Place::open(&dir).unwrap().condemn("test");
    }
    drop(Store::open(&dir, quick()).unwrap());
    let mut names: Vec<_> =
        fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["state", "state.bad-3"]);
}

#[test]
fn starts_that_end_while_reading_are_counted() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    drop(store);
    // Neither of these gets through load_records.
    for _ in 0..2 {
        assert!(Store::open(&dir, quick()).unwrap().1.is_some());
    }
    assert_eq!(Store::open(&dir, quick()).unwrap().1, None);
}

#[test]
fn an_unfinished_snapshot_of_sled_is_no_obstacle() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    let generation = store.handle.shared.engine().dir().to_path_buf();
    drop(store);
    fs::write(generation.join("snap.00000000000FFFFF.generating"), b"half").unwrap();
    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert!(loaded.is_some());
    assert_eq!(load(&store).unwrap(), [put(2, 0, 20)]);
}

#[test]
fn a_defragmentation_that_was_cut_short_leaves_the_old_database() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    drop(store);
    let place = Place::open(&dir).unwrap();
    let half = place.generation(place.begin().unwrap());
    Engine::open(&half, 1 << 20).unwrap().sync().unwrap();
    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert!(loaded.is_some());
    assert_eq!(load(&store).unwrap(), [put(2, 0, 20)]);
    assert!(!half.exists());
}

#[test]
fn readers_see_every_record_while_it_is_written_compacted_and_copied() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    let keep: HashSet<_> = (2..300).step_by(3).map(|main| Revision::new(main, 0)).collect();
    let reader = {
        let (store, keep) = (store.clone(), keep.clone());
        std::thread::spawn(move || {
            let mut newest = 1;
            while newest < 599 {
                let found: Vec<i64> = all(&store).iter().map(|r| r.revision.main).collect();
                assert!(found.is_sorted());
                assert!(found.last().copied().unwrap_or(1) >= newest, "went back");
                newest = found.last().copied().unwrap_or(1);
                let expected = keep.iter().filter(|at| at.main <= newest).count();
                assert_eq!(
                    found.iter().filter(|m| keep.contains(&Revision::new(**m, 0))).count(),
                    expected
                );
                if newest >= 2 {
                    assert_eq!(value_at(&store, newest, 0), kv_of(&put(newest, 0, 900)));
                    assert_eq!(value_at(&store, 2, 0), kv_of(&put(2, 0, 900)));
                }
            }
        })
    };
    for main in 2..600 {
        store.enqueue(batch(main as u64, vec![put(main, 0, 900)])).unwrap();
        if main == 310 {
            let compaction = Some(Compaction { revision: 299, keep: keep.clone() });
            store.enqueue(Batch { compaction, ..batch(310, vec![]) }).unwrap();
        }
        if main % 150 == 0 {
            store.defragment().unwrap();
        }
    }
    reader.join().unwrap();
    store.wait_compacted(299).unwrap();
    assert_eq!(all(&store).len(), keep.len() + 300);
}
