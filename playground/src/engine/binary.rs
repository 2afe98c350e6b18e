//! Finding a program that is etcd, and finding out which.
//!
//! What a program is gets asked of the program itself, with a deadline and a limit on what it
//! may say: it may be anything. Version and checksum become part of the plan, so that a report
//! names what was really run and a program that was exchanged is noticed.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Version;
use crate::PlaygroundError;

/// How long a program may take to say its version.
const VERSION_PATIENCE: Duration = Duration::from_secs(10);
/// Most of what it says that is read.
const OUTPUT_MAX: u64 = 16 << 10;

/// A program that is etcd.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// What it says it is.
    pub version: Version,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
}

impl Binary {
    /// The program asked for, or else the one that `$ETCD_BIN` names, or else the first `etcd`
    /// on the path.
    pub fn find(asked: Option<&Path>) -> Result<Self, PlaygroundError> {
        let variable = std::env::var_os("ETCD_BIN").filter(|it| !it.is_empty());
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::examine(&choose(asked, variable.as_deref(), &path)?)
    }

    /// Asks a program what it is.
    pub fn examine(path: &Path) -> Result<Self, PlaygroundError> {
        let shown = path.display();
        let refused = |why: String| PlaygroundError::Refused(why);
        let path = path.canonicalize().map_err(|error| {
            refused(format!("there is no etcd at {shown} ({error}): --etcd-bin names one"))
        })?;
        let said = ask_version(&path).map_err(|error| {
            refused(format!("{shown} cannot be run as etcd ({error}): --etcd-bin names another"))
        })?;
        if said.contains("etcd-tui") {
            return Err(refused(format!(
                "{shown} is the node of etcd-tui itself: leave --engine out to run it, or name an \
                 etcd with --etcd-bin"
            )));
        }
        let version = Version::in_output(&said).ok_or_else(|| {
            let line = said.lines().next().unwrap_or("nothing").chars().take(80);
            let line: String = line.collect();
            refused(format!(
                "{shown} is not etcd, asked for its version it says {line:?}: --etcd-bin names \
                 another"
            ))
        })?;
        if !version.is_known() {
            return Err(refused(format!(
                "{shown} is etcd {version}, and only 3.4, 3.5 and 3.6 are known here: --etcd-bin \
                 names another"
            )));
        }
        let sha256 = digest(&path).map_err(PlaygroundError::file("read", &path))?;
        Ok(Self { path, version, sha256 })
    }
}

fn choose(
    asked: Option<&Path>,
    variable: Option<&OsStr>,
    path: &OsStr,
) -> Result<PathBuf, PlaygroundError> {
    if let Some(asked) = asked {
        return Ok(asked.to_owned());
    }
    if let Some(variable) = variable {
        return Ok(PathBuf::from(variable));
    }
    let mut candidates = std::env::split_paths(path).map(|directory| directory.join("etcd"));
    candidates.find(|candidate| candidate.is_file()).ok_or_else(|| {
        PlaygroundError::Refused(
            "no etcd is on the path: install one, or name it with --etcd-bin or ETCD_BIN"
                .to_owned(),
        )
    })
}

/// What the program prints for `--version`. One that goes on after that is ended.
fn ask_version(program: &Path) -> io::Result<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = child.stdout.take();
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = output.map(|output| output.take(OUTPUT_MAX).read_to_end(&mut text));
        // Nobody waits any more when it took too long.
        let _ = told.send(read.transpose().map(|_| text));
    });
    let said = heard.recv_timeout(VERSION_PATIENCE);
    // It has ended, or shall.
    let _ = child.kill();
    let _ = child.wait();
    let text = said.map_err(|_| io::Error::other("it does not say its version"))??;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_program_is_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = script(dir.path(), "etcd", "echo 'etcd Version: 3.5.9'");
        let binary = Binary::examine(&path).unwrap();
        assert_eq!((binary.version.to_string().as_str(), binary.sha256.len()), ("3.5.9", 64));
    }

    #[test]
    fn every_wrong_program_has_its_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, text: &str| {
            Binary::examine(&script(dir.path(), name, text)).unwrap_err().to_string()
        };
        for (said, expected) in [
            (of("old", "echo 'etcd Version: 3.3.27'"), "is etcd 3.3.27, and only 3.4"),
            (of("ctl", "echo 'etcdctl version: 3.5.1'"), "is not etcd, asked for its version"),
            (of("mute", "exit 1"), "is not etcd"),
            (of("flood", "exec yes"), "is not etcd"),
            (of("own", "echo 'etcd Version: 3.6.0'; echo '(etcd-tui 1)'"), "leave --engine out"),
        ] {
            assert!(said.contains(expected) && said.contains("--etcd-bin"), "{said}");
        }
        let missing = Binary::examine(&dir.path().join("missing")).unwrap_err().to_string();
        assert!(missing.contains("there is no etcd at"), "{missing}");
        std::fs::write(dir.path().join("plain"), "x").unwrap();
        let plain = Binary::examine(&dir.path().join("plain")).unwrap_err().to_string();
        assert!(plain.contains("cannot be run as etcd"), "{plain}");
    }

    #[test]
    fn what_is_asked_for_comes_before_what_is_lying_around() {
        let dir = tempfile::tempdir().unwrap();
        script(dir.path(), "etcd", "true");
        let path = dir.path().as_os_str();
        let asked = choose(Some(Path::new("/a")), Some(OsStr::new("/b")), path).unwrap();
        assert_eq!(asked, Path::new("/a"));
        assert_eq!(choose(None, Some(OsStr::new("/b")), path).unwrap(), Path::new("/b"));
        assert_eq!(choose(None, None, path).unwrap(), dir.path().join("etcd"));
        let error = choose(None, None, OsStr::new("/nonexistent")).unwrap_err().to_string();
        assert!(error.contains("ETCD_BIN"), "{error}");
    }
}
