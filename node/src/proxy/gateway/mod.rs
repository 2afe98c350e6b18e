//! `gateway`: a TCP proxy for applications that want one address for all members.
//!
//! A connection is given to the first endpoint that takes it, in the order of [`Picks`], and bytes
//! are copied both ways until both sides have ended; one side may end before the other. Nothing is
//! understood, so TLS goes through to the members, and a request that is under way when its member
//! dies fails: the client's library tries again, and lands elsewhere.
//!
//! The invariant: there are never more connections than open files allow, two for each.
//!
//! Left to others: where the endpoints are ([`super::endpoints`]).

use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use parking_lot::Mutex;
use rand::Rng as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::ProxyError;
use super::endpoints::{self, Discovery};
use super::picks::Picks;
use crate::net::accept::connection_limit;
use crate::net::{self, Listener, Socket, SocketOptions};

/// An endpoint has taken the connection by then, or is left out.
const CONNECT: Duration = Duration::from_secs(5);
/// After a failed accept (too many open files) others get time to close.
const PAUSE: Duration = Duration::from_millis(50);
/// A side that is gone without a word is noticed by this (Go's numbers).
const KEEPALIVE_SECONDS: u32 = 15;

/// What the flags say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `host:port`.
    pub listen: String,
    pub endpoints: Vec<String>,
    pub discovery: Option<Discovery>,
    pub retry_delay: Duration,
}

/// A gateway that listens.
pub struct Gateway {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    addresses: Vec<String>,
    picks: Mutex<Picks>,
    retry_delay: Duration,
}

impl Gateway {
    /// Finds the endpoints and begins to listen.
    pub async fn start(config: Config) -> Result<Self, ProxyError> {
        let endpoints = endpoints::find(config.discovery.as_ref(), &config.endpoints).await?;
        let mut addresses = Vec::new();
        for endpoint in &endpoints {
            addresses.push(endpoint.address()?.to_owned());
        }
        refuse_itself(&config.listen, &addresses).await?;
        let place = [format!("http://{}", config.listen)];
        let mut listeners = net::bind(&place, SocketOptions::default())?;
        let listener = listeners.pop().ok_or(ProxyError::NoEndpoints)?;
        let picks = Picks::new(endpoints.iter().map(|one| (one.priority, one.weight)));
        tracing::info!(endpoints = ?addresses, "ready to proxy client requests");
        let (picks, retry_delay) = (Mutex::new(picks), config.retry_delay);
        Ok(Self { listener, shared: Arc::new(Shared { addresses, picks, retry_delay }) })
    }

    /// Serves until it is dropped; connections live on the same runtime.
    pub async fn run(self) -> Result<(), ProxyError> {
        let (_, accepting) = self.listener.register()?;
        let limit = connection_limit();
        let retrying = retry(self.shared.clone());
        let accepting = async {
            // Never closed, so there are always permits in the end; two files are needed.
            while let Ok(place) = limit.clone().acquire_many_owned(2).await {
                match accepting.accept().await {
                    Ok(near) => {
                        tokio::spawn(serve(self.shared.clone(), near, place));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accepting a connection failed");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = retrying => {}
            () = accepting => {}
        }
        Ok(())
    }
}

/// An endpoint that is the gateway itself would be an endless way.
async fn refuse_itself(listen: &str, addresses: &[String]) -> Result<(), ProxyError> {
    let resolved = |address: &str| {
        let address = address.to_owned();
        async move {
            lookup_host(address.clone())
                .await
                .map(Iterator::collect::<Vec<_>>)
                .map_err(|why| ProxyError::Unresolved { host: address, why })
        }
    };
    let own = resolved(listen).await?;
    for endpoint in addresses {
        let places = resolved(endpoint).await?;
        if places.iter().any(|place| own.contains(place)) {
            let (endpoint, listen) = (endpoint.clone(), listen.to_owned());
            return Err(ProxyError::Loop { endpoint, listen });
        }
    }
    Ok(())
}

async fn serve(shared: Arc<Shared>, near: Socket, _place: OwnedSemaphorePermit) {
    let Socket::Tcp(mut near) = near else { return };
    let Some(mut far) = shared.connect().await else { return };
    keep_alive(&near);
    keep_alive(&far);
    // How a connection ends is its ends' business.
    let _ = copy_bidirectional(&mut near, &mut far).await;
}

fn keep_alive(stream: &TcpStream) {
    // Without it a connection merely lives longer than its ends.
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_SECONDS);
    let _ = setsockopt(stream, sockopt::TcpKeepInterval, &KEEPALIVE_SECONDS);
}

async fn dial(address: &str) -> std::io::Result<TcpStream> {
    let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no connection in time");
    let stream = timeout(CONNECT, TcpStream::connect(address)).await.map_err(late)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Shared {
    /// A connection to the first endpoint that takes it.
    async fn connect(&self) -> Option<TcpStream> {
        let order = self.picks.lock().order(|below| rand::rng().random_range(0..below));
        for index in order {
            let address = &self.addresses[index];
            match dial(address).await {
                Ok(stream) => {
                    self.note_working(index);
                    return Some(stream);
                }
                Err(error) => {
                    if self.picks.lock().note(index, false) {
                        let interval = self.retry_delay;
                        tracing::warn!(%address, ?interval, %error, "deactivated endpoint");
                    }
                }
            }
        }
        None
    }

    fn note_working(&self, index: usize) {
        if self.picks.lock().note(index, true) {
            tracing::info!(address = %self.addresses[index], "activated");
        }
    }
}

/// Tries endpoints that were left out, for ever.
async fn retry(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(shared.retry_delay).await;
        let failed = shared.picks.lock().failed();
        let tries = failed.into_iter().map(|index| {
            let shared = &shared;
            async move {
                let address = &shared.addresses[index];
                match dial(address).await {
                    Ok(_) => shared.note_working(index),
                    Err(error) => tracing::warn!(
                        %address,
                        interval = ?shared.retry_delay,
                        %error,
                        "failed to activate endpoint (stay inactive for another interval)"
                    ),
                }
            }
        });
        futures::future::join_all(tries).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Nobody listens there now.
    async fn free_address() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    }

    fn config(listen: &str, endpoints: &[&str]) -> Config {
        Config {
            listen: listen.to_owned(),
            endpoints: endpoints.iter().map(|one| one.to_string()).collect(),
            discovery: None,
            retry_delay: Duration::from_secs(60),
        }
    }

    #[tokio::test]
    async fn a_dead_endpoint_is_passed_over_and_one_side_may_end_before_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        // Answers when everything has been said.
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut said = Vec::new();
                stream.read_to_end(&mut said).await.unwrap();
                stream.write_all(&said).await.unwrap();
            }
        });
        let (dead, listen) = (free_address().await, free_address().await);
        let gateway = Gateway::start(config(&listen, &[&dead, &endpoint])).await.unwrap();
        tokio::spawn(gateway.run());
        for _ in 0..4 {
            let mut stream = TcpStream::connect(&listen).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"hello");
        }
    }

    #[tokio::test]
    async fn it_does_not_lead_to_itself() {
        let listen = free_address().await;
        let outcome = Gateway::start(config(&listen, &[&listen])).await;
        assert!(matches!(outcome.err(), Some(ProxyError::Loop { .. })));
    }
}
