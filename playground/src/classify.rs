//! Why a node process ended, from its exit status and the last lines of its log.
//!
//! The texts looked for are those that real etcd writes as well; the sentences returned say
//! what happened and what to do about it. An exit that matches nothing is shown with its
//! last error line: that is what the user would look for next.

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// It returned this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// What an exit means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnosis {
    /// Whether the node ended because its member was removed from the cluster.
    pub removed: bool,
    /// One sentence for the user.
    pub why: String,
}

const REMOVED: &str =
    "this member was removed from the cluster: `etcd-tui replace` wipes it and adds it again";

const DAMAGED: &str = "its log is damaged, and a member that guesses would forget what it promised: `etcd-tui \
     replace` removes it and adds it again";

/// Text in the log, and what it means. The first match wins, so the specific come first.
const TEXTS: [(&str, &str); 13] = [
    ("must be removed", REMOVED),
    ("has been permanently removed", REMOVED),
    (
        "has already been bootstrapped",
        "its data is gone, but the cluster still lists it as a member: `etcd-tui replace` removes \
         it and adds it again",
    ),
    (
        "is out of range [lastIndex",
        "its data is gone, and the leader expects entries that it acknowledged: `etcd-tui replace` \
         removes it and adds it again",
    ),
    (
        "cluster ID mismatch",
        "its peers belong to another cluster: two clusters share these addresses",
    ),
    (
        "member count is unequal",
        "--initial-cluster does not match the members of the cluster: `etcd-tui replace` joins it \
         properly",
    ),
    (
        "unmatched member while checking PeerURLs",
        "--initial-cluster does not match the members of the cluster: `etcd-tui replace` joins it \
         properly",
    ),
    ("crc mismatch", DAMAGED),
    ("max entry size limit exceeded", DAMAGED),
    ("wal: unexpected EOF", DAMAGED),
    (
        "flag provided but not defined",
        "this program does not know a flag that its version should: name another with --etcd-bin",
    ),
    ("no space left on device", "the disk is full: free some space, then start it again"),
    (
        "address already in use",
        "another process listens on its port: end that process, then start it again",
    ),
];

/// Reads an exit. `tail` is the end of the node's log, oldest line first; `on_request` is set
/// when it was us who killed it.
pub fn classify(exit: Exit, tail: &[String], on_request: bool) -> Diagnosis {
    if on_request {
        return Diagnosis { removed: false, why: "killed on request".to_owned() };
    }
    for (text, meaning) in TEXTS {
        if tail.iter().any(|line| line.contains(text)) {
            return Diagnosis { removed: meaning == REMOVED, why: meaning.to_owned() };
        }
    }
    if tail.iter().any(|line| line.contains("file too large")) {
        let why = "a write to its disk failed: free some space, then start it again".to_owned();
        return Diagnosis { removed: false, why };
    }
    let ended = match exit {
        Exit::Code(code) => format!("exited with status {code}"),
        Exit::Signal(9) => "killed from outside (SIGKILL)".to_owned(),
        Exit::Signal(number) => format!("ended by signal {number}"),
    };
    // A process that somebody killed from outside wrote no last words worth showing.
    let why = match last_words(tail) {
        Some(line) if !matches!(exit, Exit::Signal(9 | 15)) => format!("{ended}: {line}"),
        _ => ended,
    };
    Diagnosis { removed: false, why }
}

/// The line to show as the reason: the last that reports an error, or simply the last.
pub fn last_words(tail: &[String]) -> Option<String> {
    let is_error = |line: &&String| {
        ["\"level\":\"error\"", "\"level\":\"fatal\"", "\"level\":\"panic\"", "panicked at"]
            .iter()
            .any(|mark| line.contains(mark))
            || line.starts_with("panic: ")
    };
    let line = tail.iter().rev().find(is_error).or_else(|| tail.last())?;
    Some(summary(line))
}

/// A log line without the JSON around it.
pub fn summary(line: &str) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(line) else {
        return line.trim().to_owned();
    };
    let text = |name: &str| fields.get(name).and_then(serde_json::Value::as_str);
    match (text("msg"), text("error").or(text("err"))) {
        (Some(message), Some(error)) => format!("{message}: {error}"),
        (Some(message), None) => message.to_owned(),
        _ => line.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(exit: Exit, lines: &[&str]) -> Diagnosis {
        let tail: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        classify(exit, &tail, false)
    }

    #[test]
    fn a_removed_member_is_recognised_although_it_exits_with_zero() {
        let line = "{\"level\":\"warn\",\"msg\":\"data-dir used by this member must be removed\"}";
        let diagnosis = why(Exit::Code(0), &["x", line, "closed"]);
        assert!(diagnosis.removed);
        assert!(diagnosis.why.contains("etcd-tui replace"));
    }

    #[test]
    fn lost_data_is_told_from_a_crash() {
        for line in [
            "member 8e9e05c52164694d has already been bootstrapped",
            "tocommit(9) is out of range [lastIndex(0)]. Was the raft log corrupted?",
        ] {
            let diagnosis = why(Exit::Code(1), &[line]);
            assert!(diagnosis.why.starts_with("its data is gone"), "{diagnosis:?}");
            assert!(!diagnosis.removed);
        }
    }

    #[test]
    fn the_last_error_line_is_the_reason_when_nothing_is_known() {
        let diagnosis = why(
            Exit::Code(1),
            &[
                "{\"level\":\"fatal\",\"msg\":\"cannot open\",\"error\":\"permission denied\"}",
                "{\"level\":\"info\",\"msg\":\"bye\"}",
            ],
        );
        assert_eq!(diagnosis.why, "exited with status 1: cannot open: permission denied");
        assert_eq!(why(Exit::Code(3), &[]).why, "exited with status 3");
    }

    #[test]
    fn a_damaged_log_of_etcd_is_recognised() {
        for line in [
            "{\"level\":\"fatal\",\"msg\":\"discovery failed\",\"error\":\"walpb: crc mismatch\"}",
            "{\"level\":\"fatal\",\"msg\":\"x\",\"error\":\"wal: max entry size limit exceeded\"}",
        ] {
            assert!(why(Exit::Code(1), &[line]).why.starts_with("its log is damaged"), "{line}");
        }
    }

    #[test]
    fn the_reason_of_a_panic_is_found_above_its_trace() {
        let mut lines = vec!["panic: failed to commit"];
        lines.extend(["goroutine 1 [running]:"; 50]);
        let diagnosis = why(Exit::Code(2), &lines);
        assert_eq!(diagnosis.why, "exited with status 2: panic: failed to commit");
    }

    #[test]
    fn a_kill_says_whose_it_was() {
        assert_eq!(why(Exit::Signal(9), &["whatever"]).why, "killed from outside (SIGKILL)");
        assert_eq!(classify(Exit::Signal(9), &[], true).why, "killed on request");
        assert_eq!(
            why(Exit::Signal(6), &["panicked at x"]).why,
            "ended by signal 6: panicked at x"
        );
    }
}
