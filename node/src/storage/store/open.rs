//! From a directory to a running store.
//!
//! # Invariant
//! A database is used as it is, or not at all: anything that cannot be explained by a plain
//! kill sets it aside, and the store begins empty. That costs the time of a rebuild, never
//! data.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::cell;
use super::engine::Engine;
use super::mark::StoredMark;
use super::place::Place;
use super::queue::Shared;
use super::writer::Writer;
use super::{Handle, Loaded, Store, StoreError, StoreOptions};

/// A database with what its opener needs to know.
struct Opened {
    engine: Engine,
    generation: u64,
    mark: StoredMark,
    side_cells: HashMap<Vec<u8>, u32>,
    loaded: Option<Loaded>,
}

pub(super) fn open(
    dir: &Path,
    options: StoreOptions,
) -> Result<(Store, Option<Loaded>), StoreError> {
    let place = Place::open(dir)?;
    let current = place.current();
    if place.sweep(current)? > 0 && current.is_none() {
        tracing::warn!(dir = %dir.display(), "no applied state is marked as current: it is rebuilt");
    }
    let existing = match current {
        Some(generation) => open_existing(&place, generation, &options)?,
        None => None,
    };
    let opened = match existing {
        Some(opened) => opened,
        None => open_empty(&place, &options)?,
    };
    let loaded = opened.loaded.clone();
    Ok((start(place, options, opened)?, loaded))
}

/// `None` when there is nothing to use; it has been set aside if it was damaged.
fn open_existing(
    place: &Place,
    generation: u64,
    options: &StoreOptions,
) -> Result<Option<Opened>, StoreError> {
    let read = match (place.condemned(), place.starting()?) {
        (Some(why), _) => Err(StoreError::Damaged(why)),
        (None, starts) if Place::too_many_starts(starts) => {
            Err(StoreError::Damaged(format!("{starts} starts ended while reading it")))
        }
        _ => read(place, generation, options),
    };
    match read {
        Ok(opened) => Ok(opened),
        Err(error @ StoreError::Locked { .. }) => Err(error),
        Err(error) => {
            let kept = place.set_aside(generation)?;
            let kept = kept.display();
            tracing::warn!(%error, %kept, "the applied state was set aside and is rebuilt");
            Ok(None)
        }
    }
}

fn read(
    place: &Place,
    generation: u64,
    options: &StoreOptions,
) -> Result<Option<Opened>, StoreError> {
    let engine = Engine::open(&place.generation(generation), options.cache_bytes)?;
    let Some(mark) = engine.mark()? else {
        let empty = engine.run(Default::default(), 0)?.blocks.is_empty();
        return match empty && engine.sides()?.is_empty() {
            true => Ok(None),
            false => Err(StoreError::Damaged("the mark is missing".into())),
        };
    };
    if mark.applied.index == 0 {
        // It was being filled, and whoever filled it will begin again.
        return Ok(None);
    }
    let mut side = Vec::new();
    let mut side_cells = HashMap::new();
    for (entry, cells) in engine.sides()? {
        if cells > 1 {
            side_cells.insert(cell::side_key(entry.0, &entry.1), cells);
        }
        side.push(entry);
    }
    let loaded = Some(Loaded { mark: mark.applied.clone(), side });
    Ok(Some(Opened { engine, generation, mark, side_cells, loaded }))
}

fn open_empty(place: &Place, options: &StoreOptions) -> Result<Opened, StoreError> {
    let generation = place.begin()?;
    let engine = Engine::open(&place.generation(generation), options.cache_bytes)?;
    engine.sync()?;
    place.publish(generation)?;
    place.sweep(Some(generation))?;
    place.started()?;
    let (mark, side_cells) = (StoredMark::default(), HashMap::new());
    Ok(Opened { engine, generation, mark, side_cells, loaded: None })
}

fn start(place: Place, options: StoreOptions, opened: Opened) -> Result<Store, StoreError> {
    let engine = Arc::new(opened.engine);
    let dir = engine.dir().to_path_buf();
    let shared = Arc::new(Shared::new(place, options, engine.clone()));
    shared.with(|state| {
        state.stored_bytes = opened.mark.sums.bytes;
        state.last = opened.mark.last;
        state.compacted = opened.mark.compacted;
        state.scheduled = opened.mark.compacted;
    });
    let writer = Writer {
        shared: shared.clone(),
        engine,
        generation: opened.generation,
        mark: opened.mark,
        side_cells: opened.side_cells,
        walk: None,
        next_compaction: None,
        compact_at: Instant::now(),
        unflushed: 0,
    };
    let thread = thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || writer.work())
        .map_err(|error| StoreError::io("start the writer of", &dir, error))?;
    Ok(Store { handle: Arc::new(Handle { shared, writer: Some(thread) }) })
}
