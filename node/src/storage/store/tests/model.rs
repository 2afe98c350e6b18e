//! The store against a map, through restarts, compaction and damage.

use super::*;

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
