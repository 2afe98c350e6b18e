//! The time of an update, handed in by the shell.

/// One instant: a monotonic clock to measure with, a wall clock to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the program started.
    pub mono_ms: u64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

impl Now {
    /// Milliseconds from `earlier` to now; zero if that is later.
    pub fn since(self, earlier: Now) -> u64 {
        self.mono_ms.saturating_sub(earlier.mono_ms)
    }

    /// The same instant moved on, for tests and deadlines.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self { mono_ms: self.mono_ms + ms, unix_ms: self.unix_ms + ms }
    }
}
