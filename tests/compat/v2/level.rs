//! Makes answers of two servers comparable: the index at which each began, times, and what
//! stands for raft and the cluster.

use std::collections::BTreeMap;

use super::http::Answer;

/// What may differ is replaced.
pub fn level(answer: Answer, base: u64) -> Answer {
    let headers: BTreeMap<String, String> = answer
        .headers
        .into_iter()
        .filter(|(name, _)| {
            // Other parts of the server answer with these.
            !name.starts_with("access-control-") && !["date", "connection"].contains(&&**name)
        })
        .map(|(name, value)| match name.as_str() {
            "x-etcd-index" => {
                let index: u64 = value.parse().unwrap();
                (name, index.saturating_sub(base).to_string())
            }
            "x-raft-index" | "x-raft-term" | "x-etcd-cluster-id" | "content-length" => {
                (name, "some".into())
            }
            "location" => (name, renumber(&value, "prevIndex=", "&", base)),
            _ => (name, value),
        })
        .collect();
    let mut body = answer.body;
    for (before, end) in [
        ("\"modifiedIndex\":", ",}"),
        ("\"createdIndex\":", ",}"),
        ("\"index\":", "}"),
        ("[1 != ", "]"),
        ("/0000000000", "\""),
    ] {
        body = renumber(&body, before, end, base);
    }
    body = blank_times(&body);
    Answer { headers, body, ..answer }
}

/// Numbers behind `before` and in front of one of `ends` become relative to `base`.
pub fn renumber(text: &str, before: &str, ends: &str, base: u64) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once(before) {
        out.push_str(head);
        out.push_str(before);
        let end = tail.find(|c| ends.contains(c)).unwrap_or(tail.len());
        match tail[..end].parse::<u64>() {
            Ok(number) => out.push_str(&number.saturating_sub(base).to_string()),
            Err(_) => out.push_str(&tail[..end]),
        }
        rest = &tail[end..];
    }
    out + rest
}

/// Expirations and what is left until then.
fn blank_times(text: &str) -> String {
    let mut parts = text.split("\"expiration\":\"");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (time, rest) = part.split_once('"').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        out.push_str("\"expiration\":\"a time\"");
        // Seconds pass while the table is worked off.
        match rest.strip_prefix(",\"ttl\":") {
            Some(left) => out.push_str(left.trim_start_matches(|c: char| c.is_ascii_digit())),
            None => out.push_str(rest),
        }
    }
    out
}
