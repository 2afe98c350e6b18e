//! The shell around etcd: carries out effects over gRPC and reports back as messages.
//!
//! Every effect runs in a task of its own with a deadline, so nothing here can hold the UI
//! up. Dropping the [`Client`] ends all of them. What a finding means is left to the reducer.

mod failure;
mod lanes;
mod poll;
mod pool;
mod reads;
mod session;
mod tail;
mod watch;
mod writes;

use crate::Trust;
use crate::effect::Effect;
use crate::msg::{Failure, Msg, Reply, RequestId};
use pool::Pool;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};

/// The executor of effects.
pub struct Client {
    pool: Arc<Pool>,
    messages: mpsc::Sender<Msg>,
    poll_now: Arc<Notify>,
    tasks: JoinSet<()>,
    watch: Option<AbortHandle>,
    scan: Option<AbortHandle>,
    /// The log files being followed.
    tails: HashMap<(String, PathBuf), AbortHandle>,
}

impl Client {
    /// Starts polling; reports go to `messages`.
    pub fn start(messages: mpsc::Sender<Msg>, trust: Trust) -> Self {
        let pool = Arc::new(Pool::new(trust));
        let poll_now = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(poll::run(pool.clone(), messages.clone(), poll_now.clone()));
        tasks.spawn(session::keep(pool.clone()));
        Self { pool, messages, poll_now, tasks, watch: None, scan: None, tails: HashMap::new() }
    }

    /// Carries out what concerns etcd and files; hands other effects back.
    pub fn execute(&mut self, effect: Effect) -> Option<Effect> {
        while self.tasks.try_join_next().is_some() {}
        let pool = self.pool.clone();
        let messages = self.messages.clone();
        match effect {
            Effect::Poll(endpoints) => {
                pool.set_endpoints(&endpoints);
                self.poll_now.notify_one();
            }
            Effect::PollNow => self.poll_now.notify_one(),
            Effect::List(id, query) => {
                self.request(id, async move { reads::list(&pool, query).await });
            }
            Effect::Get { id, key, serializable } => {
                self.request(id, async move { reads::get(&pool, key, serializable).await });
            }
            Effect::Count { id, prefix, serializable } => {
                self.request(id, async move { reads::count(&pool, prefix, serializable).await });
            }
            Effect::Lease { id, lease } => {
                self.request(id, async move { reads::lease(&pool, lease).await });
            }
            Effect::Write(id, write) => {
                self.request(id, async move { writes::write(&pool, write).await });
            }
            Effect::MoveLeader { id, endpoint, target } => {
                self.request(
                    id,
                    async move { writes::move_leader(&pool, &endpoint, target).await },
                );
            }
            Effect::Watch { generation, prefix, revision } => {
                stop(&mut self.watch);
                let task = watch::run(pool, messages, generation, prefix, revision);
                self.watch = Some(self.tasks.spawn(task));
            }
            Effect::Unwatch => stop(&mut self.watch),
            Effect::Lanes => {
                self.tasks.spawn(lanes::run(pool, messages));
            }
            Effect::Scan { generation, prefix, needle, serializable } => {
                stop(&mut self.scan);
                let scan = reads::Scan { generation, prefix, needle, serializable };
                self.scan = Some(self.tasks.spawn(reads::scan(pool, messages, scan)));
            }
            Effect::CancelScan => stop(&mut self.scan),
            Effect::TailLogs(files) => self.tail(files),
            other @ (Effect::Fleet(_) | Effect::Quit(_)) => return Some(other),
        }
        None
    }

    /// Follows these files and no others; those followed already go on where they are.
    fn tail(&mut self, files: Vec<(String, PathBuf)>) {
        self.tails.retain(|file, task| {
            let kept = files.contains(file);
            if !kept {
                task.abort();
            }
            kept
        });
        for file in files {
            let (node, path) = file.clone();
            let messages = self.messages.clone();
            if let Entry::Vacant(vacant) = self.tails.entry(file) {
                vacant.insert(self.tasks.spawn(tail::run(node, path, messages)));
            }
        }
    }

    fn request(
        &mut self,
        id: RequestId,
        work: impl Future<Output = Result<Reply, Failure>> + Send + 'static,
    ) {
        let messages = self.messages.clone();
        let session = self.pool.session();
        self.tasks.spawn(async move {
            session.ready().await;
            let outcome = work.await.map_err(|failure| session.explain(failure));
            // The receiver is gone only when the UI is.
            let _ = messages.send(Msg::Reply(id, outcome)).await;
        });
    }
}

fn stop(task: &mut Option<AbortHandle>) {
    if let Some(task) = task.take() {
        task.abort();
    }
}
