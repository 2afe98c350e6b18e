//! The rules of `ARCHITECTURE.md` that a program can check: who may import whom, which pure
//! module must not know of clocks and sockets, and how long files and functions may be.
//!
//! The checks read source text and know Rust only as rustfmt writes it: a block ends with a
//! brace at the indentation it began with. Comments do not count as mentions, test modules
//! do not count as length. A folder that is named here but missing is a failure, because a
//! check that reads nothing passes for ever.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file without its tests.
const FILE_LINES_MAX: usize = 600;

/// Longest function.
const FUNCTION_LINES_MAX: usize = 70;

/// Where sources are.
const SOURCES: &[&str] = &[
    "src",
    "node/src",
    "node/proto/src",
    "playground/src",
    "playground/history/src",
    "tui/src",
    "tests",
];

/// Crates of the workspace that each crate may depend on.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("node/proto", &[]),
    ("node", &["proto"]),
    ("playground", &["proto", "history"]),
    ("playground/history", &[]),
    ("tui", &["proto", "playground"]),
];

const WORKSPACE_CRATES: &[&str] = &["proto", "node", "playground", "history", "tui", "etcd-tui"];

/// Packages that belong to the command line and to nothing below it.
const ROOT_ONLY: &[&str] = &["anyhow", "clap", "directories", "tracing-subscriber"];

/// Pure modules and what they must not mention.
const MUST_NOT_MENTION: &[(&[&str], &[&str])] = &[
    (
        &[
            "node/src/kv",
            "node/src/lease/state",
            "node/src/machine",
            "node/src/auth",
            "node/src/cluster",
            "node/src/v2/store",
            "node/src/v2/history",
            "node/src/v2/event",
            "node/src/v2/rows",
        ],
        &["tokio", "tonic", "Instant::now", "SystemTime::now", "rand::"],
    ),
    (&["node/src/proxy/picks"], &["tokio", "tonic", "Instant::now", "rand::"]),
    (&["node/src/consensus/core"], &["tokio", "std::fs", "tonic"]),
    (
        &["playground/src/links/lane", "playground/src/links/head", "playground/src/links/cut"],
        &["tokio", "Instant::now", "rand::", "std::net"],
    ),
    (
        &[
            "playground/src/applications/client",
            "playground/src/applications/configuration",
            "playground/src/applications/discovery",
            "playground/src/applications/election",
            "playground/src/applications/follow",
            "playground/src/applications/lock",
            "playground/src/applications/notes",
            "playground/src/applications/place",
            "playground/src/applications/session",
            "playground/src/applications/tenure",
        ],
        &["tokio", "tonic", "Instant::now", "SystemTime::now", "rand::"],
    ),
    (&["tui/src/model", "tui/src/update", "tui/src/view"], &["tokio", "tonic", "crossterm"]),
];

/// The only place that knows which store holds the applied state.
const SLED_PLACE: &str = "node/src/storage";

/// A source file, its lines, and where they are.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Numbered lines without test modules.
    fn lines(&self) -> Vec<(usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut kept = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let next = lines.get(at + 1).copied().unwrap_or_default();
            let opens_tests = lines[at] == "#[cfg(test)]"
                && next.trim_start_matches("pub ").starts_with("mod ")
                && next.ends_with('{');
            if opens_tests {
                let length = lines[at..].iter().position(|line| *line == "}");
                at += length.map_or(lines.len(), |length| length + 1);
            } else {
                kept.push((at + 1, lines[at]));
                at += 1;
            }
        }
        kept
    }

    /// The first line outside comments and test modules that mentions `word`.
    fn mention(&self, word: &str) -> Option<usize> {
        let code = |line: &str| line.split("//").next().unwrap_or_default().to_string();
        self.lines().into_iter().find(|(_, line)| has_word(&code(line), word)).map(|(at, _)| at)
    }

    /// Functions with the line they begin at and their length.
    fn functions(&self) -> Vec<(usize, usize)> {
        let lines = self.lines();
        let mut found = Vec::new();
        for (start, (number, line)) in lines.iter().enumerate() {
            if !begins_function(line) {
                continue;
            }
            let indent = &line[..line.len() - line.trim_start().len()];
            let ends = |line: &str| line.strip_prefix(indent).is_some_and(|rest| rest == "}");
            let is_declaration = |line: &str| line.starts_with(indent) && line.ends_with(';');
            for (last, (_, line)) in lines.iter().enumerate().skip(start) {
                let closed = line.ends_with('}') && last == start;
                if closed || (is_declaration(line) && is_sibling(line, indent)) {
                    break;
                }
                if ends(line) {
                    found.push((*number, last - start + 1));
                    break;
                }
            }
        }
        found
    }
}

/// Whether the line stands at exactly this indentation.
fn is_sibling(line: &str, indent: &str) -> bool {
    line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with(' '))
}

fn begins_function(line: &str) -> bool {
    let mut rest = line.trim_start();
    if let Some(after) = rest.strip_prefix("pub(") {
        rest = after.split_once(") ").map_or("", |(_, rest)| rest);
    }
    loop {
        let modifier =
            ["pub ", "const ", "async ", "extern \"C\" "].iter().find_map(|m| rest.strip_prefix(m));
        match modifier {
            Some(after) => rest = after,
            None => return rest.starts_with("fn "),
        }
    }
}

/// Whether `word` stands in `code` and is not the end of a longer name.
fn has_word(code: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && (word.ends_with(':') || !after.is_some_and(is_name))
    })
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The module at `place`: `place.rs`, everything under `place/`, or both.
fn sources(place: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    let file = root().join(format!("{place}.rs"));
    if file.is_file() {
        paths.push(file);
    }
    if root().join(place).is_dir() {
        collect(&root().join(place), &mut paths);
    }
    assert!(!paths.is_empty(), "{place} is to be checked, but there is no such module");
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source folder") {
        let path = entry.expect("an entry of a source folder").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("a source file");
    let path = path.strip_prefix(root()).expect("a path below the root").display().to_string();
    Source { path, text }
}

/// Whether the whole file is compiled for tests only.
fn is_test_file(path: &str) -> bool {
    let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let of_tests = |part: &str| matches!(part, "tests" | "testing" | "testscripts");
    path.split('/').any(of_tests) || of_tests(&name) || name.ends_with("_tests")
}

#[track_caller]
fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// Names in the dependency tables of a `Cargo.toml`, tests' excluded.
fn dependencies(manifest: &str) -> Vec<String> {
    let path = root().join(manifest).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut in_table = false;
    let mut names = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            in_table = matches!(line, "[dependencies]" | "[build-dependencies]");
        } else if in_table && let Some((name, _)) = line.split_once(['.', '=']) {
            names.push(name.trim().to_string());
        }
    }
    names
}

#[test]
fn crates_depend_downwards_only() {
    let mut findings = Vec::new();
    for (manifest, allowed) in MAY_IMPORT {
        let dependencies = dependencies(manifest);
        assert!(!dependencies.is_empty(), "{manifest} has dependencies");
        for name in dependencies.iter().map(String::as_str) {
            if WORKSPACE_CRATES.contains(&name) && !allowed.contains(&name) {
                findings.push(format!("{manifest}/Cargo.toml: must not depend on {name}"));
            }
            if ROOT_ONLY.contains(&name) {
                findings.push(format!("{manifest}/Cargo.toml: {name} belongs to the root crate"));
            }
        }
    }
    assert_none(findings);
}

#[test]
fn pure_modules_stay_pure() {
    let mut findings = Vec::new();
    for (places, words) in MUST_NOT_MENTION {
        for source in places.iter().flat_map(|place| sources(place)) {
            if is_test_file(&source.path) {
                continue;
            }
            for word in *words {
                if let Some(line) = source.mention(word) {
                    findings.push(format!("{}:{line}: must not mention {word}", source.path));
                }
            }
        }
    }
    assert_none(findings);
}

#[test]
fn one_place_knows_sled() {
    assert!(sources(SLED_PLACE).iter().any(|source| source.mention("sled").is_some()));
    // The log filter of the root crate names crates as text; that is no use of them.
    let elsewhere = SOURCES.iter().flat_map(|place| sources(place)).filter(|source| {
        !source.path.starts_with(SLED_PLACE)
            && !["src/tidy.rs", "src/logging/mod.rs"].contains(&&*source.path)
    });
    let mentions = elsewhere.filter_map(|source| {
        source.mention("sled").map(|line| format!("{}:{line}: mentions sled", source.path))
    });
    assert_none(mentions.collect());
}

#[test]
fn every_module_opens_with_its_essay() {
    let without = SOURCES
        .iter()
        .flat_map(|place| sources(place))
        .filter(|source| !is_test_file(&source.path) || source.path.starts_with("tests/"))
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| format!("{}: does not open with //! what it is", source.path));
    assert_none(without.collect());
}

#[test]
fn files_and_functions_are_short() {
    let mut findings = Vec::new();
    for source in SOURCES.iter().flat_map(|place| sources(place)) {
        if is_test_file(&source.path) {
            continue;
        }
        let lines = source.lines().len();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{}: {lines} lines of at most {FILE_LINES_MAX}", source.path));
        }
        let long = source.functions().into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
        findings.extend(long.map(|(at, lines)| {
            format!(
                "{}:{at}: a function of {lines} lines, at most {FUNCTION_LINES_MAX}",
                source.path
            )
        }));
    }
    assert_none(findings);
}

/// The checks above are worth what these readings of source text are worth.
mod reading {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "x.rs".into(), text: text.into() }
    }

    #[test]
    fn comments_and_tests_are_no_mentions() {
        let text = "//! tokio\nuse a; // tokio\n#[cfg(test)]\nmod tests {\n    use tokio;\n}\n";
        assert_eq!(source(text).mention("tokio"), None);
        assert_eq!(source(&format!("{text}use tokio::net;\n")).mention("tokio"), Some(7));
    }

    #[test]
    fn a_word_is_not_part_of_a_longer_one() {
        assert!(has_word("rand::rng()", "rand::") && !has_word("operand::new()", "rand::"));
        assert!(has_word("use tonic;", "tonic") && !has_word("use tonic_prost;", "tonic"));
        assert!(has_word("std::time::Instant::now()", "Instant::now"));
    }

    #[test]
    fn functions_are_measured_from_name_to_brace() {
        let text = "impl A {\n    pub(crate) async fn a(\n        b: u8,\n    ) {\n        c(|| {\n        });\n    }\n\n    fn d() {}\n}\ntrait T {\n    fn e(\n        &self,\n    );\n\n    fn f() {\n    }\n}\n";
        assert_eq!(source(text).functions(), [(2, 6), (16, 2)]);
    }

    #[test]
    fn the_dependency_tables_are_read() {
        let names = dependencies("tui");
        assert!(names.contains(&"proto".to_string()) && !names.contains(&"tempfile".to_string()));
    }
}
