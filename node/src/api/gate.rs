//! What each method needs, in one table, and the gate in front of all services.
//!
//! # Invariant
//! A method that is not in the table is refused, whatever service may offer it. A test holds
//! the table against the services in the `.proto` files.

use http::Request;
use tonic::Status;

use super::Service;
use super::credentials::Credentials;
use super::status::to_status;

/// What a method needs while rights are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing: it is how one becomes somebody, or tells nothing.
    Open,
    /// Somebody, whoever it is.
    Authenticated,
    /// The role `root`.
    Admin,
    /// That depends on what is asked; its handler judges the request.
    Request,
}

use Rule::{Admin, Authenticated, Open, Request as OfRequest};

/// Every method of every service.
const RULES: &[(&str, &[(&str, Rule)])] = &[
    (
        "etcdserverpb.KV",
        &[
            ("Range", OfRequest),
            ("Put", OfRequest),
            ("DeleteRange", OfRequest),
            ("Txn", OfRequest),
            ("Compact", Admin),
        ],
    ),
    ("etcdserverpb.Watch", &[("Watch", OfRequest)]),
    (
        "etcdserverpb.Lease",
        &[
            ("LeaseGrant", Authenticated),
            ("LeaseRevoke", OfRequest),
            ("LeaseKeepAlive", Authenticated),
            ("LeaseTimeToLive", OfRequest),
            ("LeaseLeases", OfRequest),
        ],
    ),
    (
        "etcdserverpb.Cluster",
        &[
            ("MemberAdd", Admin),
            ("MemberRemove", Admin),
            ("MemberUpdate", Admin),
            ("MemberList", Authenticated),
            ("MemberPromote", Admin),
        ],
    ),
    (
        "etcdserverpb.Maintenance",
        &[
            ("Alarm", OfRequest),
            ("Status", Authenticated),
            ("Defragment", Admin),
            ("Hash", Admin),
            ("HashKV", Admin),
            ("Snapshot", Admin),
            ("MoveLeader", Admin),
            ("Downgrade", Admin),
        ],
    ),
    (
        "etcdserverpb.Auth",
        &[
            ("AuthEnable", Admin),
            ("AuthDisable", Admin),
            ("AuthStatus", Open),
            ("Authenticate", Open),
            ("UserAdd", Admin),
            ("UserGet", OfRequest),
            ("UserList", Admin),
            ("UserDelete", Admin),
            ("UserChangePassword", Admin),
            ("UserGrantRole", Admin),
            ("UserRevokeRole", Admin),
            ("RoleAdd", Admin),
            ("RoleGet", OfRequest),
            ("RoleList", Admin),
            ("RoleDelete", Admin),
            ("RoleGrantPermission", Admin),
            ("RoleRevokePermission", Admin),
        ],
    ),
    // These ask the services above, with what their own request showed.
    ("v3lockpb.Lock", &[("Lock", OfRequest), ("Unlock", OfRequest)]),
    (
        "v3electionpb.Election",
        &[
            ("Campaign", OfRequest),
            ("Proclaim", OfRequest),
            ("Leader", OfRequest),
            ("Observe", OfRequest),
            ("Resign", OfRequest),
        ],
    ),
    ("grpc.health.v1.Health", &[("Check", Open), ("Watch", Open)]),
];

/// What the method of this path needs; `None`: there is no such method.
pub fn rule(path: &str) -> Option<Rule> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (_, methods) = RULES.iter().find(|(known, _)| *known == service)?;
    methods.iter().find(|(known, _)| *known == method).map(|(_, rule)| *rule)
}

/// What is said of a method that there is not.
pub fn unknown(path: &str) -> Status {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    match RULES.iter().any(|(known, _)| *known == service) {
        true => Status::unimplemented(format!("unknown method {method} for service {service}")),
        false => Status::unimplemented(format!("unknown service {service}")),
    }
}

/// What stands between a request and its service, and what the request shows for it.
pub struct Toll {
    rule: Rule,
    credentials: Credentials,
}

/// The toll of a request; `None` if it may pass, or its handler judges it. A method that is
/// not known is refused.
pub fn toll<B>(request: &Request<B>) -> Result<Option<Toll>, Status> {
    let path = request.uri().path();
    let rule = rule(path).ok_or_else(|| unknown(path))?;
    if matches!(rule, Rule::Open | Rule::Request) {
        return Ok(None);
    }
    let credentials = Credentials::of(request.headers(), request.extensions());
    Ok(Some(Toll { rule, credentials }))
}

impl Service {
    /// The gate: refuses what needs more than the sender is.
    pub async fn admit(&self, Toll { rule, credentials }: Toll) -> Result<(), Status> {
        if !self.auth_enabled() {
            return Ok(());
        }
        let caller = self.identify(&credentials).await?;
        let state = self.member.state.read();
        let verdict = match rule {
            Rule::Admin => state.auth.is_admin(&caller),
            _ => state.auth.is_authenticated(&caller),
        };
        verdict.map_err(to_status)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every method of every service that clients reach.
    fn methods() -> Vec<String> {
        let set = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
        let mut found = Vec::new();
        for file in &set.file {
            for service in &file.service {
                let name = format!("{}.{}", file.package(), service.name());
                // Members call this one on their own port.
                if name == "etcdtuipeer.Peer" {
                    continue;
                }
                found.extend(service.method.iter().map(|one| format!("/{name}/{}", one.name())));
            }
        }
        found
    }

    #[test]
    fn every_method_has_its_rule() {
        let methods = methods();
        assert!(methods.len() > 40, "the descriptors are read: {methods:?}");
        let missing: Vec<_> = methods.iter().filter(|path| rule(path).is_none()).collect();
        assert!(missing.is_empty(), "no rule for {missing:?}");
    }

    #[test]
    fn what_is_open_to_everybody_is_little() {
        let open: Vec<_> =
            methods().into_iter().filter(|path| rule(path) == Some(Rule::Open)).collect();
        assert_eq!(
            open,
            [
                "/etcdserverpb.Auth/AuthStatus",
                "/etcdserverpb.Auth/Authenticate",
                "/grpc.health.v1.Health/Check",
                "/grpc.health.v1.Health/Watch",
            ]
        );
    }

    #[test]
    fn what_is_not_in_the_table_is_refused_in_grpcs_words() {
        for (path, text) in [
            ("/etcdserverpb.KV/Drop", "unknown method Drop for service etcdserverpb.KV"),
            ("/etcdserverpb.KV/Range/", "unknown method Range/ for service etcdserverpb.KV"),
            ("/etcdserverpb.KVS/Range", "unknown service etcdserverpb.KVS"),
        ] {
            assert_eq!(rule(path), None);
            assert_eq!(unknown(path).message(), text);
        }
    }
}
