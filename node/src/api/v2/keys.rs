//! `/v2/keys`: requests read, judged by form, sent through the log or answered from here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use prost::Message as _;
use proto::command::command::Kind as CommandKind;
use proto::v2::{V2Request, v2_request::Kind};
use tonic::body::Body;

use super::form::Form;
use super::reply::{self, json_reply, set_header};
use super::watch_body::WatchBody;
use crate::api::Service;
use crate::auth::Caller;
use crate::machine::{ApplyError, Reply, rights};
use crate::metrics::Metrics;
use crate::v2::hub::Wish;
use crate::v2::{Action, Code, Error, Event, clock, path};

pub const METHODS: &str = "HEAD,GET,PUT,POST,DELETE";

/// What a request asks for.
#[derive(Debug, PartialEq)]
enum Asked {
    Write(V2Request),
    Read { key: String, recursive: bool, quorum: bool },
    Watch { key: String, recursive: bool, stream: bool, since: u64 },
}

/// Answers a request; `path` is what follows `/v2/keys`, decoded.
pub async fn answer(
    service: &Service,
    head: &Parts,
    path: &str,
    body: Result<Bytes, Error>,
) -> Response<Body> {
    let asked = body.and_then(|body| Form::parse(head, &body)).and_then(|form| {
        Ok((read(&head.method, path, &form, clock::now())?, truth(&form, "noValueOnSuccess")?))
    });
    let (asked, quiet) = match asked {
        Ok(asked) => asked,
        Err(error) => return reply::error(&error),
    };
    let answered = match asked {
        Asked::Write(request) => write(service, request).await,
        Asked::Read { key, recursive, quorum } => get(service, &key, recursive, quorum).await,
        Asked::Watch { key, recursive, stream, since } => {
            let wish = Wish { key, recursive, stream, since };
            return watch(service, wish);
        }
    };
    match answered {
        Ok(event) => event_reply(service, &event, quiet),
        Err(error) => reply::error(&error),
    }
}

fn truth(form: &Form, name: &str) -> Result<bool, Error> {
    let bad = |()| Error::form(Code::InvalidField, format!("invalid value for \"{name}\""));
    Ok(form.boolean(name).map_err(bad)?.unwrap_or(false))
}

/// A truth value that may also be absent. etcd's text for it has no quotes.
fn maybe(form: &Form, name: &str) -> Result<Option<bool>, Error> {
    let bad = |()| Error::form(Code::InvalidField, format!("invalid value for {name}"));
    form.boolean(name).map_err(bad)
}

fn number(form: &Form, name: &str, code: Code) -> Result<u64, Error> {
    form.number(name).map_err(|()| Error::form(code, format!("invalid value for \"{name}\"")))
}

/// The request in a form. Checks come in etcd's order, so that the first complaint is the
/// same.
fn read(method: &Method, path: &str, form: &Form, now: i64) -> Result<Asked, Error> {
    let key = path::clean(path);
    // One more level is made by a creation in order.
    if path::levels(&key) >= path::LEVELS_MAX {
        let cause = format!("the key has {} levels or more", path::LEVELS_MAX);
        return Err(Error::form(Code::InvalidForm, cause));
    }
    let prev_index = number(form, "prevIndex", Code::IndexNotANumber)?;
    let since = number(form, "waitIndex", Code::IndexNotANumber)?;
    let recursive = truth(form, "recursive")?;
    // Listings are always in order here.
    truth(form, "sorted")?;
    let wait = truth(form, "wait")?;
    let dir = truth(form, "dir")?;
    let quorum = truth(form, "quorum")?;
    let stream = truth(form, "stream")?;
    if wait && method != Method::GET {
        let cause = "\"wait\" can only be used with GET requests";
        return Err(Error::form(Code::InvalidField, cause));
    }
    let prev_value = form.text("prevValue").to_owned();
    if form.get("prevValue") == Some("") {
        return Err(Error::form(Code::PrevValueRequired, "\"prevValue\" cannot be empty"));
    }
    truth(form, "noValueOnSuccess")?;
    let ttl = match form.text("ttl") {
        "" => None,
        _ => Some(number(form, "ttl", Code::TtlNotANumber)?),
    };
    let prev_exist = maybe(form, "prevExist")?;
    let refresh = maybe(form, "refresh")?.unwrap_or(false);
    if refresh && !form.text("value").is_empty() {
        return Err(Error::form(Code::ValueOnRefresh, "A value was provided on a refresh"));
    }
    if refresh && ttl.is_none() {
        return Err(Error::form(Code::TtlRequiredOnRefresh, "No TTL value set"));
    }
    if method == Method::GET && wait {
        return Ok(Asked::Watch { key, recursive, stream, since });
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(Asked::Read { key, recursive, quorum: quorum && method == Method::GET });
    }
    let compares = prev_index > 0 || !prev_value.is_empty();
    Ok(Asked::Write(V2Request {
        kind: kind(method, compares, prev_exist) as i32,
        key,
        value: form.text("value").to_owned(),
        dir,
        expiration: ttl.map_or(0, |seconds| expiration(now, seconds)),
        refresh,
        prev_value,
        prev_index,
        recursive,
        time: now,
    }))
}

fn kind(method: &Method, compares: bool, prev_exist: Option<bool>) -> Kind {
    match (method, prev_exist) {
        (&Method::POST, _) => Kind::CreateInOrder,
        (&Method::DELETE, _) if compares => Kind::CompareAndDelete,
        (&Method::DELETE, _) => Kind::Delete,
        (_, Some(false)) => Kind::Create,
        (_, _) if compares => Kind::CompareAndSwap,
        (_, Some(true)) => Kind::Update,
        (_, None) => Kind::Set,
    }
}

/// etcd lets very large times to live overflow, so that they end in the past; here they end
/// with the calendar of nanoseconds, in 2262.
fn expiration(now: i64, seconds: u64) -> i64 {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    now.saturating_add(seconds.saturating_mul(1_000_000_000))
}

/// What is not an error of v2's own is told as one of raft.
fn raft_error(cause: impl std::fmt::Display) -> Error {
    Error::form(Code::Raft, cause.to_string())
}

async fn write(service: &Service, request: V2Request) -> Result<Arc<Event>, Error> {
    let cost = request.key.len() + request.value.len();
    let grows = !matches!(request.kind(), Kind::Delete | Kind::CompareAndDelete);
    if grows {
        let room = service.make_room(cost as u64).await;
        room.map_err(|status| raft_error(status.message()))?;
    }
    let data = rights::on_behalf(Caller::default(), CommandKind::V2(request)).encode_to_vec();
    if data.len() > service.member.config.limits.max_request_bytes {
        return Err(raft_error("etcdserver: request is too large"));
    }
    match service.handle.propose(data.into()).await {
        Ok(outcome) => match outcome.reply {
            Ok(Reply::V2(event)) => Ok(event),
            Ok(other) => Err(raft_error(format!("unexpected reply {other:?}"))),
            Err(ApplyError::V2(error)) => Err(error),
            Err(error) => Err(raft_error(error)),
        },
        Err(error) => {
            Metrics::count(&service.member.metrics.proposals_failed);
            Err(raft_error(error))
        }
    }
}

async fn get(
    service: &Service,
    key: &str,
    recursive: bool,
    quorum: bool,
) -> Result<Arc<Event>, Error> {
    match quorum {
        true => service.handle.linearize().await.map_err(raft_error)?,
        false => service.wait_caught_up().await,
    }
    let result = service.member.state.read().v2.get(key, recursive, clock::now());
    service.member.v2.stats.gets.count(result.is_ok());
    result.map(Arc::new)
}

fn event_reply(service: &Service, event: &Event, quiet: bool) -> Response<Body> {
    let shortened = quiet
        && matches!(
            event.action,
            Action::Set | Action::CompareAndSwap | Action::Create | Action::Update
        );
    let status = if event.is_creation() { StatusCode::CREATED } else { StatusCode::OK };
    let mut reply = json_reply(status, super::json::event(event, !shortened));
    indexes(service, event.index, &mut reply);
    reply
}

fn indexes(service: &Service, index: u64, reply: &mut Response<Body>) {
    set_header(reply, "x-etcd-index", &index.to_string());
    let commit = service.handle.progress().commit.load(Ordering::Relaxed);
    set_header(reply, "x-raft-index", &commit.to_string());
    set_header(reply, "x-raft-term", &service.handle.leadership().term.to_string());
}

fn watch(service: &Service, wish: Wish) -> Response<Body> {
    let stream = wish.stream;
    let began = {
        let state = service.member.state.read();
        service.member.v2.hub.watch(&state.v2, wish)
    };
    match began {
        Ok(watch) => {
            let index = watch.index;
            let mut reply = Response::new(Body::new(WatchBody::new(watch, stream)));
            set_header(&mut reply, "content-type", "application/json");
            indexes(service, index, &mut reply);
            reply
        }
        Err(error) => reply::error(&error),
    }
}
