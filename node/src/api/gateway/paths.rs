//! Which method a path of the gateway stands for.

/// Paths below `/v3/`, and the methods they call. All are for POST.
const PATHS: &[(&str, &str)] = &[
    ("kv/range", "etcdserverpb.KV/Range"),
    ("kv/put", "etcdserverpb.KV/Put"),
    ("kv/deleterange", "etcdserverpb.KV/DeleteRange"),
    ("kv/txn", "etcdserverpb.KV/Txn"),
    ("kv/compaction", "etcdserverpb.KV/Compact"),
    ("watch", "etcdserverpb.Watch/Watch"),
    ("lease/grant", "etcdserverpb.Lease/LeaseGrant"),
    ("lease/revoke", "etcdserverpb.Lease/LeaseRevoke"),
    ("kv/lease/revoke", "etcdserverpb.Lease/LeaseRevoke"),
    ("lease/keepalive", "etcdserverpb.Lease/LeaseKeepAlive"),
    ("lease/timetolive", "etcdserverpb.Lease/LeaseTimeToLive"),
    ("kv/lease/timetolive", "etcdserverpb.Lease/LeaseTimeToLive"),
    ("lease/leases", "etcdserverpb.Lease/LeaseLeases"),
    ("kv/lease/leases", "etcdserverpb.Lease/LeaseLeases"),
    ("cluster/member/add", "etcdserverpb.Cluster/MemberAdd"),
    ("cluster/member/remove", "etcdserverpb.Cluster/MemberRemove"),
    ("cluster/member/update", "etcdserverpb.Cluster/MemberUpdate"),
    ("cluster/member/list", "etcdserverpb.Cluster/MemberList"),
    ("cluster/member/promote", "etcdserverpb.Cluster/MemberPromote"),
    ("maintenance/alarm", "etcdserverpb.Maintenance/Alarm"),
    ("maintenance/status", "etcdserverpb.Maintenance/Status"),
    ("maintenance/defragment", "etcdserverpb.Maintenance/Defragment"),
    ("maintenance/hash", "etcdserverpb.Maintenance/Hash"),
    ("maintenance/hashkv", "etcdserverpb.Maintenance/HashKV"),
    ("maintenance/snapshot", "etcdserverpb.Maintenance/Snapshot"),
    ("maintenance/transfer-leadership", "etcdserverpb.Maintenance/MoveLeader"),
    ("maintenance/downgrade", "etcdserverpb.Maintenance/Downgrade"),
    ("auth/enable", "etcdserverpb.Auth/AuthEnable"),
    ("auth/disable", "etcdserverpb.Auth/AuthDisable"),
    ("auth/status", "etcdserverpb.Auth/AuthStatus"),
    ("auth/authenticate", "etcdserverpb.Auth/Authenticate"),
    ("auth/user/add", "etcdserverpb.Auth/UserAdd"),
    ("auth/user/get", "etcdserverpb.Auth/UserGet"),
    ("auth/user/list", "etcdserverpb.Auth/UserList"),
    ("auth/user/delete", "etcdserverpb.Auth/UserDelete"),
    ("auth/user/changepw", "etcdserverpb.Auth/UserChangePassword"),
    ("auth/user/grant", "etcdserverpb.Auth/UserGrantRole"),
    ("auth/user/revoke", "etcdserverpb.Auth/UserRevokeRole"),
    ("auth/role/add", "etcdserverpb.Auth/RoleAdd"),
    ("auth/role/get", "etcdserverpb.Auth/RoleGet"),
    ("auth/role/list", "etcdserverpb.Auth/RoleList"),
    ("auth/role/delete", "etcdserverpb.Auth/RoleDelete"),
    ("auth/role/grant", "etcdserverpb.Auth/RoleGrantPermission"),
    ("auth/role/revoke", "etcdserverpb.Auth/RoleRevokePermission"),
    ("lock/lock", "v3lockpb.Lock/Lock"),
    ("lock/unlock", "v3lockpb.Lock/Unlock"),
    ("election/campaign", "v3electionpb.Election/Campaign"),
    ("election/proclaim", "v3electionpb.Election/Proclaim"),
    ("election/leader", "v3electionpb.Election/Leader"),
    ("election/observe", "v3electionpb.Election/Observe"),
    ("election/resign", "v3electionpb.Election/Resign"),
];

/// What is below the gateway's roof, if the path is: `/v3beta/` is its old name.
pub fn below(path: &str) -> Option<&str> {
    path.strip_prefix("/v3/").or_else(|| path.strip_prefix("/v3beta/"))
}

/// The path that was meant, if it is written with slashes too many or too few, or with dots.
pub fn meant(path: &str) -> Option<String> {
    if path == "/v3" {
        return Some("/v3/".to_owned());
    }
    let is_odd = path.contains("//") || path.split('/').any(|part| part == "." || part == "..");
    if !is_odd {
        return None;
    }
    let mut clean = crate::v2::path::clean(path);
    if path.ends_with('/') {
        clean.push('/');
    }
    clean.starts_with("/v3/").then_some(clean)
}

/// The method that a path below `/v3/` stands for.
pub fn method(below: &str) -> Option<&'static str> {
    let plain = unescaped(below)?;
    PATHS.iter().find(|(path, _)| path.as_bytes() == plain).map(|(_, method)| *method)
}

/// Resolves `%xx`. Nothing if there is no sense in it.
fn unescaped(path: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        // Two hexadecimal digits fit a byte.
        plain.push((digit()? << 4 | digit()?) as u8);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_path_is_found_under_both_names_and_no_other() {
        assert_eq!(below("/v3/kv/put").and_then(method), Some("etcdserverpb.KV/Put"));
        assert_eq!(below("/v3beta/kv/put").and_then(method), Some("etcdserverpb.KV/Put"));
        assert_eq!(below("/v3/kv/ra%6Ege").and_then(method), Some("etcdserverpb.KV/Range"));
        for path in ["kv/range/", "kv/range:x", "kv", "", "lock", "kv/ra%6", "kv/ra%zzge", "%"] {
            assert_eq!(method(path), None, "{path}");
        }
        for path in ["/v3", "/v3alpha/kv/range", "/v2/keys", "/health"] {
            assert_eq!(below(path), None, "{path}");
        }
    }

    #[test]
    fn slashes_are_put_right() {
        assert_eq!(meant("/v3").as_deref(), Some("/v3/"));
        assert_eq!(meant("//v3///kv//range").as_deref(), Some("/v3/kv/range"));
        for odd in ["/v3/./kv/range", "/v3/../v3/kv/range", "/x/../v3/kv/./range"] {
            assert_eq!(meant(odd).as_deref(), Some("/v3/kv/range"), "{odd}");
        }
        for path in ["/v3/", "/v3/kv/range", "/", "//", "//health", "/v3beta//kv/range", "/v3/.."] {
            assert_eq!(meant(path), None, "{path}");
        }
    }

    #[test]
    fn no_path_has_two_meanings() {
        let paths: BTreeSet<_> = PATHS.iter().map(|(path, _)| path).collect();
        assert_eq!(paths.len(), PATHS.len());
    }

    /// Every method that a client of etcd can call is there, so that a new one is not forgotten.
    #[test]
    fn each_method_of_etcds_services_has_a_path() {
        let schema = super::super::schema::Schema::new();
        let mapped: BTreeSet<_> = PATHS.iter().map(|(_, method)| (*method).to_owned()).collect();
        let packages = ["etcdserverpb", "v3lockpb", "v3electionpb"];
        for service in schema.pool().services() {
            if !packages.contains(&service.package_name()) {
                continue;
            }
            for method in service.methods() {
                let name = format!("{}/{}", service.full_name(), method.name());
                assert!(mapped.contains(&name), "{name} has no path");
            }
        }
    }
}
