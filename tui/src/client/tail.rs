//! Following the nodes' log files: by offset, a few times a second, off the UI's thread.

use crate::msg::Msg;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How much of what is already there is read.
const BACKLOG_BYTES: u64 = 256 * 1024;
/// At most this much per look, so that a chatty node does not starve the others.
const BYTES_PER_LOOK: u64 = 512 * 1024;

struct Followed {
    path: PathBuf,
    /// Where to read on; `None` before the first look.
    offset: Option<u64>,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
}

impl Followed {
    /// Whole lines written since the last look.
    fn look(&mut self) -> Vec<String> {
        self.read().unwrap_or_default()
    }

    fn read(&mut self) -> std::io::Result<Vec<String>> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let mut offset = match self.offset {
            Some(offset) if offset <= length => offset,
            // The file was rotated or cut: it begins anew.
            Some(_) => {
                self.partial.clear();
                0
            }
            None => length.saturating_sub(BACKLOG_BYTES),
        };
        let in_the_middle = self.offset.is_none() && offset > 0;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        offset += file.take(BYTES_PER_LOOK).read_to_end(&mut bytes)? as u64;
        self.offset = Some(offset);
        self.partial.extend_from_slice(&bytes);
        let Some(end) = self.partial.iter().rposition(|b| *b == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        let text = String::from_utf8_lossy(&whole);
        let skipped = usize::from(in_the_middle);
        Ok(text.lines().skip(skipped).filter(|l| !l.is_empty()).map(str::to_owned).collect())
    }
}

/// Follows one node's file until the receiver is gone.
pub async fn run(node: String, path: PathBuf, messages: mpsc::Sender<Msg>) {
    let mut followed = Followed { path, offset: None, partial: Vec::new() };
    loop {
        let looked = tokio::task::spawn_blocking(move || {
            let lines = followed.look();
            (followed, lines)
        });
        let Ok((back, lines)) = looked.await else { return };
        followed = back;
        if !lines.is_empty() {
            let message = Msg::Log { node: node.clone(), lines };
            if messages.send(message).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_come_whole_and_once_even_across_a_rotation() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("node.log");
        let mut followed = Followed { path: path.clone(), offset: None, partial: Vec::new() };
        assert!(followed.look().is_empty(), "no file yet");
        let mut file = File::create(&path).expect("a file");
        write!(file, "one\ntw").expect("written");
        assert_eq!(followed.look(), ["one"]);
        write!(file, "o\nthree\n").expect("written");
        assert_eq!(followed.look(), ["two", "three"]);
        File::create(&path).expect("cut").write_all(b"new\n").expect("written");
        assert_eq!(followed.look(), ["new"]);
        assert!(followed.look().is_empty());
    }
}
