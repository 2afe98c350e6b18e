//! `/v2/members` and `/v2/machines`: the members of the cluster, listed and changed by the
//! same code and rules as the Cluster service of v3.

use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use hyper::body::Incoming;
use proto::etcdserverpb::cluster_server::Cluster;
use proto::etcdserverpb::{
    Member as Listed, MemberAddRequest, MemberRemoveRequest, MemberUpdateRequest,
};
use tonic::body::Body;
use tonic::{Request, Status};

use super::json::string;
use super::reply::{self, json_reply};
use crate::api::Service;
use crate::cluster::ClusterError;

pub const METHODS: &str = "GET,POST,DELETE,PUT";

/// Answers a request; `path` is what follows `/v2/members`.
pub async fn answer(service: &Service, head: &Parts, path: &str, body: Incoming) -> Response<Body> {
    let rest = path.trim_start_matches('/');
    match head.method {
        Method::GET => read(service, rest),
        Method::POST => match peer_urls(head, body).await {
            Ok(urls) => add(service, urls).await,
            Err(refusal) => refusal,
        },
        Method::DELETE => match id(rest) {
            Ok(id) => remove(service, id).await,
            Err(refusal) => refusal,
        },
        _ => match id(rest) {
            Ok(id) => match peer_urls(head, body).await {
                Ok(urls) => update(service, id, urls).await,
                Err(refusal) => refusal,
            },
            Err(refusal) => refusal,
        },
    }
}

/// The client URLs of all members, for very old clients.
pub fn machines(service: &Service) -> Response<Body> {
    let state = service.member.state.read();
    let mut urls: Vec<&str> =
        state.members.iter().flat_map(|member| &member.client_urls).map(String::as_str).collect();
    urls.sort_unstable();
    reply::whole(StatusCode::OK, "text/plain; charset=utf-8", urls.join(", "))
}

fn list(out: &mut String, texts: &[String]) {
    out.push('[');
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        string(out, text);
    }
    out.push(']');
}

fn member(out: &mut String, member: &Listed) {
    out.push_str("{\"id\":");
    string(out, &format!("{:x}", member.id));
    out.push_str(",\"name\":");
    string(out, &member.name);
    out.push_str(",\"peerURLs\":");
    list(out, &member.peer_ur_ls);
    out.push_str(",\"clientURLs\":");
    list(out, &member.client_ur_ls);
    out.push('}');
}

fn read(service: &Service, rest: &str) -> Response<Body> {
    let mut out = String::new();
    match rest {
        "" => {
            out.push_str("{\"members\":[");
            let members = service.member.state.read().members.to_proto();
            for (at, one) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                member(&mut out, one);
            }
            out.push_str("]}\n");
        }
        "leader" => {
            let leader = service.handle.leadership().leader;
            let found = service.member.state.read().members.get(leader).map(|one| one.to_proto());
            let Some(found) = found else {
                return reply::message(StatusCode::SERVICE_UNAVAILABLE, "During election");
            };
            member(&mut out, &found);
            out.push('\n');
        }
        _ => return reply::message(StatusCode::NOT_FOUND, "Not found"),
    }
    json_reply(StatusCode::OK, out)
}

fn no_such(id: &str) -> Response<Body> {
    reply::message(StatusCode::NOT_FOUND, &format!("No such member: {id}"))
}

fn id(text: &str) -> Result<u64, Response<Body>> {
    if text.is_empty() {
        return Err(reply::not_allowed(""));
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| digits).ok_or_else(|| no_such(text))
}

/// The peer URLs in the body.
async fn peer_urls(head: &Parts, body: Incoming) -> Result<Vec<String>, Response<Body>> {
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default();
    let kind = match kind.split_once(';') {
        Some((media, _)) => media.to_lowercase().trim().to_owned(),
        None => kind.to_owned(),
    };
    if kind != "application/json" {
        let text = format!("Bad Content-Type {kind}, accept application/json");
        return Err(reply::message(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text));
    }
    let bad = |text: &str| reply::message(StatusCode::BAD_REQUEST, text);
    let body = super::gather(body).await.map_err(|error| bad(&error.cause))?;
    parse_urls(&body).map_err(|text| bad(&text))
}

/// Go's words for the mistakes that people make; a parser's own for the rest.
fn parse_urls(body: &[u8]) -> Result<Vec<String>, String> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() { "unexpected end of JSON input".to_owned() } else { error.to_string() }
    })?;
    let field = match &value {
        serde_json::Value::Object(fields) => fields.get("peerURLs"),
        serde_json::Value::Null => None,
        _ => {
            let wanted = "value of type struct { PeerURLs []string \"json:\\\"peerURLs\\\"\" }";
            return Err(mismatch(&value, wanted));
        }
    };
    let list = match field {
        None | Some(serde_json::Value::Null) => &[][..],
        Some(serde_json::Value::Array(list)) => list,
        Some(other) => {
            return Err(mismatch(other, "struct field .peerURLs of type []string"));
        }
    };
    if list.is_empty() {
        return Err("no valid URLs given".to_owned());
    }
    let url = |value: &serde_json::Value| match value.as_str() {
        Some(text) => check_url(text.trim()).map(|()| text.trim().to_owned()),
        None => Err(mismatch(value, "struct field .peerURLs of type string")),
    };
    let mut urls = list.iter().map(url).collect::<Result<Vec<_>, _>>()?;
    urls.sort();
    Ok(urls)
}

fn mismatch(value: &serde_json::Value, wanted: &str) -> String {
    let kind = match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "bool",
        serde_json::Value::Number(_) => "number",
        serde_json::Value::String(_) => "string",
        serde_json::Value::Array(_) => "array",
        serde_json::Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {kind} into Go {wanted}")
}

fn check_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest else {
        return Err(format!("URL scheme must be http, https, unix, or unixs: {url}"));
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = host.rsplit_once(':').map(|(_, port)| port);
    if port.is_none_or(|port| port.ends_with(']')) {
        return Err(format!("URL address does not have the form \"host:port\": {url}"));
    }
    if !path.is_empty() || rest.contains('/') {
        return Err(format!("URL must not contain a path: {url}"));
    }
    Ok(())
}

/// What the Cluster service refused, in v2's words.
fn refused(status: &Status, id: u64, removed: bool) -> Response<Body> {
    let text = status.message();
    let is = |error: ClusterError| text == error.to_string();
    if is(ClusterError::NotFound) && removed {
        let text = format!("Member permanently removed: {id:x}");
        return reply::message(StatusCode::GONE, &text);
    }
    if is(ClusterError::NotFound) {
        return no_such(&format!("{id:x}"));
    }
    if is(ClusterError::PeerUrlExists) {
        return reply::message(StatusCode::CONFLICT, "membership: peerURL exists");
    }
    if is(ClusterError::IdExists) {
        return reply::message(StatusCode::CONFLICT, "membership: ID exists");
    }
    if is(ClusterError::BadUrls) {
        return reply::message(StatusCode::BAD_REQUEST, text);
    }
    tracing::warn!(member = %format!("{id:x}"), error = text, "a change of members was refused");
    reply::message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

async fn add(service: &Service, urls: Vec<String>) -> Response<Body> {
    let request = MemberAddRequest { peer_ur_ls: urls, is_learner: false };
    match service.member_add(Request::new(request)).await {
        Ok(response) => {
            let mut out = String::new();
            member(&mut out, &response.into_inner().member.unwrap_or_default());
            out.push('\n');
            json_reply(StatusCode::CREATED, out)
        }
        Err(status) => refused(&status, 0, false),
    }
}

async fn remove(service: &Service, id: u64) -> Response<Body> {
    let removed = service.member.state.read().members.is_removed(id);
    match service.member_remove(Request::new(MemberRemoveRequest { id })).await {
        Ok(_) => reply::empty(StatusCode::NO_CONTENT),
        Err(status) => refused(&status, id, removed),
    }
}

async fn update(service: &Service, id: u64, urls: Vec<String>) -> Response<Body> {
    let request = MemberUpdateRequest { id, peer_ur_ls: urls };
    match service.member_update(Request::new(request)).await {
        Ok(_) => reply::empty(StatusCode::NO_CONTENT),
        Err(status) => refused(&status, id, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_urls_are_told_in_etcds_words() {
        let cases = [
            ("{", "unexpected end of JSON input"),
            ("{\"peerURLs\":[]}", "no valid URLs given"),
            ("{}", "no valid URLs given"),
            ("{\"peerURLs\":[\"x\"]}", "URL scheme must be http, https, unix, or unixs: x"),
            (
                "{\"peerURLs\":[\"http://127.0.0.1\"]}",
                "URL address does not have the form \"host:port\": http://127.0.0.1",
            ),
            ("{\"peerURLs\":[\"http://a:1/b\"]}", "URL must not contain a path: http://a:1/b"),
            (
                "{\"peerURLs\":\"x\"}",
                "json: cannot unmarshal string into Go struct field .peerURLs of type []string",
            ),
        ];
        for (body, text) in cases {
            assert_eq!(parse_urls(body.as_bytes()).unwrap_err(), text, "{body}");
        }
        let good = b"{\"peerURLs\":[\"http://b:1\",\"https://[::1]:2\"]}";
        assert_eq!(parse_urls(good).unwrap(), ["http://b:1", "https://[::1]:2"]);
    }
}
