//! Everything that can go wrong here, each as one sentence that names the fix.
//!
//! The sentences are written for the person at the terminal: the command line and the
//! terminal UI print them as they are.

use std::{io, path::PathBuf};

/// A failure of the playground.
#[derive(Debug, thiserror::Error)]
pub enum PlaygroundError {
    /// The request itself is wrong, whatever the state of the cluster.
    #[error("{0}")]
    Usage(String),
    /// The request is well formed, but cannot be done now.
    #[error("{0}")]
    Refused(String),
    /// No cluster was ever created under this name.
    #[error(
        "there is no cluster named {0}: `etcd-tui ls` shows those that exist, \
         `etcd-tui up {0}` creates it"
    )]
    UnknownCluster(String),
    /// The cluster exists, but its supervisor is not running.
    #[error("cluster {0} is not running: start it with `etcd-tui up {0}`")]
    NotRunning(String),
    /// The lock is held, but nobody answers on the socket.
    #[error(
        "the supervisor of cluster {0} does not answer: `etcd-tui down {0} --now` ends it, \
         its data stays"
    )]
    Silent(String),
    /// A file of the state directory cannot be used.
    #[error(
        "cannot {action} {}: {source}; ETCD_TUI_HOME names another state directory",
        path.display()
    )]
    File {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// `cluster.toml` or `state.json` does not say what it should.
    #[error("{} is damaged: {why}; `etcd-tui down --purge` deletes the cluster", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The supervisor said something this client does not understand.
    #[error("the supervisor and this etcd-tui do not understand each other: {0}")]
    Protocol(String),
}

impl PlaygroundError {
    /// Whether the caller should have known better: exit status 2 instead of 1.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
