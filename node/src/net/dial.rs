//! Connections to other members.
//!
//! tonic speaks on what it is given; here it is given a socket of the right kind, encrypted
//! if the URL says so, so that dialling and listening share their TLS. With `--peer-proxy` TCP
//! connections go through tunnels of that proxy, and TLS begins inside the tunnel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Uri};

use super::address::{Place, Url};
use super::connection::{Connection, Socket};
use super::tls::Tls;
use super::tunnel;

/// A TLS handshake must be through by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// tonic wants a URI even where a socket is no host.
const PLACEHOLDER: &str = "http://localhost";

/// Opens connections to members.
#[derive(Clone)]
pub struct Dialer {
    tls: Arc<Tls>,
    /// `host:port` of a proxy to ask for tunnels.
    proxy: Option<Arc<str>>,
}

impl Dialer {
    /// One that dials with this TLS.
    pub fn new(tls: Arc<Tls>) -> Self {
        Self { tls, proxy: None }
    }

    /// One that reaches other hosts through this proxy, if there is one.
    pub fn through(self, proxy: Option<&str>) -> Self {
        Self { proxy: proxy.map(Arc::from), ..self }
    }

    /// Opens a socket to `url`.
    pub async fn open(self, url: Url, within: Duration) -> io::Result<Connection> {
        let socket = async {
            Ok::<_, io::Error>(match &url.place {
                Place::Tcp(address) => {
                    let nearest = self.proxy.as_deref().unwrap_or(address);
                    let mut stream = TcpStream::connect(nearest).await?;
                    stream.set_nodelay(true)?;
                    if self.proxy.is_some() {
                        tunnel::ask(&mut stream, address).await?;
                    }
                    Socket::Tcp(stream)
                }
                Place::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
            })
        };
        let late = |what: &str| io::Error::new(io::ErrorKind::TimedOut, what.to_owned());
        let socket = timeout(within, socket).await.map_err(|_| late("no connection in time"))??;
        if !url.secure {
            return Ok(Connection::plain(socket));
        }
        timeout(HANDSHAKE, self.tls.connect(url.host(), socket))
            .await
            .map_err(|_| late("no TLS handshake in time"))?
    }

    /// Connects to `url`, with the settings that `configure` adds.
    pub async fn connect(
        &self,
        url: &str,
        within: Duration,
        configure: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Result<Channel, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        // Encrypted or not, the endpoint says http: this is how tonic leaves TLS to us.
        let uri = match &url.place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Unix(_) => PLACEHOLDER.to_owned(),
        };
        let endpoint = Endpoint::from_shared(uri).map_err(|error| error.to_string())?;
        let dialer = self.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let opened = dialer.clone().open(url.clone(), within);
            async move { opened.await.map(TokioIo::new) }
        });
        configure(endpoint)
            .connect_with_connector(connector)
            .await
            .map_err(|error| root_cause(&error))
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
