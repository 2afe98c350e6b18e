//! What is asked next: a function of the seed and the number of the request.
//!
//! Keys are few, so that requests meet; values are unique, so that each write can be told from
//! every other.

use history::record::{Compare, Get, KeyRange, Put, Request, Txn, TxnOp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Keys that single requests use.
const KEYS: u32 = 6;

/// Makes the requests of one lane.
pub struct Generator {
    prefix: String,
    lane: u32,
    number: u64,
    random: StdRng,
    /// The value last put under each key by this lane, which a comparison may still meet.
    last: Vec<String>,
}

impl Generator {
    pub fn new(prefix: &str, lane: u32, seed: u64) -> Self {
        Self {
            prefix: prefix.to_string(),
            lane,
            number: 0,
            random: StdRng::seed_from_u64(seed ^ (u64::from(lane) << 32)),
            last: vec![String::new(); KEYS as usize],
        }
    }

    fn key(&mut self) -> (usize, String) {
        let index = self.random.random_range(0..KEYS);
        (index as usize, format!("{}k{index}", self.prefix))
    }

    fn value(&mut self) -> String {
        self.number += 1;
        format!("{}-{}", self.lane, self.number)
    }

    /// All keys of the load.
    pub fn everything(prefix: &str) -> KeyRange {
        KeyRange { key: prefix.to_string(), end: Some(format!("{prefix}\u{10ffff}")) }
    }

    /// Mostly puts; some comparisons, deletes, and transactions over several keys.
    pub fn write(&mut self) -> Request {
        let (index, key) = self.key();
        let value = self.value();
        match self.random.random_range(0..20) {
            // Keys of their own: a delete has no value by which it could be told from another
            // one, and where many stay without an answer the search for an order has no end.
            0 => Request::Delete { range: KeyRange::one(format!("{}d{index}", self.prefix)) },
            7 | 8 => {
                let key = format!("{}d{index}", self.prefix);
                Request::Put(Put { key, value, lease: 0 })
            }
            1..=4 => {
                let put = Put { key: key.clone(), value: value.clone(), lease: 0 };
                let known = std::mem::replace(&mut self.last[index], value);
                Request::Txn(Txn {
                    compares: vec![Compare::ValueIs { key: key.clone(), value: known }],
                    success: vec![TxnOp::Put(put)],
                    failure: vec![TxnOp::Get { range: KeyRange::one(key) }],
                })
            }
            5 | 6 => {
                // Keys of its own: the search for an order knows single keys only.
                let put = |name: &str| {
                    let key = format!("{}pair/{name}", self.prefix);
                    TxnOp::Put(Put { key, value: value.clone(), lease: 0 })
                };
                let (left, right) = (put("left"), put("right"));
                Request::Txn(Txn { success: vec![left, right], ..Txn::default() })
            }
            _ => {
                self.last[index].clone_from(&value);
                Request::Put(Put { key, value, lease: 0 })
            }
        }
    }

    /// A put for the lane that asks only one member. The keys are many and are that lane's own:
    /// while the member does not answer, outcomes pile up that nobody knows.
    pub fn write_at(&mut self, member: usize) -> Request {
        let value = self.value();
        let key = format!("{}at/{member}/{}", self.prefix, self.number % 16);
        Request::Put(Put { key, value, lease: 0 })
    }

    /// A linearizable read of what the lane of that member writes.
    pub fn read_at(&mut self, member: usize) -> Request {
        self.number += 1;
        let key = format!("{}at/{member}/{}", self.prefix, self.number % 16);
        Request::Get(Get { range: KeyRange::one(key), serializable: false, revision: 0 })
    }

    /// Mostly a single key, sometimes all.
    pub fn read(&mut self, serializable: bool) -> Request {
        let range = match self.random.random_range(0..8) {
            0 => Self::everything(&self.prefix),
            _ => KeyRange::one(self.key().1),
        };
        Request::Get(Get { range, serializable, revision: 0 })
    }

    /// A lease nobody else has.
    pub fn lease(&mut self) -> i64 {
        self.random.random_range(1..i64::MAX)
    }

    /// A key that lives as long as this lease.
    pub fn leased(&mut self, lease: i64) -> Request {
        let key = format!("{}leased/{lease:x}", self.prefix);
        Request::Put(Put { key, value: self.value(), lease })
    }
}
