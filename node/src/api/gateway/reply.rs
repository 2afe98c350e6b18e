//! What the gateway answers: JSON, a line of JSON for each message of a stream, or an error.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use prost_reflect::MessageDescriptor;
use serde_json::json;
use tonic::body::Body;
use tonic::{Code, Status};

use super::schema::to_json;

type Reply = Response<Body>;

fn reply(status: StatusCode, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    reply
}

fn full(text: Vec<u8>) -> Body {
    Body::new(Full::new(Bytes::from(text)))
}

/// etcd passes the metadata of the inner response on; this much there is of it.
fn from_grpc(mut reply: Reply) -> Reply {
    let kind = HeaderValue::from_static("application/grpc");
    reply.headers_mut().insert("grpc-metadata-content-type", kind);
    reply
}

/// An answer of one message.
pub fn message(json: Vec<u8>) -> Reply {
    from_grpc(reply(StatusCode::OK, full(json)))
}

/// A refused request. `error` is where clients before etcd 3.6 look for the text.
pub fn error(status: &Status) -> Reply {
    let (code, text) = (status.code() as i32, json!(status.message()));
    let body = format!(r#"{{"code":{code},"message":{text},"error":{text}}}"#);
    reply(http_status(status.code()), full(body.into_bytes()))
}

/// The same request at the path that was meant.
pub fn redirect(path: &str) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(path) = HeaderValue::from_str(path) {
        reply.headers_mut().insert(header::LOCATION, path);
    }
    reply
}

/// A client whose certificate has a name, which would not be used (etcd's `accessController`).
pub fn certificate_named() -> Reply {
    let text = "CommonName of client sending a request against gateway will be ignored and not \
                used as expected\n";
    let mut reply = Response::new(full(text.as_bytes().to_vec()));
    *reply.status_mut() = StatusCode::BAD_REQUEST;
    let headers = reply.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// A path that nobody serves.
pub fn not_found() -> Reply {
    error(&Status::not_found("Not Found"))
}

/// Anything but a POST.
pub fn method_not_allowed() -> Reply {
    error(&Status::unimplemented("Method Not Allowed"))
}

/// What a browser asks before it sends something: the answer is in headers, which are not
/// the gateway's business.
pub fn options() -> Reply {
    Response::new(Body::empty())
}

/// A stream that failed before its first message.
pub fn stream_error(status: &Status) -> Reply {
    from_grpc(reply(http_status(status.code()), full(error_line(status))))
}

/// A stream of messages: `first` and what follows.
pub fn lines<S>(first: Option<Bytes>, rest: S, message: MessageDescriptor) -> Reply
where
    S: Stream<Item = Result<Bytes, Status>> + Send + 'static,
{
    let first = futures::stream::iter(first.map(Ok));
    let lines = first.chain(rest).map(move |outcome| {
        let line = outcome.and_then(|encoded| line(message.clone(), encoded));
        let line = line.unwrap_or_else(|status| error_line(&status));
        Ok::<_, Status>(Frame::data(Bytes::from(line)))
    });
    from_grpc(reply(StatusCode::OK, Body::new(StreamBody::new(lines))))
}

fn line(message: MessageDescriptor, encoded: Bytes) -> Result<Vec<u8>, Status> {
    let json = to_json(message, encoded)?;
    Ok([br#"{"result":"#, &json[..], b"}\n"].concat())
}

fn error_line(status: &Status) -> Vec<u8> {
    let (code, text) = (status.code() as i32, status.message());
    let mut line = json!({ "error": { "code": code, "message": text } }).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The HTTP status for a gRPC code.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        // The client closed the request; there is no name for 499.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
