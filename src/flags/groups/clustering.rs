//! Which cluster the member founds or joins.

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, text};
use crate::flags::urls::{self, HttpUrl};

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
