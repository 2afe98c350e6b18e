//! What may have happened to a data directory while its member was down: it starts with
//! everything it acknowledged, or it does not start, says why, and leaves the files alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

/// A name, what happens to the directory `member`, and the words of the refusal; without
/// words it starts.
type Row = (&'static str, fn(&Path), Option<&'static str>);

const LOG_LOST: &str = "the write-ahead log of this member is not in";

const ROWS: &[Row] = &[
    ("no applied state", |d| fs::remove_dir_all(d.join("state")).unwrap(), None),
    ("another applied state", overwrite_the_state, None),
    ("a stranger's file", |d| fs::write(d.join("wal/README"), "hello").unwrap(), None),
    ("a changed byte in the log", |d| flip(&log(d), b"value-1"), Some("is corrupt at offset")),
    ("a changed byte at its end", |d| flip(&log(d), b"value-3"), Some("is corrupt at offset")),
    ("zeros over an entry", |d| zero(&log(d), b"value-2"), Some("is corrupt at offset")),
    ("another head of the log", |d| write_at(&log(d), 0, b"?"), Some("is corrupt at offset 0")),
    ("a log that is a file", a_file_for_a_log, Some("wal is not a directory")),
    ("no log", |d| fs::remove_dir_all(d.join("wal")).unwrap(), Some(LOG_LOST)),
    ("no log and no state", leave_a_later_snapshot, Some(LOG_LOST)),
    (
        "no snapshot",
        |d| fs::remove_dir_all(d.join("snap")).unwrap(),
        Some("the log's snapshot at index 1 is gone"),
    ),
    (
        "a changed snapshot",
        |d| write_at(&only_file(&d.join("snap")), 90, b"?"),
        Some("the log's snapshot at index 1 is gone"),
    ),
    (
        "open to everybody",
        |d| fs::set_permissions(d.parent().unwrap(), Permissions::from_mode(0o755)).unwrap(),
        Some("can be entered by other users"),
    ),
];

fn only_file(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    let files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e != "tmp")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn log(member: &Path) -> PathBuf {
    only_file(&member.join("wal"))
}

fn write_at(file: &Path, offset: usize, bytes: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(bytes, offset as u64).unwrap();
}

fn place(file: &Path, text: &[u8]) -> usize {
    let bytes = fs::read(file).unwrap();
    bytes.windows(text.len()).position(|window| window == text).expect("the text is there")
}

fn flip(file: &Path, text: &[u8]) {
    write_at(file, place(file, text), &[text[0] ^ 1]);
}

fn zero(file: &Path, text: &[u8]) {
    write_at(file, place(file, text), &vec![0; text.len()]);
}

fn overwrite_the_state(member: &Path) {
    for directory in fs::read_dir(member.join("state")).unwrap().flatten() {
        let database = directory.path().join("db");
        if database.is_file() {
            fs::write(database, [0x5a; 100_000]).unwrap();
        }
    }
}

fn leave_a_later_snapshot(member: &Path) {
    fs::remove_dir_all(member.join("wal")).unwrap();
    fs::remove_dir_all(member.join("state")).unwrap();
    let first = only_file(&member.join("snap"));
    let name = first.file_name().unwrap().to_str().unwrap();
    let later = name.replacen('1', "2", 1);
    fs::rename(&first, first.with_file_name(later)).unwrap();
}

fn a_file_for_a_log(member: &Path) {
    fs::remove_dir_all(member.join("wal")).unwrap();
    fs::write(member.join("wal"), "x").unwrap();
}

/// Files and directories; links and holes do not matter here.
fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

#[test]
fn a_damaged_directory_is_healed_or_refused() {
    let mut cluster = Cluster::start(Engine::Ours, 1, &[]);
    for number in 1..=3 {
        cluster.client(0).put(&format!("key-{number}"), &format!("value-{number}")).unwrap();
    }
    cluster.nodes[0].stop();
    let directory = cluster.nodes[0].directory.clone();
    let good = directory.with_extension("good");
    fs::rename(&directory, &good).unwrap();
    for (name, damage, refusal) in ROWS {
        copy(&good, &directory);
        damage(&directory.join("member"));
        let before = cluster.nodes[0].log().len();
        cluster.spawn(0);
        match refusal {
            None => {
                cluster.nodes[0].wait_healthy();
                for number in 1..=3 {
                    let value = cluster.client(0).get(&format!("key-{number}"), false);
                    assert_eq!(value, Ok(Some(format!("value-{number}"))), "{name}");
                }
                cluster.nodes[0].kill();
            }
            Some(text) => {
                let status = cluster.nodes[0].wait_exit();
                let said = cluster.nodes[0].log().split_off(before);
                assert_eq!(status.code(), Some(1), "{name}: {said}");
                let last = said.lines().last().unwrap_or_default();
                assert!(last.contains(text), "{name}: {said}");
            }
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}

#[test]
fn a_directory_belongs_to_one_process() {
    let mut cluster = Cluster::start(Engine::Ours, 1, &[]);
    let pid = cluster.nodes[0].pid();
    let output = cluster.command(0).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use by") && said.contains(&pid.to_string()), "{said}");
    cluster.nodes[0].stop();
}
