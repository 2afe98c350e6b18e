//! Connections to all members, and which of them the next request takes.
//!
//! A task for each endpoint keeps one connection, or keeps trying; a request takes the next of
//! those that are there. So a member that dies is left out as soon as its connection breaks, and a
//! request waits only while there is no connection at all.
//!
//! The invariant: the table has exactly the endpoints that were last set.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::link::{Link, Pings};
use crate::net::Dialer;

/// A request waits this long for any connection.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The members as the proxy reaches them.
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    dialer: Dialer,
    pings: Pings,
    table: watch::Sender<Vec<Place>>,
    keepers: Mutex<HashMap<String, AbortHandle>>,
    turn: AtomicUsize,
}

/// One endpoint.
#[derive(Clone)]
struct Place {
    url: String,
    /// Or why there is none.
    link: Result<Link, String>,
}

impl Upstream {
    /// Nowhere yet.
    pub fn new(dialer: Dialer, pings: Pings) -> Self {
        let (table, turn) = (watch::Sender::new(Vec::new()), AtomicUsize::new(0));
        let keepers = Mutex::default();
        Self { shared: Arc::new(Shared { dialer, pings, table, keepers, turn }) }
    }

    /// Makes these the endpoints. Requests under way are not disturbed. True if that is news.
    pub fn set(&self, urls: &[String]) -> bool {
        let mut keepers = self.shared.keepers.lock();
        let gone: Vec<String> = keepers.keys().filter(|url| !urls.contains(url)).cloned().collect();
        for url in &gone {
            if let Some(keeper) = keepers.remove(url) {
                keeper.abort();
            }
        }
        let mut news = !gone.is_empty();
        self.shared.table.send_modify(|table| {
            table.retain(|place| urls.contains(&place.url));
            for url in urls {
                if table.iter().all(|place| place.url != *url) {
                    let link = Err("not connected yet".to_owned());
                    table.push(Place { url: url.clone(), link });
                }
            }
        });
        for url in urls {
            if !keepers.contains_key(url) {
                news = true;
                let keeper = tokio::spawn(keep(self.shared.clone(), url.clone()));
                keepers.insert(url.clone(), keeper.abort_handle());
            }
        }
        news
    }

    /// How many endpoints there are.
    pub fn count(&self) -> usize {
        self.shared.table.borrow().len()
    }

    /// An endpoint that is connected, or any.
    pub fn endpoint(&self) -> Option<String> {
        let table = self.shared.table.borrow();
        let connected = table.iter().find(|place| place.link.is_ok());
        connected.or(table.first()).map(|place| place.url.clone())
    }

    /// The next connection.
    pub async fn link(&self) -> Result<Link, Status> {
        let mut table = self.shared.table.subscribe();
        let found = timeout(PATIENCE, async {
            loop {
                let link = self.shared.next(&table.borrow_and_update());
                if let Some(link) = link {
                    return link;
                }
                if table.changed().await.is_err() {
                    // The sender is ours: it does not go away.
                    std::future::pending::<()>().await;
                }
            }
        });
        found.await.map_err(|_| {
            let told = |place: &Place| {
                let why = place
                    .link
                    .as_ref()
                    .err()
                    .map_or("the connection has ended", |why| why.as_str());
                format!("{}: {why}", place.url)
            };
            let told: Vec<String> = self.shared.table.borrow().iter().map(told).collect();
            let text =
                format!("none of the proxy's endpoints can be reached ({})", told.join("; "));
            Status::unavailable(text)
        })
    }
}

impl Shared {
    fn next(&self, table: &[Place]) -> Option<Link> {
        let open =
            |place: &Place| place.link.as_ref().ok().filter(|link| !link.is_closed()).cloned();
        let mut links: Vec<Link> = table.iter().filter_map(open).collect();
        if links.is_empty() {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % links.len();
        Some(links.swap_remove(turn))
    }

    /// Notes what there is at an endpoint; true if it is of another kind than before.
    fn note(&self, url: &str, link: Result<Link, String>) -> bool {
        let mut news = false;
        self.table.send_modify(|table| {
            if let Some(place) = table.iter_mut().find(|place| place.url == url) {
                news = match (&place.link, &link) {
                    (Err(before), Err(now)) => before != now,
                    (before, now) => before.is_ok() != now.is_ok(),
                };
                place.link = link;
            }
        });
        news
    }
}

/// Keeps a connection to one endpoint, for ever.
async fn keep(shared: Arc<Shared>, url: String) {
    let mut pause = PAUSE_FIRST;
    loop {
        match Link::open(&shared.dialer, &url, &shared.pings).await {
            Ok((link, ended)) => {
                tracing::info!(endpoint = %url, "connected to endpoint");
                shared.note(&url, Ok(link));
                // However it ended, there is none now.
                let _ = ended.await;
                tracing::warn!(endpoint = %url, "the connection to an endpoint has ended");
                shared.note(&url, Err("the connection has ended".to_owned()));
                pause = PAUSE_FIRST;
            }
            Err(error) => {
                if shared.note(&url, Err(error.clone())) {
                    tracing::warn!(endpoint = %url, %error, "cannot connect to endpoint");
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        sleep(pause).await;
    }
}
