//! Where the member listens, and which URLs it tells others.

use node::config::SocketOptions;

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, text};
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
        text(
            "listen-client-http-urls",
            "",
            "URLs for HTTP alone; the client URLs then speak gRPC alone.",
        ),
        text("listen-metrics-urls", "", "URLs for metrics and health alone."),
        boolean("socket-reuse-port", "false", "Let other processes listen on the same ports."),
        boolean(
            "socket-reuse-address",
            "false",
            "Accepted: addresses in TIME_WAIT are always reused.",
        ),
    ],
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub client: Vec<HttpUrl>,
    pub client_http: Vec<HttpUrl>,
    pub metrics: Vec<HttpUrl>,
    pub peer: Vec<HttpUrl>,
    pub socket: SocketOptions,
    pub advertise_client: Vec<HttpUrl>,
    pub advertise_peer: Vec<HttpUrl>,
}

pub fn build(settings: &Settings) -> Result<Options, FlagError> {
    // A file without it gets the default, as in etcd.
    let by_flag = settings.file().is_none();
    if by_flag
        && settings.is_given("listen-client-urls")
        && !settings.is_given("advertise-client-urls")
    {
        return Err(FlagError::AdvertiseMissing);
    }
    let client = listen_urls(settings, "listen-client-urls")?;
    let client_http = if_given(settings, "listen-client-http-urls")?;
    if let Some(url) = client_http.iter().find(|url| client.iter().any(|one| one.same_place(url))) {
        let why = format!(
            "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url {url}"
        );
        return Err(settings.invalid("listen-client-http-urls", why));
    }
    Ok(Options {
        client,
        client_http,
        metrics: if_given(settings, "listen-metrics-urls")?,
        socket: SocketOptions {
            reuse_port: settings.boolean("socket-reuse-port")?,
            reuse_address: settings.boolean("socket-reuse-address")?,
        },
        peer: listen_urls(settings, "listen-peer-urls")?,
        advertise_client: url_list(settings, "advertise-client-urls")?,
        advertise_peer: url_list(settings, "initial-advertise-peer-urls")?,
    })
}

fn url_list(settings: &Settings, name: &str) -> Result<Vec<HttpUrl>, FlagError> {
    urls::list(settings.text(name)).map_err(|reason| settings.invalid(name, reason))
}

fn if_given(settings: &Settings, name: &str) -> Result<Vec<HttpUrl>, FlagError> {
    if settings.text(name).is_empty() { Ok(Vec::new()) } else { listen_urls(settings, name) }
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
