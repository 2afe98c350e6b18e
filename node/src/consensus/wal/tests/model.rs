//! Random use, with crashes, against a plain list of entries.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Entries from `back` below the end on, in the next term if asked.
    Append {
        back: u64,
        sizes: Vec<usize>,
        next_term: bool,
        commit: Option<u64>,
    },
    /// A snapshot of what the log holds, `back` below the end.
    Take {
        back: u64,
    },
    /// A snapshot ahead of the log, or of another history inside it.
    Install {
        ahead: bool,
        distance: u64,
    },
    Sync,
    Release {
        back: u64,
    },
    /// What has not been synced is lost, the process begins again on a copy of the files.
    Crash {
        wanted: u64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let sizes = prop::collection::vec(0usize..900, 0..5);
    prop_oneof![
        8 => (0u64..4, sizes, prop::bool::weighted(0.2), prop::option::of(0u64..9))
            .prop_map(|(back, sizes, next_term, commit)| Step::Append { back, sizes, next_term, commit }),
        2 => (0u64..6).prop_map(|back| Step::Take { back }),
        1 => (any::<bool>(), 1u64..9).prop_map(|(ahead, distance)| Step::Install { ahead, distance }),
        6 => Just(Step::Sync),
        2 => (0u64..6).prop_map(|back| Step::Release { back }),
        2 => (0u64..6).prop_map(|wanted| Step::Crash { wanted }),
    ]
}

/// The naive log: nothing is ever cut from its front.
#[derive(Clone, Default)]
struct Model {
    /// Index of the snapshot that the list begins behind.
    base: u64,
    entries: Vec<Entry>,
    hard_state: HardState,
    marker: SnapshotMarker,
}

impl Model {
    fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn term_at(&self, index: u64) -> u64 {
        let entry = self.entries.iter().find(|entry| entry.index == index);
        entry.map_or(self.marker.term, |entry| entry.term)
    }

    fn from(&self, index: u64) -> Vec<Entry> {
        self.entries.iter().filter(|entry| entry.index >= index).cloned().collect()
    }
}

struct Run {
    temp: TempDir,
    dir: PathBuf,
    wal: Option<Wal>,
    staged: Model,
    durable: Model,
    released: u64,
    term: u64,
    lives: u32,
}

impl Run {
    fn new() -> Self {
        let (temp, dir, wal) = create(2048);
        let (staged, durable) = (Model::default(), Model::default());
        Self { temp, dir, wal: Some(wal), staged, durable, released: 0, term: 1, lives: 0 }
    }

    fn step(&mut self, step: Step) {
        let wal = self.wal.as_mut().unwrap();
        let model = &mut self.staged;
        match step {
            Step::Append { back, sizes, next_term, commit } => {
                self.term += u64::from(next_term);
                let first = (model.last() + 1).saturating_sub(back).max(model.marker.index + 1);
                let added: Vec<Entry> = (first..)
                    .zip(sizes)
                    .map(|(index, size)| entry(index, self.term, vec![self.term as u8; size]))
                    .collect();
                let state = commit.map(|commit| hard_state(self.term, 1, commit));
                wal.append(&added, state.as_ref()).unwrap();
                if !added.is_empty() {
                    model.entries.retain(|entry| entry.index < first);
                    model.entries.extend(added);
                }
                model.hard_state = state.unwrap_or(model.hard_state.clone());
            }
            Step::Take { back } => {
                let index = model.last().saturating_sub(back).max(model.marker.index);
                if index > 0 {
                    model.marker = marker(index, model.term_at(index));
                    wal.mark_snapshot(&model.marker).unwrap();
                }
            }
            Step::Install { ahead, distance } => {
                self.term += 1;
                let index = if ahead {
                    model.last() + distance
                } else {
                    model.last().saturating_sub(distance)
                };
                if index > model.marker.index {
                    model.marker = marker(index, self.term);
                    model.base = index;
                    model.entries.clear();
                    wal.mark_snapshot(&model.marker).unwrap();
                }
            }
            Step::Sync => {
                wal.sync().unwrap();
                self.durable = self.staged.clone();
            }
            Step::Release { back } => {
                let index = self.durable.marker.index.saturating_sub(back);
                wal.release(index).unwrap();
                self.released = self.released.max(index);
            }
            Step::Crash { wanted } => self.crash(wanted),
        }
        let wal = self.wal.as_ref().unwrap();
        assert_eq!(
            (wal.last_index(), wal.durable_index()),
            (self.staged.last(), self.durable.last())
        );
    }

    fn crash(&mut self, wanted: u64) {
        self.lives += 1;
        let dir = self.temp.path().join(format!("life-{}", self.lives));
        copy_segments(&self.dir, &dir);
        self.wal = None;
        std::fs::remove_dir_all(&self.dir).unwrap();
        self.dir = dir;
        self.staged = self.durable.clone();

        let model = &self.durable;
        let everything = recovered(&self.dir).unwrap();
        assert!(everything.first_index <= self.released.max(model.base) + 1);
        assert_eq!(everything.entries, model.from(everything.first_index));
        let keep_from = (everything.first_index + wanted).min(model.last() + 1);
        let (wal, found) = Wal::open(&self.dir, options(2048), keep_from).unwrap();
        assert_eq!(found.entries, model.from(keep_from));
        assert_eq!((found.last_index, found.repaired), (model.last(), None));
        assert_eq!(found.hard_state, model.hard_state);
        assert_eq!(found.markers.last().cloned().unwrap_or_default(), model.marker);
        self.wal = Some(wal);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn the_log_agrees_with_a_list(steps in prop::collection::vec(any_step(), 1..80)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        run.step(Step::Sync);
        run.step(Step::Crash { wanted: 0 });
    }
}
