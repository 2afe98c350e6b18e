//! Which cluster the member founds or joins.

use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, text};
use crate::flags::urls::{self, HttpUrl};
use crate::flags::{FlagError, NodeOptions};

pub const SECTION: Section = Section {
    title: "Clustering",
    flags: &[
        text(
            "initial-cluster",
            "",
            "Members at bootstrap, name=url,name=url (default: <name>=<initial-advertise-peer-urls>).",
        ),
        text("initial-cluster-token", "etcd-cluster", "Token that tells clusters apart."),
        text("initial-cluster-state", "new", "'new' or 'existing'."),
        boolean(
            "strict-reconfig-check",
            "true",
            "Refuse membership changes that would lose quorum.",
        ),
        boolean(
            "enable-v2",
            "true",
            "Serve etcd's v2 API as etcd 3.4 does (off there; on here, so that old tools work).",
        ),
    ],
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Members at bootstrap by name.
    pub initial_cluster: Vec<(String, Vec<HttpUrl>)>,
    pub token: String,
    pub state: ClusterState,
    pub strict_reconfig: bool,
    pub enable_v2: bool,
}

/// How a member without data comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// It founds the cluster together with the others of the list.
    New,
    /// It joins one that runs.
    Existing,
}

pub fn build(
    settings: &Settings,
    name: &str,
    advertised: &[HttpUrl],
) -> Result<Options, FlagError> {
    let initial_cluster = match settings.text("initial-cluster") {
        "" => vec![(name.to_owned(), advertised.to_vec())],
        text => urls::cluster(text).map_err(|why| settings.invalid("initial-cluster", why))?,
    };
    Ok(Options {
        initial_cluster,
        token: settings.text("initial-cluster-token").to_string(),
        state: cluster_state(settings)?,
        strict_reconfig: settings.boolean("strict-reconfig-check")?,
        enable_v2: settings.boolean("enable-v2")?,
    })
}

fn cluster_state(settings: &Settings) -> Result<ClusterState, FlagError> {
    let name = "initial-cluster-state";
    match settings.text(name) {
        "new" => Ok(ClusterState::New),
        "existing" => Ok(ClusterState::Existing),
        _ => Err(settings.invalid(name, "it is 'new' or 'existing'".into())),
    }
}

/// What must hold before a member without data may start. With a data directory the
/// bootstrap flags are not read, as in etcd, so this is not for a restart.
pub fn verify_bootstrap(options: &NodeOptions) -> Result<(), FlagError> {
    let name = &options.member.name;
    let cluster = &options.clustering.initial_cluster;
    let mut seen: Vec<&HttpUrl> = Vec::new();
    for url in cluster.iter().flat_map(|(_, urls)| urls) {
        if seen.iter().any(|other| other.same_place(url)) {
            return Err(FlagError::DuplicateUrl { url: url.to_string() });
        }
        seen.push(url);
    }
    let Some((_, listed)) = cluster.iter().find(|(other, _)| other == name) else {
        return Err(FlagError::NotInInitialCluster { name: name.clone() });
    };
    let advertised = &options.listen.advertise_peer;
    let covers = |some: &[HttpUrl], all: &[HttpUrl]| {
        some.iter().all(|url| all.iter().any(|other| other.same_place(url)))
    };
    if covers(listed, advertised) && covers(advertised, listed) {
        return Ok(());
    }
    Err(FlagError::AdvertisedDiffers {
        name: name.clone(),
        listed: urls::joined(listed),
        advertised: urls::joined(advertised),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    #[test]
    fn the_initial_cluster_must_hold_this_member_as_advertised() {
        let check = |cluster: &str, advertised: &str| {
            let cluster = format!("--initial-cluster={cluster}");
            let advertised = format!("--initial-advertise-peer-urls={advertised}");
            options(&["--name=a", &cluster, &advertised]).unwrap().verify_bootstrap()
        };
        assert_eq!(check("a=http://h:1,b=http://h:2", "http://h:1"), Ok(()));
        assert_eq!(check("a=http://localhost:1", "http://127.0.0.1:1"), Ok(()));
        assert_eq!(check("a=http://h:1,a=http://h:2", "http://h:2,http://h:1"), Ok(()));
        assert_eq!(
            check("b=http://h:1", "http://h:1"),
            Err(FlagError::NotInInitialCluster { name: "a".into() })
        );
        for (cluster, advertised) in [
            ("a=http://h:1", "http://h:2"),
            ("a=http://h:1", "http://h:1,http://h:2"),
            ("a=http://h:1,a=http://h:2", "http://h:1"),
        ] {
            let error = check(cluster, advertised).unwrap_err();
            assert!(matches!(error, FlagError::AdvertisedDiffers { .. }), "{error}");
        }
        assert_eq!(
            check("a=http://h:1,b=http://h:1", "http://h:1"),
            Err(FlagError::DuplicateUrl { url: "http://h:1".into() })
        );
    }
}
