//! Ways between members that etcd has by environment variables only.

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, text};
use crate::flags::urls::{HttpUrl, Scheme};

pub const SECTION: Section = Section {
    title: "Between members (not in etcd, which takes HTTP_PROXY)",
    flags: &[text(
        "peer-proxy",
        "",
        "URL of an HTTP proxy: other members are reached through its tunnels (CONNECT).",
    )],
};

/// The proxy's `host:port`.
pub fn build(settings: &Settings) -> Result<Option<String>, FlagError> {
    let given = settings.text("peer-proxy");
    if given.is_empty() {
        return Ok(None);
    }
    let wrong = |why: String| settings.invalid("peer-proxy", why);
    let url = HttpUrl::parse(given).map_err(wrong)?;
    if url.scheme != Scheme::Http {
        return Err(wrong(format!(
            "a proxy is asked in plain text, http://host:port, not {given}"
        )));
    }
    let text = url.to_string();
    Ok(text.strip_prefix("http://").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use crate::flags::testing::options;

    #[test]
    fn the_proxy_is_a_plain_address() {
        let proxy = |flag: &str| options(&[flag]).map(|options| options.peer_proxy);
        assert_eq!(proxy("--peer-proxy=").unwrap(), None);
        let given = proxy("--peer-proxy=http://127.0.0.1:23793").unwrap();
        assert_eq!(given.as_deref(), Some("127.0.0.1:23793"));
        let given = proxy("--peer-proxy=http://[::1]:1/").unwrap();
        assert_eq!(given.as_deref(), Some("[::1]:1"));
        for wrong in ["127.0.0.1:1", "https://a:1", "unix://a", "http://a", "http://a:1/b"] {
            let error = proxy(&format!("--peer-proxy={wrong}")).unwrap_err().to_string();
            assert!(error.contains("peer-proxy"), "{wrong}: {error}");
        }
    }
}
