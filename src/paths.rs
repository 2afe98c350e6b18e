//! Where this program keeps its state.

use std::path::PathBuf;

use anyhow::Context;
use playground::Home;

/// The state directory: `ETCD_TUI_HOME`, or what the system says (`~/.local/state/etcd-tui`).
pub fn home() -> anyhow::Result<Home> {
    let named = std::env::var_os("ETCD_TUI_HOME").filter(|home| !home.is_empty());
    let path = match named {
        Some(path) => PathBuf::from(path),
        None => {
            let project = directories::ProjectDirs::from("", "", "etcd-tui")
                .context("there is no home directory: set ETCD_TUI_HOME to a directory")?;
            project.state_dir().unwrap_or_else(|| project.data_local_dir()).to_owned()
        }
    };
    // The supervisor runs elsewhere, so the path must not depend on where we are.
    let path = std::path::absolute(&path)
        .with_context(|| format!("{} is not a usable path", path.display()))?;
    Ok(Home::new(path))
}
