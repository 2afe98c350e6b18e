//! Where log lines go: standard error, standard output, files, or several of them.
//!
//! A line is one write to each place, so lines of threads never mix. A place that cannot be
//! written to loses its line and nothing else: a full disk for logs must not stop a member.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use super::rotation::RotatingFile;
use crate::flags::{LogOutput, LogRotation};

/// One place.
enum Place {
    Stderr,
    Stdout,
    File(File),
    Rotating(RotatingFile),
}

impl Place {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Place::Stderr => io::stderr().write_all(line),
            Place::Stdout => io::stdout().write_all(line),
            Place::File(file) => file.write_all(line),
            Place::Rotating(file) => file.write(line),
        }
    }
}

/// All places of this process.
#[derive(Clone)]
pub struct Outputs(Arc<Mutex<Vec<Place>>>);

impl Outputs {
    /// Opens what has to be opened. Files are appended to.
    pub fn open(outputs: &[LogOutput], rotation: Option<&LogRotation>) -> Result<Self, String> {
        let mut places = Vec::new();
        for output in outputs {
            places.push(match output {
                LogOutput::Stderr => Place::Stderr,
                LogOutput::Stdout => Place::Stdout,
                LogOutput::File(path) => {
                    let failed = |error: io::Error| {
                        format!("cannot open log output {}: {error}", path.display())
                    };
                    match rotation {
                        Some(rotation) => {
                            Place::Rotating(RotatingFile::open(path, rotation).map_err(failed)?)
                        }
                        None => Place::File(
                            File::options().create(true).append(true).open(path).map_err(failed)?,
                        ),
                    }
                }
            });
        }
        Ok(Self(Arc::new(Mutex::new(places))))
    }
}

impl io::Write for Outputs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A panic while writing leaves nothing half done that a lock could protect.
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places.iter_mut() {
            let _lost = place.write(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Outputs {
    type Writer = Outputs;

    fn make_writer(&self) -> Outputs {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_to_every_file_and_files_are_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["a.log", "b.log"].map(|name| directory.path().join(name));
        let outputs: Vec<LogOutput> = paths.iter().cloned().map(LogOutput::File).collect();
        for line in ["one\n", "two\n"] {
            let mut outputs = Outputs::open(&outputs, None).unwrap();
            outputs.write_all(line.as_bytes()).unwrap();
        }
        for path in paths {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\n");
        }
        let nowhere = LogOutput::File(directory.path().join("no/such/directory.log"));
        assert!(Outputs::open(&[nowhere], None).is_err());
    }
}
