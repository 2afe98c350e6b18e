//! etcd's v2 REST API over HTTP: `/v2/keys`, `/v2/members`, `/v2/machines`, `/v2/stats`.
//!
//! Answers are etcd 3.4's to the byte where a client can see it: statuses, headers, the order
//! of JSON fields, and the texts of complaints, some of which are Go's. What the requests do
//! is `crate::v2`'s business, and for members the Cluster service's, whose rules hold here
//! too.

mod form;
mod json;
mod keys;
mod members;
mod reply;
mod stats;
mod watch_body;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tonic::body::Body;

use super::Service;
use crate::v2::{Code, Error};
use form::FORM_BYTES_MAX;

/// Whether a path belongs to this API.
pub fn owns(path: &str) -> bool {
    path.starts_with("/v2/")
}

/// Answers a request whose path [`owns`] accepted.
pub async fn answer(service: &Service, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = match form::unescape(head.uri.path().as_bytes(), false) {
        Ok(path) => path,
        Err(_) => return reply::plain_error(StatusCode::BAD_REQUEST, "400 Bad Request"),
    };
    let clean = clean(&path);
    if clean != path {
        return redirect(&head, &clean);
    }
    if let Some(rest) = under(&path, "/v2/keys") {
        let mut reply = if keys::METHODS.split(',').any(|method| method == head.method.as_str()) {
            let body = gather(body).await;
            keys::answer(service, &head, rest, body).await
        } else {
            return reply::not_allowed(keys::METHODS);
        };
        name_cluster(service, &mut reply);
        return reply;
    }
    if let Some(rest) = under(&path, "/v2/members") {
        if !members::METHODS.split(',').any(|method| method == head.method.as_str()) {
            return reply::not_allowed(members::METHODS);
        }
        let mut reply = members::answer(service, &head, rest, body).await;
        name_cluster(service, &mut reply);
        return reply;
    }
    let get = head.method == Method::GET;
    match path.as_str() {
        "/v2/machines" if get || head.method == Method::HEAD => members::machines(service),
        "/v2/machines" => reply::not_allowed("GET,HEAD"),
        "/v2/stats/self" if get => stats::own(service),
        "/v2/stats/leader" if get => stats::leader(service),
        "/v2/stats/store" if get => stats::store(service),
        "/v2/stats/self" | "/v2/stats/leader" | "/v2/stats/store" => reply::not_allowed("GET"),
        _ => reply::plain_error(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// What follows `prefix` in a path: nothing, or something behind a slash.
fn under<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn name_cluster(service: &Service, reply: &mut Response<Body>) {
    let id = format!("{:x}", service.member.identity.cluster_id);
    reply::set_header(reply, "x-etcd-cluster-id", &id);
}

/// The path without empty and dotted parts; a slash at its end stays.
fn clean(path: &str) -> String {
    let mut out = crate::v2::path::clean(path);
    if path.ends_with('/') || out.is_empty() {
        out.push('/');
    }
    out
}

/// As Go's server does with a path that is not clean.
fn redirect(head: &Parts, path: &str) -> Response<Body> {
    let mut location = escape(path);
    if let Some(query) = head.uri.query().filter(|query| !query.is_empty()) {
        location.push('?');
        location.push_str(query);
    }
    let mut reply = if head.method == Method::GET || head.method == Method::HEAD {
        let text = location.replace('&', "&amp;").replace('"', "&#34;").replace('<', "&lt;");
        let body = format!("<a href=\"{text}\">Moved Permanently</a>.\n\n");
        reply::whole(StatusCode::MOVED_PERMANENTLY, "text/html; charset=utf-8", body)
    } else {
        reply::empty(StatusCode::MOVED_PERMANENTLY)
    };
    reply::set_header(&mut reply, "location", &location);
    reply
}

fn escape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~$&+,:;=@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The whole body, if it is not larger than a form may be.
async fn gather(mut body: Incoming) -> Result<Bytes, Error> {
    let mut out = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::form(Code::InvalidForm, error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if out.len() + data.len() > FORM_BYTES_MAX {
            return Err(Error::form(Code::InvalidForm, "http: POST too large"));
        }
        out.extend_from_slice(&data);
    }
    Ok(out.freeze())
}
