//! The control file through which our own node is told what is wrong with its disk and clock.
//!
//! The node answers by writing the same text beside it; only then the fault is in force. The
//! files lie beside the data directory, not in it, so that wiping a node does not touch them.

use std::{fs, io, path::Path};

use super::NodeFault;
use crate::{PlaygroundError, dirs};

/// The text that asks for these faults; `number` makes it differ from every earlier one.
pub fn text(number: u64, faults: &[NodeFault]) -> String {
    let mut text = format!("number={number}\n");
    for fault in faults {
        match fault {
            NodeFault::FsyncDelay { ms } => text.push_str(&format!("fsync_delay_ms={ms}\n")),
            NodeFault::DiskFull => text.push_str("write_error=enospc\n"),
            NodeFault::DiskError => text.push_str("write_error=eio\n"),
            NodeFault::ClockOffset { seconds } => {
                text.push_str(&format!("clock_offset_seconds={seconds}\n"));
            }
            // Done to the process or to its files, not asked of it.
            NodeFault::Slow { .. }
            | NodeFault::PowerLoss
            | NodeFault::BitFlip
            | NodeFault::None => {}
        }
    }
    text
}

/// Asks.
pub fn ask(path: &Path, text: &str) -> Result<(), PlaygroundError> {
    dirs::write_atomically(path, text.as_bytes())
}

/// Whether the node has put the text in force, or why it will not.
pub fn answer(path: &Path, text: &str) -> Option<Result<(), String>> {
    let said = fs::read_to_string(dirs::beside(path, "applied")).ok()?;
    match said.strip_prefix("refused: ") {
        _ if said == text => Some(Ok(())),
        Some(why) => Some(Err(why.trim_end().to_owned())),
        None => None,
    }
}

/// Takes everything back for the next start. What is known of the last sync stays: it belongs
/// to the data.
pub fn clear(path: &Path) -> Result<(), PlaygroundError> {
    for file in [path.to_owned(), dirs::beside(path, "applied")] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(PlaygroundError::file("remove", file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_node_itself_has_to_do_is_asked_of_it() {
        let faults = [
            NodeFault::Slow { percent: 50 },
            NodeFault::FsyncDelay { ms: 20 },
            NodeFault::ClockOffset { seconds: -5 },
            NodeFault::DiskFull,
        ];
        assert_eq!(
            text(3, &faults),
            "number=3\nfsync_delay_ms=20\nclock_offset_seconds=-5\nwrite_error=enospc\n"
        );
    }

    #[test]
    fn an_answer_to_another_text_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("faults");
        let answered = dir.path().join("faults.applied");
        ask(&path, "number=1\n").unwrap();
        assert_eq!(answer(&path, "number=1\n"), None);
        fs::write(&answered, "number=0\n").unwrap();
        assert_eq!(answer(&path, "number=1\n"), None);
        fs::write(&answered, "number=1\n").unwrap();
        assert_eq!(answer(&path, "number=1\n"), Some(Ok(())));
        fs::write(&answered, "refused: no\n").unwrap();
        assert_eq!(answer(&path, "number=1\n"), Some(Err("no".into())));
        clear(&path).unwrap();
        clear(&path).unwrap();
        assert!(!path.exists() && !answered.exists());
    }
}
