//! Applications that etcd is used for, as small real clients beside a drill: a lock, service
//! discovery, a configuration centre, an election.
//!
//! Each is a few clients ([`client::Client`]) that speak etcd's v3 API, and a ledger ([`Ledger`])
//! to which they tell what they believe. The ledger knows what the cluster and the clients
//! together promise, and says at any time who does what, which promise was broken, and in the end
//! whether all has come to rest. [`run`] is the shell: tasks, connections, the clock, and the
//! hand that pauses and crashes clients. [`session`] is a lease that is kept, [`place`] a place
//! in a line of keys, [`follow`] reads and then watches, [`tenure`] judges turns.
//!
//! # Invariants
//! - Clients and ledgers are pure: events and the time in, effects out.
//! - A violation is a proof: what would be allowed to happen is never one.
//! - All keys are under one prefix, which is emptied in the end.

pub mod client;
pub mod configuration;
pub mod discovery;
pub mod election;
mod follow;
pub mod lock;
pub mod notes;
pub mod place;
pub mod report;
pub mod run;
pub mod session;
pub mod tenure;
#[cfg(test)]
mod world_tests;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use client::Event;
use notes::Notes;

pub use report::{ApplicationReport, ClientReport, ClientState};
pub use run::Application;

/// Which application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Kind {
    Lock,
    FencedLock,
    Discovery,
    Configuration,
    Election,
}

impl Kind {
    pub const ALL: [Self; 5] =
        [Self::Lock, Self::FencedLock, Self::Discovery, Self::Configuration, Self::Election];

    /// The word of drills and of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::FencedLock => "fenced-lock",
            Self::Discovery => "discovery",
            Self::Configuration => "configuration",
            Self::Election => "election",
        }
    }

    /// What its clients do.
    pub fn about(self) -> &'static str {
        match self {
            Self::Lock => "three clients take turns at a resource that trusts whoever writes",
            Self::FencedLock => {
                "three clients take turns at a resource that refuses tokens of older turns"
            }
            Self::Discovery => {
                "three instances register under leases, two consumers keep a list of them"
            }
            Self::Configuration => {
                "two editors change a key by compare-and-swap, three consumers watch it"
            }
            Self::Election => {
                "three candidates, each at a member of its own, and an observer of who leads"
            }
        }
    }

    /// What must hold whatever happens to the cluster.
    pub fn claim(self) -> &'static str {
        match self {
            Self::Lock => {
                "nobody gets the lock while the lease of another one holds (what a holder does \
                 after its lease is not promised)"
            }
            Self::FencedLock => {
                "no write with an older token is taken after a newer one, and no update is lost"
            }
            Self::Discovery => {
                "nobody leaves a list while its lease holds, and in the end every list has exactly \
                 those who live"
            }
            Self::Configuration => {
                "every consumer hears of every version in order and once, and no edit of an old \
                 version is taken"
            }
            Self::Election => {
                "in the order of revisions leaders only follow each other, and nobody is elected \
                 while the lease of another one holds"
            }
        }
    }

    /// The names of its clients.
    pub fn clients(self) -> &'static [&'static str] {
        match self {
            Self::Lock | Self::FencedLock => &lock::NAMES,
            Self::Discovery => &discovery::NAMES,
            Self::Configuration => &configuration::NAMES,
            Self::Election => &election::NAMES,
        }
    }

    /// Whether a client asks only the member of its own number; others go to the next one when
    /// theirs does not answer.
    pub fn stays(self, who: usize) -> bool {
        self == Self::Election && who < election::CANDIDATES
    }

    /// The names of what it counts.
    pub fn facts(self) -> Vec<&'static str> {
        run::names_of_facts(self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.word() == text).ok_or_else(|| {
            let words = Self::ALL.map(Self::word).join(", ");
            format!("{text:?} is no application; applications are: {words}")
        })
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.word().into()
    }
}

/// What one client is doing, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLine {
    /// Whether it has what the application is about: the lock, the leadership, a registration.
    pub active: bool,
    pub text: String,
}

/// Hears what clients tell.
pub trait Ledger: Look {
    type Told: Send + 'static;

    /// Takes it; what is outside of the cluster answers.
    fn hear(&mut self, who: usize, told: Self::Told, now: Duration) -> Option<Event>;
}

/// What there is to see of an application.
pub trait Look: Send {
    /// What is counted, by name.
    fn facts(&self) -> Vec<(&'static str, u64)>;

    /// Of what goes up and down, the most there was.
    fn peaks(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn client(&self, who: usize) -> ClientLine;

    /// What stands outside of the cluster, in words.
    fn outside(&self) -> Option<String> {
        None
    }

    /// The clients in a role; nothing if there is no such role.
    fn who(&self, role: &str) -> Option<Vec<usize>>;

    /// A client has crashed.
    fn ended(&mut self, who: usize, now: Duration);

    /// The cluster is healed, nothing is broken any more; `alive` says which clients run.
    fn settle(&mut self, alive: &[bool]);

    /// What has not come to rest yet.
    fn unmet(&self, now: Duration) -> Option<String>;

    fn notes(&self) -> &Notes;

    fn notes_mut(&mut self) -> &mut Notes;
}
