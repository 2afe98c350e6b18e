//! A queue between threads whose reader takes everything at once.
//!
//! The reader sleeps at once when there is nothing to do; it does not spin or yield first, as
//! general-purpose channels do: on a machine with few cores that time belongs to the thread
//! that is filling the queue. What gathers while the reader works is its next batch.
//!
//! Unbounded: whoever feeds one has a bound of its own (requests in flight, raft's limit of
//! uncommitted bytes, the peers' queues).

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

struct Shared<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    queue: Vec<T>,
    /// The reader sleeps and must be woken.
    sleeping: bool,
    /// The reader is gone.
    closed: bool,
}

/// The reader is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiving thread has ended")]
pub struct Closed;

/// The writing side.
pub struct Sender<T>(Arc<Shared<T>>);

/// The reading side.
pub struct Receiver<T>(Arc<Shared<T>>);

/// A new queue.
pub fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { queue: Vec::new(), sleeping: false, closed: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), filled: Condvar::new() });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Sender<T> {
    /// Adds an item; never waits.
    pub fn send(&self, item: T) -> Result<(), Closed> {
        let wake = {
            let mut state = self.0.state.lock();
            if state.closed {
                return Err(Closed);
            }
            state.queue.push(item);
            std::mem::take(&mut state.sleeping)
        };
        if wake {
            self.0.filled.notify_one();
        }
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Waits until there is something, and takes all of it into `items` (which is cleared).
    pub fn take(&self, items: &mut Vec<T>) {
        items.clear();
        let mut state = self.0.state.lock();
        while state.queue.is_empty() {
            state.sleeping = true;
            self.0.filled.wait(&mut state);
        }
        state.sleeping = false;
        std::mem::swap(&mut state.queue, items);
    }

    /// Like [`Receiver::take`], but comes back with nothing at `deadline`.
    pub fn take_until(&self, items: &mut Vec<T>, deadline: Instant) {
        items.clear();
        let mut state = self.0.state.lock();
        while state.queue.is_empty() {
            state.sleeping = true;
            if self.0.filled.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.sleeping = false;
        std::mem::swap(&mut state.queue, items);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = {
            let mut state = self.0.state.lock();
            state.closed = true;
            std::mem::take(&mut state.queue)
        };
        // Outside the lock: what is dropped may send to other queues.
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_reader_gets_all_in_order_and_sleeps_in_between() {
        let (sender, receiver) = mailbox();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for number in 0..1000 {
                        sender.send((writer, number)).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0; 4];
        let mut items = Vec::new();
        while next != [1000; 4] {
            receiver.take(&mut items);
            assert!(!items.is_empty());
            for (writer, number) in items.drain(..) {
                assert_eq!(next[writer], number);
                next[writer] += 1;
            }
        }
        for writer in writers {
            writer.join().unwrap();
        }
    }

    #[test]
    fn a_deadline_ends_the_wait_and_a_dropped_reader_is_noticed() {
        let (sender, receiver) = mailbox();
        let mut items = vec![1];
        receiver.take_until(&mut items, Instant::now() + Duration::from_millis(1));
        assert!(items.is_empty());
        sender.send(2).unwrap();
        receiver.take_until(&mut items, Instant::now() + Duration::from_secs(60));
        assert_eq!(items, [2]);
        drop(receiver);
        assert_eq!(sender.send(3), Err(Closed));
    }
}
