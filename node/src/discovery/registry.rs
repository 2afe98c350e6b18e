//! Who of those that registered is of the cluster. No IO: entries in, verdict out.

use super::DiscoveryError;

/// One member's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The member id in hexadecimal, which is the last part of the key.
    pub id: String,
    /// `name=url,name=url`.
    pub entry: String,
    /// Its place in the order of writing.
    pub created: i64,
}

/// What a member writes about itself.
pub fn entry((name, urls): &(String, Vec<String>)) -> String {
    let mut urls = urls.clone();
    urls.sort();
    urls.iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>().join(",")
}

/// The number under the size key.
pub fn size(text: &str) -> Result<usize, DiscoveryError> {
    match text.parse() {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(DiscoveryError::BadSize),
    }
}

/// The first `size` of all that registered, in order; an error if there are as many without
/// the member `own`.
pub fn admitted(
    mut all: Vec<Registered>,
    size: usize,
    own: &str,
) -> Result<Vec<Registered>, DiscoveryError> {
    all.sort_by_key(|one| one.created);
    all.truncate(size);
    if all.len() >= size && !all.iter().any(|one| one.id == own) {
        return Err(DiscoveryError::Full);
    }
    Ok(all)
}

/// The cluster, as `--initial-cluster` has it.
pub fn text(all: &[Registered]) -> String {
    all.iter().map(|one| one.entry.as_str()).collect::<Vec<_>>().join(",")
}

/// The founders in such a text: names with their URLs. One entry is one member, so a name
/// that two of them use, or a URL, is an error.
pub fn founders(text: &str) -> Result<Vec<(String, Vec<String>)>, DiscoveryError> {
    let mut founders: Vec<(String, Vec<String>)> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for part in text.split(',') {
        let (name, url) = part
            .split_once('=')
            .filter(|(name, url)| !name.is_empty() && is_peer_url(url))
            .ok_or_else(|| DiscoveryError::InvalidUrl(part.to_owned()))?;
        if !seen.insert(url) {
            return Err(DiscoveryError::DuplicateUrl(text.to_owned()));
        }
        match founders.iter_mut().find(|(known, _)| known == name) {
            Some((_, urls)) => urls.push(url.to_owned()),
            None => founders.push((name.to_owned(), vec![url.to_owned()])),
        }
    }
    Ok(founders)
}

/// Checks that `all` are as many members as entries.
pub fn distinct_names(all: &[Registered]) -> Result<(), DiscoveryError> {
    let text = text(all);
    match founders(&text)?.len() == all.len() {
        true => Ok(()),
        false => Err(DiscoveryError::DuplicateName(text)),
    }
}

/// `scheme://host:port` without a path.
fn is_peer_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<::http::Uri>() else { return false };
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let path = uri.path_and_query().is_none_or(|path| path == "/") && !url.ends_with('/');
    scheme && uri.port_u16().is_some() && path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn registered(id: u8, created: i64) -> Registered {
        let entry = format!("n{id}=http://127.0.0.1:{}", 1000 + u32::from(id));
        Registered { id: format!("{id:x}"), entry, created }
    }

    #[test]
    fn an_entry_names_every_url_once_and_in_order() {
        let own = ("a".to_owned(), vec!["http://h:2".to_owned(), "http://h:1".to_owned()]);
        assert_eq!(entry(&own), "a=http://h:1,a=http://h:2");
        let found = founders(&entry(&own)).unwrap();
        assert_eq!(found, [("a".to_owned(), vec!["http://h:1".into(), "http://h:2".into()])]);
    }

    #[test]
    fn a_size_is_a_positive_number() {
        assert_eq!(size("3").unwrap(), 3);
        for text in ["", "0", "-1", "three", "3 ", "1e3"] {
            assert!(matches!(size(text), Err(DiscoveryError::BadSize)), "{text:?}");
        }
    }

    #[test]
    fn what_others_wrote_is_not_trusted() {
        for text in
            ["", "a", "a=", "=http://h:1", "a=http://h", "a=h:1", "a=http://h:1/p", "a=ftp://h:1"]
        {
            assert!(matches!(founders(text), Err(DiscoveryError::InvalidUrl(_))), "{text:?}");
        }
        assert!(matches!(
            founders("a=http://h:1,b=http://h:1"),
            Err(DiscoveryError::DuplicateUrl(_))
        ));
        let mut twins = vec![registered(1, 1), registered(2, 2)];
        distinct_names(&twins).unwrap();
        twins[1].entry = "n1=http://127.0.0.1:9".into();
        assert!(matches!(distinct_names(&twins), Err(DiscoveryError::DuplicateName(_))));
    }

    proptest! {
        /// However they race, everybody who is admitted sees the same members.
        #[test]
        fn those_admitted_agree(
            created in prop::collection::btree_set(0i64..1000, 1..8),
            size in 1usize..8,
            shuffle in any::<u64>(),
        ) {
            let mut all: Vec<Registered> =
                created.iter().zip(0u8..).map(|(at, id)| registered(id, *at)).collect();
            let count = all.len();
            let turn = (shuffle as usize) % count;
            all.rotate_left(turn);
            let mut seen = std::collections::BTreeSet::new();
            let mut full = 0;
            for id in 0..count {
                match admitted(all.clone(), size, &format!("{id:x}")) {
                    Ok(members) => { seen.insert(text(&members)); }
                    Err(_) => full += 1,
                }
            }
            prop_assert_eq!(full, count.saturating_sub(size));
            prop_assert_eq!(seen.len(), 1);
        }
    }
}
