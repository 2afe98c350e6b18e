//! `learn`: the guided course, on a cluster of its own, and the file that remembers what was
//! read.
//!
//! The file is a convenience: one that is missing or damaged is an empty one, and what cannot
//! be written is said once and does not stop the course.

use std::path::PathBuf;
use std::process::ExitCode;

use playground::{
    Home,
    launch::{self, UpOutcome, UpRequest},
};
use serde::{Deserialize, Serialize};

use crate::{cli, screen};

/// Members the course begins with.
const NODES: usize = 3;

/// The pages that were read to their end, and where that is written down.
#[derive(Clone, Debug)]
pub struct Progress {
    path: PathBuf,
    /// By their names.
    pub read: Vec<String>,
}

#[derive(Default, Deserialize, Serialize)]
struct Document {
    read: Vec<String>,
}

impl Progress {
    fn load(home: &Home) -> Self {
        let path = home.path().join("learn.json");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let document: Document = serde_json::from_str(&text).unwrap_or_default();
        Self { path, read: document.read }
    }

    /// Writes down that these were read.
    pub fn save(&self, read: Vec<String>) -> Result<(), String> {
        let text = serde_json::to_string(&Document { read }).map_err(|error| error.to_string())?;
        let draft = self.path.with_extension("tmp");
        let written =
            std::fs::write(&draft, text + "\n").and_then(|()| std::fs::rename(&draft, &self.path));
        written.map_err(|error| {
            format!(
                "what was read is not remembered: cannot write {}: {error}",
                self.path.display()
            )
        })
    }
}

pub async fn run(home: &Home, arguments: cli::Learn) -> anyhow::Result<ExitCode> {
    let frame = screen::Frame::parse(arguments.snapshot.snapshot.as_deref())?;
    if frame.is_none() && !screen::has_terminal() {
        anyhow::bail!("the course needs a terminal; --snapshot 120x36 learn prints one frame");
    }
    let request = UpRequest { name: arguments.name, ..UpRequest::default() };
    let request = match home.cluster(&request.name).exists() {
        true => request,
        false => UpRequest { nodes: Some(NODES), ..request },
    };
    let program = std::env::current_exe()?;
    let up = launch::up(home, &request, &program, None).await?;
    for remark in &up.remarks {
        eprintln!("etcd-tui: {remark}");
    }
    if up.outcome != UpOutcome::Attached {
        eprintln!("starting cluster {}…", request.name);
        // A node that does not come up is shown with its reason on the screen.
        let _ = launch::wait_ready(&up.client).await;
    }
    let progress = Progress::load(home);
    match frame {
        Some(frame) => screen::snapshot(home, up.client, frame, Some(progress)).await,
        None => screen::open_local(home, up.client, Some(progress)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drills_that_pages_name_are_there() {
        for page in tui::lab::course::builtin() {
            let runs = page.steps.iter().flat_map(|step| &step.acts).filter_map(|act| match act {
                tui::lab::course::Act::Drill(id) => Some(id),
                _ => None,
            });
            for id in page.drill.iter().chain(runs) {
                let text = playground::drill::catalogue::text(id);
                assert!(text.is_some(), "page {}: there is no drill {id}", page.id);
            }
        }
    }

    #[test]
    fn what_was_read_is_remembered_and_damage_is_a_fresh_start() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let progress = Progress::load(&home);
        assert!(progress.read.is_empty());
        progress.save(vec!["one-of-three".into()]).unwrap();
        assert_eq!(Progress::load(&home).read, ["one-of-three"]);
        std::fs::write(&progress.path, "{").unwrap();
        assert!(Progress::load(&home).read.is_empty());
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert!(progress.save(Vec::new()).unwrap_err().contains("learn.json"));
    }
}
