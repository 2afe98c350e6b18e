//! The gateway over a WebSocket: for browsers, which cannot send a body bit by bit.
//!
//! Each message that comes in is a piece of the request's body, each line of the answer is a
//! message that goes out. The connection ends with the answer, and the other way round. A
//! browser cannot set `Authorization` either: the token comes as a subprotocol
//! (`Sec-WebSocket-Protocol: Bearer, <token>`) or in the cookie `token`, as in etcd.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tonic::Status;
use tonic::body::Body;

use super::reply;
use crate::api::route::{Services, receive_limit};

/// Messages taken from a client and not yet read.
const PIECES_WAITING: usize = 16;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Whether this is a client that wants to go on as a WebSocket.
pub fn is_asked(headers: &HeaderMap) -> bool {
    has_word(headers, &header::CONNECTION, "upgrade")
        && has_word(headers, &header::UPGRADE, "websocket")
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|other| other.trim().eq_ignore_ascii_case(word))
}

/// Agrees, and answers the request over the new connection when it is there.
pub fn accept<B>(services: &Services, mut request: Request<B>) -> Response<Body> {
    let headers = request.headers();
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let (Some(key), true, true) =
        (key, version.is_some_and(|version| version == "13"), request.method() == Method::GET)
    else {
        return reply::error(&Status::invalid_argument("this is no opening of a WebSocket"));
    };
    let mut agreed = Response::new(Body::empty());
    *agreed.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = agreed.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key)) {
        fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    let protocol = headers.get(header::SEC_WEBSOCKET_PROTOCOL);
    if protocol.is_some_and(|protocol| protocol.as_bytes().starts_with(b"Bearer")) {
        fields.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("Bearer"));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let inner = inner_request(request);
    tokio::spawn(serve(services.clone(), upgrade, inner));
    agreed
}

/// The request that the WebSocket's messages are the body of.
fn inner_request<B>(request: Request<B>) -> Request<()> {
    let (mut parts, _) = request.into_parts();
    let token = token(&parts.headers);
    parts.method = Method::POST;
    parts.headers = HeaderMap::new();
    if let Some(token) = token {
        parts.headers.insert(header::AUTHORIZATION, token);
    }
    Request::from_parts(parts, ())
}

fn token(headers: &HeaderMap) -> Option<HeaderValue> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(|value| value.split(';'));
    let cookie = cookies.find_map(|cookie| cookie.trim().strip_prefix("token="));
    if let Some(cookie) = cookie {
        return HeaderValue::from_str(&format!("Bearer {cookie}")).ok();
    }
    let protocol = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let token = protocol.strip_prefix("Bearer,")?;
    HeaderValue::from_str(&format!("Bearer {}", token.trim())).ok()
}

async fn serve(services: Services, upgrade: OnUpgrade, request: Request<()>) {
    // A client that is gone by now has nothing to be told.
    let Ok(connection) = upgrade.await else { return };
    let limit = receive_limit(&services.service).saturating_mul(2);
    let config =
        WebSocketConfig::default().max_message_size(Some(limit)).max_frame_size(Some(limit));
    let connection = TokioIo::new(connection);
    let socket = Socket::from_raw_socket(connection, Role::Server, Some(config)).await;
    let (mut lines, messages) = socket.split();
    let (pieces, body) = mpsc::channel(PIECES_WAITING);
    let body = ReceiverStream::new(body).map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let request = request.map(|()| StreamBody::new(body));
    tokio::select! {
        () = answer(&services, request, &mut lines) => {}
        () = take_pieces(messages, pieces) => {}
    }
    let _ = lines.close().await;
}

/// Passes the client's messages on until there are no more.
async fn take_pieces(mut messages: impl futures::Stream<Item = Received> + Unpin, pieces: Pieces) {
    while let Some(Ok(message)) = messages.next().await {
        let piece = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            _ => continue,
        };
        for piece in [piece, Bytes::from_static(b"\n")] {
            if pieces.send(piece).await.is_err() {
                // The request is not read any more; its answer may still be under way.
                return std::future::pending().await;
            }
        }
    }
}

type Received = Result<Message, tokio_tungstenite::tungstenite::Error>;
type Pieces = mpsc::Sender<Bytes>;

/// Sends each line of the answer as a message.
async fn answer<B>(
    services: &Services,
    request: Request<B>,
    lines: &mut (impl futures::Sink<Message> + Unpin),
) where
    B: http_body::Body + Unpin + Send + 'static,
    B::Error: std::fmt::Display,
{
    let mut body = super::answer_once(services, request).await.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        for line in data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // JSON is text.
            let line = String::from_utf8_lossy(line).into_owned();
            if lines.send(Message::text(line)).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let parsed = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(parsed).collect()
    }

    #[test]
    fn only_a_websocket_is_one() {
        let fields = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        assert!(is_asked(&headers(&fields)));
        assert!(!is_asked(&headers(&fields[..1])));
        assert!(!is_asked(&headers(&[("connection", "upgrade"), ("upgrade", "h2c")])));
        assert!(!is_asked(&headers(&[])));
    }

    #[test]
    fn the_token_comes_as_a_subprotocol_or_a_cookie() {
        let of = |fields: &[_]| token(&headers(fields));
        assert_eq!(of(&[("sec-websocket-protocol", "Bearer, abc.1")]).unwrap(), "Bearer abc.1");
        assert_eq!(of(&[("sec-websocket-protocol", "Bearer,abc")]).unwrap(), "Bearer abc");
        assert_eq!(of(&[("cookie", "a=b; token=xyz; c=d")]).unwrap(), "Bearer xyz");
        let both = [("cookie", "token=x"), ("sec-websocket-protocol", "Bearer, y")];
        assert_eq!(of(&both).unwrap(), "Bearer x");
        assert_eq!(of(&[("sec-websocket-protocol", "chat"), ("cookie", "mytoken=x")]), None);
        // What the client sets otherwise does not come through.
        let request = Request::get("/v3/watch").header("authorization", "z").body(()).unwrap();
        let inner = inner_request(request);
        assert!(inner.headers().is_empty() && inner.method() == Method::POST);
    }
}
