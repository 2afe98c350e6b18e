//! Watchers: every change of the keys they ask for, once each, in order, from any revision
//! that history still holds.
//!
//! # How
//! The [`Hub`] is told every applied revision by [`Hub::notify`] and finds the *synced*
//! watchers that want it: by exact key in a hash map, by range in an interval map. Their
//! events go to the outbox of their stream, from which the task that serves the stream takes
//! them. An outbox is bounded. A watcher whose event does not fit is not queued any further:
//! it *lags*, that is, it remembers the one revision it needs next, and is given history in
//! bounded portions ([`Hub::next_catch_up`]) once its client reads again. A watcher that
//! starts in the past begins its life that way. So memory is bounded by the number of
//! watchers and streams, never by what they have not read.
//!
//! # Invariants
//! For each watcher: `created` comes first; then each matching event from its start on,
//! exactly once, in revision order; a revision is never split between two deliveries. A
//! progress message with revision r comes after every event of revision r and before. A
//! watcher that still needs a revision below the compacted one is cancelled and told so.
//!
//! # Left to others
//! The hub is synchronous and pure: its owner puts it behind a lock, wakes the streams it
//! names, reads history for [`CatchUp`] jobs (outside the lock), calls
//! [`Hub::compacted`] *before* history is removed, and ticks. Permission is checked before
//! [`Hub::create`]; a refusal is put in order with [`Hub::refuse`].

mod catch_up;
mod delivery;
mod event;
mod hub;
mod index;
mod interval;
mod range;
mod recent;
pub mod service;
mod stream;
#[cfg(test)]
mod tests;
mod watcher;

pub use catch_up::CatchUp;
pub use delivery::{Content, Delivery, Events, NO_WATCHER};
pub use event::Event;
pub use hub::{Counts, Hub, Limits};
pub use range::{EmptyRange, WatchRange};
pub use stream::StreamId;
pub use watcher::WatchSpec;
