//! Keys of v2: clean paths. The root is "", everything else is "/a/b".

/// Levels a key may have. etcd knows no limit; here every level is a node with a full key, so
/// one request for a very deep key must not cost the square of its length.
pub const LEVELS_MAX: usize = 256;

/// The clean form of what follows `/v2/keys` in a URL: no empty, "." or ".." parts.
pub fn clean(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.iter().flat_map(|part| ["/", part]).collect()
}

/// How many levels below the root a clean key is.
pub fn levels(key: &str) -> usize {
    key.bytes().filter(|byte| *byte == b'/').count()
}

/// The keys above `key`, without the root, from the top.
pub fn parents(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices('/').skip(1).map(|(at, _)| &key[..at])
}

/// The root, the keys above `key`, and `key` itself.
pub fn ancestry(key: &str) -> impl Iterator<Item = &str> {
    let own = (!key.is_empty()).then_some(key);
    std::iter::once("").chain(parents(key)).chain(own)
}

/// Whether `key` is in the directory `above`, at any depth.
pub fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a watcher of the directory `watched` is not to see `key`: a part of it below
/// `watched` begins with an underscore.
pub fn is_hidden_from(watched: &str, key: &str) -> bool {
    key.strip_prefix(watched).is_some_and(|rest| rest.contains("/_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_cleaned_as_paths() {
        let cases = [
            ("", ""),
            ("/", ""),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("a//b/", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/../..", ""),
            ("/a b/é", "/a b/é"),
        ];
        for (text, key) in cases {
            assert_eq!(clean(text), key, "{text}");
            assert_eq!(clean(key), key);
        }
        assert_eq!(["", "/a", "/a/b"].map(levels), [0, 1, 2]);
    }

    #[test]
    fn the_way_down_has_every_level_once() {
        assert_eq!(ancestry("/a/bc/d").collect::<Vec<_>>(), ["", "/a", "/a/bc", "/a/bc/d"]);
        assert_eq!(ancestry("").collect::<Vec<_>>(), [""]);
        assert_eq!(parents("/a").count(), 0);
    }

    #[test]
    fn below_means_in_the_directory() {
        assert!(is_below("/a/b", "/a") && is_below("/a", ""));
        assert!(!is_below("/ab", "/a") && !is_below("/a", "/a") && !is_below("", ""));
        assert!(is_hidden_from("", "/_a") && is_hidden_from("/a", "/a/_b/c"));
        assert!(!is_hidden_from("/_a", "/_a/c") && !is_hidden_from("/a/b", "/a"));
    }
}
