//! Where the member listens, and which URLs it tells others.

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, text};
use crate::flags::urls::{self, HttpUrl};

pub const SECTION: Section = Section {
    title: "Listening",
    flags: &[
        text("listen-peer-urls", "http://localhost:2380", "URLs to listen on for members."),
        text("listen-client-urls", "http://localhost:2379", "URLs to listen on for clients."),
        text(
            "initial-advertise-peer-urls",
            "http://localhost:2380",
            "Peer URLs of this member as the others reach it.",
        ),
        text(
            "advertise-client-urls",
            "http://localhost:2379",
            "Client URLs of this member as clients reach it.",
        ),
    ],
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub client: Vec<HttpUrl>,
    pub peer: Vec<HttpUrl>,
    pub advertise_client: Vec<HttpUrl>,
    pub advertise_peer: Vec<HttpUrl>,
}

pub fn build(settings: &Settings) -> Result<Options, FlagError> {
    if settings.is_given("listen-client-urls") && !settings.is_given("advertise-client-urls") {
        return Err(FlagError::AdvertiseMissing);
    }
    Ok(Options {
        client: listen_urls(settings, "listen-client-urls")?,
        peer: listen_urls(settings, "listen-peer-urls")?,
        advertise_client: url_list(settings, "advertise-client-urls")?,
        advertise_peer: url_list(settings, "initial-advertise-peer-urls")?,
    })
}

fn url_list(settings: &Settings, name: &str) -> Result<Vec<HttpUrl>, FlagError> {
    urls::list(settings.text(name)).map_err(|reason| settings.invalid(name, reason))
}

fn listen_urls(settings: &Settings, name: &str) -> Result<Vec<HttpUrl>, FlagError> {
    urls::listen_list(settings.text(name)).map_err(|reason| settings.invalid(name, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    #[test]
    fn listening_elsewhere_needs_an_advertised_url() {
        let listen = "--listen-client-urls=http://127.0.0.1:1";
        assert_eq!(options(&[listen]).unwrap_err(), FlagError::AdvertiseMissing);
        assert!(options(&[listen, "--advertise-client-urls=http://h:1"]).is_ok());
        assert_eq!(FlagError::AdvertiseMissing.exit_code(), 1);
    }
}
