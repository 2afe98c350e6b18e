//! Plain HTTP/1.1 requests to one server, for the v2 registry: one connection each, through a
//! proxy if there is one, redirects followed.
//!
//! The other side may be a public service, so its answers are bounded in size, in redirects,
//! and, by the caller, in time.

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::net::Socket;
use crate::net::tls::{Tls, TlsOptions};

const REDIRECTS_MAX: usize = 5;
const BODY_BYTES_MAX: usize = 4 << 20;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The v2 API's place in its history.
    pub index: Option<u64>,
    pub body: Bytes,
}

/// One request; a body is a form.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub url: String,
    pub form: Option<String>,
}

/// Where requests go first.
#[derive(Clone, Debug, Default)]
pub struct Client {
    proxy: Option<Uri>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    /// A client that goes through `proxy`, or straight if that is empty.
    pub fn new(proxy: &str) -> Result<Self, String> {
        if proxy.is_empty() {
            return Ok(Self::default());
        }
        // As in etcd, the scheme may be left out.
        let text = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
        let uri: Uri =
            text.parse().map_err(|error| format!("invalid proxy address {proxy:?}: {error}"))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() {
            return Err(format!("invalid proxy address {proxy:?}: it is http://host:port"));
        }
        Ok(Self { proxy: Some(uri) })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, ask: &Ask) -> Result<Answer, String> {
        let mut ask = ask.clone();
        for _ in 0..=REDIRECTS_MAX {
            let uri: Uri = ask.url.parse().map_err(|error| format!("{}: {error}", ask.url))?;
            let response = self.once(&ask, &uri).await.map_err(|why| format!("{uri}: {why}"))?;
            let location = response.headers().get(header::LOCATION);
            if let (true, Some(location)) = (response.status().is_redirection(), location) {
                let location = location.to_str().map_err(|error| error.to_string())?;
                ask.url = redirected(&uri, location);
                continue;
            }
            let index = response.headers().get("X-Etcd-Index");
            let index = index.and_then(|value| value.to_str().ok()?.parse().ok());
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| format!("{uri}: {error}"))?.to_bytes();
            return Ok(Answer { status, index, body });
        }
        Err(format!("{}: too many redirects", ask.url))
    }

    async fn once(
        &self,
        ask: &Ask,
        uri: &Uri,
    ) -> Result<http::Response<hyper::body::Incoming>, String> {
        let authority = uri.authority().ok_or("it names no host")?.as_str();
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("its scheme is not http or https".into()),
        };
        let stream = self.open(uri, is_secure).await?;
        // A proxy for plain requests wants the whole URL in the request line.
        let target = match (&self.proxy, is_secure) {
            (Some(_), false) => uri.to_string(),
            _ => uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(target)
            .header(header::HOST, host)
            .header(header::USER_AGENT, "etcd-tui");
        if ask.form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = Full::new(Bytes::from(ask.form.clone().unwrap_or_default()));
        let request = request.body(body).map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| error.to_string())
    }

    async fn open(&self, uri: &Uri, is_secure: bool) -> Result<Box<dyn Stream>, String> {
        let host = uri.host().ok_or("it names no host")?;
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let tcp = match &self.proxy {
            None => connect(host, port).await?,
            Some(proxy) => {
                let proxy_host = proxy.host().unwrap_or_default();
                let tcp = connect(proxy_host, proxy.port_u16().unwrap_or(80)).await?;
                if is_secure { tunnel(tcp, host, port).await? } else { tcp }
            }
        };
        if !is_secure {
            return Ok(Box::new(tcp));
        }
        // A public service has a certificate that the system's authorities vouch for.
        let options = TlsOptions { http1: true, ..TlsOptions::default() };
        let tls = Tls::open(options).map_err(|error| error.to_string())?;
        let secured = tls.connect(host.trim_matches(['[', ']']), Socket::Tcp(tcp)).await;
        Ok(Box::new(secured.map_err(|error| format!("no TLS with {host}: {error}"))?))
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let host = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port)).await;
    stream.map_err(|error| format!("cannot connect to {host}:{port}: {error}"))
}

/// Asks a proxy for a connection to `host`.
async fn tunnel(tcp: TcpStream, host: &str, port: u16) -> Result<TcpStream, String> {
    let (mut sender, connection) =
        http1::handshake::<_, Full<Bytes>>(TokioIo::new(tcp)).await.map_err(|e| e.to_string())?;
    let place = format!("{host}:{port}");
    let request = Request::connect(&place)
        .header(header::HOST, &place)
        .body(Full::default())
        .map_err(|error| error.to_string())?;
    let driven = tokio::spawn(async move { connection.without_shutdown().await });
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("the proxy refuses to connect to {place}: {}", response.status()));
    }
    drop((response, sender));
    let parts = driven.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    if !parts.read_buf.is_empty() {
        return Err("the proxy spoke before the server could".into());
    }
    Ok(parts.io.into_inner())
}

/// Where a redirect leads; a path alone stays on the server.
fn redirected(from: &Uri, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let scheme = from.scheme_str().unwrap_or("http");
    let authority = from.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}/{}", location.trim_start_matches('/'))
}

/// `value` as a form writes it.
pub fn form_escape(value: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers one connection after the other with these texts; returns what was asked.
    async fn server(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = vec![0; 4096];
                let read = stream.read(&mut buffer).await.unwrap();
                asked.push(String::from_utf8_lossy(&buffer[..read]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (base, asked)
    }

    fn get(url: String) -> Ask {
        Ask { method: Method::GET, url, form: None }
    }

    fn ok(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn an_answer_has_status_index_and_body() {
        let (base, asked) = server(vec![ok("hello")]).await;
        let ask = Ask {
            method: Method::PUT,
            url: format!("{base}/a/b?c=d"),
            form: Some(format!("value={}", form_escape("n=http://h:1"))),
        };
        let answer = Client::default().send(&ask).await.unwrap();
        assert_eq!((answer.status, answer.index, &answer.body[..]), (200, Some(7), &b"hello"[..]));
        let asked = asked.await.unwrap().remove(0);
        assert!(asked.starts_with("PUT /a/b?c=d HTTP/1.1\r\n"), "{asked}");
        assert!(asked.ends_with("\r\n\r\nvalue=n%3Dhttp%3A%2F%2Fh%3A1"), "{asked}");
    }

    #[tokio::test]
    async fn redirects_are_followed_but_not_for_ever() {
        let moved = "HTTP/1.1 307 Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n";
        let (base, asked) = server(vec![moved.into(), ok("there")]).await;
        let answer = Client::default().send(&get(format!("{base}/first"))).await.unwrap();
        assert_eq!(&answer.body[..], b"there");
        assert!(asked.await.unwrap()[1].starts_with("GET /other "));
        let (base, _asked) = server(vec![moved.into(); REDIRECTS_MAX + 1]).await;
        let error = Client::default().send(&get(base)).await.unwrap_err();
        assert!(error.contains("too many redirects"), "{error}");
    }

    #[tokio::test]
    async fn a_proxy_gets_the_whole_url() {
        let (proxy, asked) = server(vec![ok("by proxy")]).await;
        // Without its scheme, as people write it.
        let client = Client::new(proxy.strip_prefix("http://").unwrap()).unwrap();
        let answer = client.send(&get("http://discovery.test/token".into())).await.unwrap();
        assert_eq!(&answer.body[..], b"by proxy");
        let asked = asked.await.unwrap().remove(0);
        assert!(asked.starts_with("GET http://discovery.test/token HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("host: discovery.test\r\n"), "{asked}");
        assert!(Client::new("ftp://h:1").is_err() && Client::new("http://").is_err());
    }

    #[tokio::test]
    async fn a_tunnel_that_is_refused_says_so() {
        let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
        let (proxy, asked) = server(vec![refusal.into()]).await;
        let client = Client::new(&proxy).unwrap();
        let error = client.send(&get("https://discovery.test/token".into())).await.unwrap_err();
        assert!(error.contains("403"), "{error}");
        let asked = asked.await.unwrap().remove(0);
        assert!(asked.starts_with("CONNECT discovery.test:443 HTTP/1.1\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn what_is_no_server_is_an_error() {
        for url in ["", "x", "ftp://127.0.0.1:1/", "http://127.0.0.1:1/"] {
            assert!(Client::default().send(&get(url.into())).await.is_err(), "{url:?}");
        }
        let (base, _asked) = server(vec!["what?".into()]).await;
        assert!(Client::default().send(&get(base)).await.is_err());
    }
}
