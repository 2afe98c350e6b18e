//! Answers of v2 as HTTP: content types, headers and errors.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tonic::body::Body;

use super::json;
use crate::v2::Error;

/// A whole answer.
pub fn whole(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut reply = Response::new(Body::new(Full::new(Bytes::from(body))));
    *reply.status_mut() = status;
    set_header(&mut reply, "content-type", content_type);
    reply
}

/// A whole answer in JSON.
pub fn json_reply(status: StatusCode, body: String) -> Response<Body> {
    whole(status, "application/json", body)
}

/// An answer that is a status and nothing else.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = status;
    reply
}

/// Sets a header; a value that cannot stand in one is left out.
pub fn set_header(reply: &mut Response<Body>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// An error of the keys.
pub fn error(error: &Error) -> Response<Body> {
    let status = StatusCode::from_u16(error.code.http_status());
    let mut reply = json_reply(status.unwrap_or(StatusCode::BAD_REQUEST), json::error(error));
    set_header(&mut reply, "x-etcd-index", &error.index.to_string());
    reply
}

/// An error of members and statistics.
pub fn message(status: StatusCode, text: &str) -> Response<Body> {
    let mut body = String::from("{\"message\":");
    json::string(&mut body, text);
    body.push('}');
    json_reply(status, body)
}

/// A complaint in plain text, as Go's HTTP server makes it.
pub fn plain_error(status: StatusCode, text: &str) -> Response<Body> {
    let mut reply = whole(status, "text/plain; charset=utf-8", format!("{text}\n"));
    set_header(&mut reply, "x-content-type-options", "nosniff");
    reply
}

/// The method is not for this path; these are.
pub fn not_allowed(methods: &'static str) -> Response<Body> {
    let mut reply = plain_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    if !methods.is_empty() {
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    reply
}
