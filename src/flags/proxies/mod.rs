//! The flags of etcd's two proxies, a file each.
//!
//! As in etcd they are the words after `gateway start` or `grpc-proxy start`, have no variables
//! and no configuration file, and a list that is given twice is both. `start` may stand among
//! the flags.

#[cfg(test)]
pub mod document;
pub mod gateway;
pub mod grpc;

use super::FlagError;
use super::groups::tls::file;
use super::syntax::{Settings, Wanted, read_words};
use super::table::{self, Section};

/// One of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    Gateway,
    Grpc,
}

/// What the words ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Gateway(node::proxy::gateway::Config),
    Grpc(Box<node::proxy::grpc::Config>),
    /// Print this and leave.
    Help(String),
}

impl Proxy {
    /// The proxy of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Proxy::Gateway, Proxy::Grpc].into_iter().find(|proxy| proxy.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Proxy::Gateway => "gateway",
            Proxy::Grpc => "grpc-proxy",
        }
    }

    pub fn sections(self) -> &'static [Section] {
        match self {
            Proxy::Gateway => gateway::SECTIONS,
            Proxy::Grpc => grpc::SECTIONS,
        }
    }

    fn help(self) -> String {
        let about = match self {
            Proxy::Gateway => "Passes TCP connections on to the members of a cluster.",
            Proxy::Grpc => "Passes gRPC calls on to the members of a cluster.",
        };
        let usage = format!("Usage: etcd-tui {} start [flags]\n\n  {about}\n", self.name());
        table::help_of(&usage, self.sections())
    }

    /// Reads the words after the proxy's name.
    pub fn parse(self, words: &[String]) -> Result<Request, FlagError> {
        let mut settings = Settings::of(self.sections()).with_command("start");
        let wanted = read_words(words, &mut settings)?;
        if wanted == Wanted::Help || words.is_empty() {
            return Ok(Request::Help(self.help()));
        }
        if !settings.is_commanded() {
            return Err(FlagError::NoCommand { program: self.name() });
        }
        settings.check_all()?;
        match self {
            Proxy::Gateway => gateway::build(&settings).map(Request::Gateway),
            Proxy::Grpc => grpc::build(&settings).map(Box::new).map(Request::Grpc),
        }
    }
}

/// `host:port` to listen on; Go takes a port alone for every address.
fn listen_address(settings: &Settings, name: &str) -> Result<String, FlagError> {
    let text = settings.text(name);
    let address = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    match super::HttpUrl::parse(&format!("http://{address}")) {
        Ok(_) if !address.contains('/') => Ok(address),
        _ => Err(settings.invalid(name, "it is host:port".to_owned())),
    }
}

/// The DNS records that the flags name, if they name any.
fn discovery(
    settings: &Settings,
    ca: &str,
) -> Result<Option<node::proxy::endpoints::Discovery>, FlagError> {
    let domain = settings.text("discovery-srv").to_owned();
    if domain.is_empty() {
        return Ok(None);
    }
    Ok(Some(node::proxy::endpoints::Discovery {
        domain,
        service: settings.text("discovery-srv-name").to_owned(),
        insecure: settings.boolean("insecure-discovery")?,
        trusted_ca_file: file(settings, ca),
        name_server: None,
    }))
}

/// The members that were named; the default only where nothing is looked up.
fn endpoints(settings: &Settings) -> Vec<String> {
    let looked_up = !settings.text("discovery-srv").is_empty();
    if looked_up && !settings.is_given("endpoints") {
        Vec::new()
    } else {
        settings.list("endpoints")
    }
}

#[cfg(test)]
mod testing {
    use super::{FlagError, Proxy, Request};

    /// What these words mean to a proxy.
    pub fn request(proxy: Proxy, words: &[&str]) -> Result<Request, FlagError> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        proxy.parse(&words)
    }
}
