//! What the parts of one running member share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, watch};

use crate::api::spans::Spans;
use crate::api::status::{go_text, to_status};
use crate::auth::{AuthEvent, Caller, Tokens, Walk};
use crate::config::Config;
use crate::consensus::transport::dial::REMOVED_TEXT;
use crate::consensus::transport::{Expelled, Identity, Transport};
use crate::features::Feature;
use crate::kv::Change;
use crate::lease::Lessor;
use crate::login::Login;
use crate::machine::{LeaseEvent, State};
use crate::metrics::Metrics;
use crate::storage::store::{Store, StoreError};
use crate::v2;
use crate::watch::service::Watchers;

/// Where this member's files are.
#[derive(Clone, Debug)]
pub struct Directories {
    pub wal: PathBuf,
    pub snapshots: PathBuf,
    pub state: PathBuf,
}

/// See the module.
pub struct Member {
    pub config: Config,
    pub identity: Identity,
    pub directories: Directories,
    pub state: RwLock<State>,
    pub store: Store,
    pub watchers: Arc<Watchers>,
    pub lessor: Mutex<Lessor>,
    pub login: Login,
    pub tokens: Mutex<Tokens>,
    /// The log's end when this member started. A token given out up to there may be long
    /// dead: replaying the log must not bring it back.
    pub replayed: u64,
    pub v2: v2::Local,
    pub metrics: Metrics,
    /// Where spans of calls go, if they are traced.
    pub spans: Option<Spans>,
    pub transport: Arc<Transport>,
    pub started: Instant,
    pub expelled: mpsc::UnboundedSender<Expelled>,
    /// What the gRPC health check says.
    pub serving: watch::Sender<bool>,
    /// Whether everything that this member acknowledged before it was started is applied, as far
    /// as can be known: until then its own state may be older than what its clients have seen.
    pub caught_up: watch::Sender<bool>,
    /// Changes when a snapshot takes the place of log entries that are not seen here.
    pub skipped: watch::Sender<()>,
    /// Size of the applied state as clients see it; see [`Member::db_size`].
    pub size: AtomicU64,
}

/// The size that an empty store shows: etcd's first pages.
const EMPTY_BYTES: u64 = 20 << 10;
const PAGE_BYTES: u64 = 4 << 10;
/// Rows of the small tables, about.
const LEASE_BYTES: u64 = 64;
/// A removed member goes on for this long, so that its peers and clients hear of it.
const REMOVED_GRACE: Duration = Duration::from_secs(1);

impl Member {
    /// This member's id.
    pub fn id(&self) -> u64 {
        self.identity.member_id
    }

    /// The monotonic clock of leases.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Tells everybody of applied changes, in order. Rights first: who has lost them must
    /// not hear of what was changed after that.
    pub fn publish(&self, changes: &[Vec<Change>], leases: &[LeaseEvent], auth: &[AuthEvent]) {
        if !auth.is_empty() {
            self.rights_changed(auth);
        }
        self.watchers.notify(changes);
        if leases.is_empty() {
            return;
        }
        let now = self.now();
        let mut lessor = self.lessor.lock();
        for event in leases {
            match *event {
                LeaseEvent::Granted(id, ttl) => {
                    Metrics::count(&self.metrics.leases_granted);
                    self.metrics.lease_ttl.observe_value(ttl as f64);
                    lessor.granted(id, ttl, now);
                }
                LeaseEvent::Revoked(id) => {
                    Metrics::count(&self.metrics.leases_revoked);
                    lessor.revoked(id);
                }
            }
        }
    }

    fn rights_changed(&self, events: &[AuthEvent]) {
        let now = self.now();
        let mut tokens = self.tokens.lock();
        for event in events {
            match event {
                AuthEvent::Token { user, hash, index } if *index > self.replayed => {
                    tokens.insert(*hash, *index, user, now);
                }
                AuthEvent::Token { .. } | AuthEvent::Changed => {}
                AuthEvent::Forget(user) => tokens.forget(user),
                AuthEvent::ForgetAll => tokens.forget_all(),
            }
        }
        drop(tokens);
        if events.contains(&AuthEvent::Changed) {
            self.judge_watchers();
        }
    }

    /// Ends the watchers whose owners may no longer see what they watch.
    fn judge_watchers(&self) {
        let state = self.state.read();
        self.watchers.judge(|owner, range| {
            let name = owner.unwrap_or_default().to_owned();
            let caller = Caller { name, revision: state.auth.revision() };
            let walk = Walk { auth: &state.auth, leases: &state.leases, caller: &caller };
            walk.watch(range.span().as_ref()).map_err(|error| go_text(&to_status(error)))
        });
    }

    /// The state was replaced by a snapshot. Which passwords were changed on the way to it is
    /// not known, so no token is trusted any more.
    pub fn restored(&self, revision: i64, compacted: i64) {
        self.tokens.lock().forget_all();
        self.judge_watchers();
        self.watchers.restored(revision, compacted);
        self.v2.hub.restored(&self.state.read().v2);
        self.members_changed();
        self.skipped.send_replace(());
    }

    /// The list of members changed.
    pub fn members_changed(&self) {
        let members = self.state.read().members.clone();
        self.transport.set_members(&members);
    }

    /// This member was removed: it ends in a moment.
    pub fn removed(&self) {
        let expelled = self.expelled.clone();
        tracing::warn!("{REMOVED_TEXT}");
        // A thread: the applier, which calls, has no runtime.
        let later = move || {
            std::thread::sleep(REMOVED_GRACE);
            let _ = expelled.send(Expelled(REMOVED_TEXT.to_owned()));
        };
        let _ = std::thread::Builder::new().name("removed".to_owned()).spawn(later);
    }

    /// Bytes in use: what a rebuilt store would take.
    pub fn db_size_in_use(&self) -> u64 {
        let small = {
            let state = self.state.read();
            state.leases.len() as u64 * LEASE_BYTES + state.v2.bytes() as u64
        };
        let bytes = EMPTY_BYTES + self.store.logical_bytes() + small;
        bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES
    }

    /// Bytes of the applied state, as an etcd client knows them: space freed by compaction
    /// is reused but not given back until the store is defragmented.
    pub fn db_size(&self) -> u64 {
        let in_use = self.db_size_in_use();
        self.size.fetch_max(in_use, Ordering::Relaxed).max(in_use)
    }

    /// Rebuilds the store. Takes long: call where blocking is allowed.
    pub fn defragment(&self) -> Result<(), StoreError> {
        let stop = self.config.upkeep.features.enabled(Feature::StopGrpcServiceOnDefrag);
        if stop {
            self.serving.send_replace(false);
        }
        let begin = Instant::now();
        self.metrics.defrag_running.store(1, Ordering::Relaxed);
        let done = self.store.defragment();
        self.metrics.defrag_running.store(0, Ordering::Relaxed);
        self.metrics.defrag.observe(begin.elapsed());
        if stop {
            self.serving.send_replace(true);
        }
        done.map(|()| self.defragmented())
    }

    /// The store was rebuilt: what is free is given back.
    fn defragmented(&self) {
        self.size.store(self.db_size_in_use(), Ordering::Relaxed);
    }

    /// Whether `cost` more bytes fit.
    pub fn has_room_for(&self, cost: u64) -> bool {
        self.config.limits.quota_bytes.is_none_or(|quota| self.db_size() + cost < quota)
    }
}
