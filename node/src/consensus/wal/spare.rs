//! The next segment, prepared beside the log, and the old ones, put away.
//!
//! Filling 64 MiB with zeros takes a tenth of a second or more; the writer must not wait for
//! it in the middle of the log. One thread makes the first blank when the log has grown a bit, so
//! that a member that starts and hardly writes costs nothing, and from then on the next as soon
//! as one is taken. It also removes segments that a snapshot made superfluous, and keeps a few
//! of them as material for blanks, so that the file system need not find new space.
//!
//! # Invariant
//! A retired segment loses its name, and the directory is synced, *before* a byte of it
//! changes; otherwise a crash could bring back its name over a half-zeroed file. Segments are
//! put away oldest first, each durably before the next, so what is left is always a row
//! without holes.
//!
//! A blank that cannot be made (no space) is no error of the log yet: a warning is logged, and it
//! is tried again every second while the current segment still has room.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::segment::{Blank, sync_directory};
use super::{WalError, WalOptions};

/// Retired segments kept as material for blanks.
const REUSABLE_MAX: usize = 2;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Hands out blanks and takes back old segments.
#[derive(Debug)]
pub(super) struct Spares {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    /// Set once `State::failure` holds something.
    failed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Never taken back.
    wanted: bool,
    retired: VecDeque<PathBuf>,
    ready: Option<Result<Blank, WalError>>,
    failure: Option<WalError>,
}

enum Task {
    PutAway(PathBuf),
    Prepare,
    Stop,
}

impl Spares {
    pub(super) fn start(dir: &Path, options: WalOptions) -> Result<Self, WalError> {
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            dir: dir.to_owned(),
            options,
            shared: Arc::clone(&shared),
            reusable: Vec::new(),
            made: 0,
        };
        let thread = std::thread::Builder::new()
            .name("wal-spare".into())
            .spawn(|| worker.run())
            .map_err(WalError::io("start the thread that prepares segments in", dir))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for the first blank.
    pub(super) fn want(&self) {
        self.shared.state.lock().wanted = true;
        self.shared.changed.notify_all();
    }

    /// The prepared blank; waits for it if need be.
    pub(super) fn take(&self) -> Result<Blank, WalError> {
        self.want();
        let mut state = self.shared.state.lock();
        loop {
            if let Some(ready) = state.ready.take() {
                self.shared.changed.notify_all();
                return ready;
            }
            self.shared.changed.wait(&mut state);
        }
    }

    /// Gives away a segment that no one needs any more.
    pub(super) fn put_away(&self, path: PathBuf) {
        self.shared.state.lock().retired.push_back(path);
        self.shared.changed.notify_all();
    }

    /// Why the next segment could not be prepared, while that is so.
    #[cfg(test)]
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.shared.state.lock().ready {
            Some(Err(error)) => Some(error.to_string()),
            _ => None,
        }
    }

    /// Fails once after a segment could not be put away. Costs one load otherwise.
    pub(super) fn check(&self) -> Result<(), WalError> {
        if !self.shared.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.shared.state.lock().failure.take().map_or(Ok(()), Err)
    }
}

impl Drop for Spares {
    /// Waits until the retired segments are put away; a blank in the making is abandoned.
    fn drop(&mut self) {
        {
            // Under the lock, or the thread could miss it between looking and waiting.
            let _state = self.shared.state.lock();
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked, and there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}

struct Worker {
    dir: PathBuf,
    options: WalOptions,
    shared: Arc<Shared>,
    /// Former segments under names that recovery sweeps.
    reusable: Vec<PathBuf>,
    /// Counts the temporary names.
    made: u64,
}

impl Worker {
    fn run(mut self) {
        loop {
            match self.next_task() {
                Task::PutAway(path) => {
                    if let Err(error) = self.put_away(&path) {
                        self.shared.state.lock().failure = Some(error);
                        self.shared.failed.store(true, Ordering::Release);
                    }
                }
                Task::Prepare => self.prepare(),
                Task::Stop => break,
            }
        }
        self.remove_leftovers();
    }

    fn next_task(&self) -> Task {
        let mut state = self.shared.state.lock();
        loop {
            if let Some(path) = state.retired.pop_front() {
                return Task::PutAway(path);
            }
            if self.shared.stop.load(Ordering::Relaxed) {
                return Task::Stop;
            }
            match &state.ready {
                None if state.wanted => return Task::Prepare,
                None | Some(Ok(_)) => self.shared.changed.wait(&mut state),
                Some(Err(_)) => {
                    let waited = self.shared.changed.wait_for(&mut state, RETRY_AFTER);
                    if waited.timed_out() {
                        return Task::Prepare;
                    }
                }
            }
        }
    }

    fn prepare(&mut self) {
        let path = self.reusable.pop().unwrap_or_else(|| self.temporary_name());
        let blank = Blank::prepare(path.clone(), self.options, &self.shared.stop);
        let mut state = self.shared.state.lock();
        if let Err(error) = &blank {
            // The file may hold the very space that is missing.
            let _ = std::fs::remove_file(&path);
            if state.ready.is_none() {
                tracing::warn!(
                    %error,
                    "the log's next segment cannot be prepared: free some space before the present one is full"
                );
            }
        }
        state.ready = Some(blank);
        drop(state);
        self.shared.changed.notify_all();
    }

    fn put_away(&mut self, path: &Path) -> Result<(), WalError> {
        let size = std::fs::metadata(path).map_err(WalError::io("look at", path))?.len();
        if self.reusable.len() < REUSABLE_MAX && size == self.options.segment_bytes {
            let reusable = self.temporary_name();
            std::fs::rename(path, &reusable).map_err(WalError::io("rename", path))?;
            sync_directory(&self.dir, self.options)?;
            self.reusable.push(reusable);
            Ok(())
        } else {
            std::fs::remove_file(path).map_err(WalError::io("remove", path))?;
            sync_directory(&self.dir, self.options)
        }
    }

    fn temporary_name(&mut self) -> PathBuf {
        self.made += 1;
        self.dir.join(format!("spare-{}.tmp", self.made))
    }

    /// Not needed for safety: the next start sweeps them too.
    fn remove_leftovers(&mut self) {
        let ready = self.shared.state.lock().ready.take();
        let blank = ready.and_then(Result::ok).map(|blank| blank.path);
        for path in self.reusable.drain(..).chain(blank) {
            let _ = std::fs::remove_file(path);
        }
    }
}
