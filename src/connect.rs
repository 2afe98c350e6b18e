//! `connect`: the terminal UI on a cluster that runs anywhere.

use std::path::Path;
use std::process::ExitCode;

use playground::PlaygroundError;

use crate::{cli, screen};

/// Where a password is not in the list of processes.
const PASSWORD_VARIABLE: &str = "ETCDCTL_PASSWORD";

pub async fn run(arguments: cli::Connect) -> anyhow::Result<ExitCode> {
    let frame = screen::Frame::parse(arguments.snapshot.snapshot.as_deref())?;
    let endpoints: Vec<String> =
        arguments.endpoints.iter().map(|text| endpoint(text)).collect::<Result<_, _>>()?;
    let trust = tui::Trust {
        authority: arguments.cacert.as_deref().map(read).transpose()?,
        pair: match (&arguments.cert, &arguments.key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            _ => None,
        },
        user: arguments.user.as_deref().map(user).transpose()?,
    };
    screen::open_remote(endpoints, trust, arguments.write, frame).await
}

/// `NAME:PASSWORD`, or a name whose password is in the environment.
fn user(text: &str) -> Result<tui::User, PlaygroundError> {
    let (name, password) = match text.split_once(':') {
        Some((name, password)) => (name, password.to_owned()),
        None => (text, std::env::var(PASSWORD_VARIABLE).unwrap_or_default()),
    };
    if name.is_empty() || password.is_empty() {
        return Err(PlaygroundError::Usage(format!(
            "--user {name:?} has no password: write NAME:PASSWORD, or set {PASSWORD_VARIABLE}"
        )));
    }
    Ok(tui::User { name: name.to_owned(), password })
}

fn read(path: &Path) -> Result<Vec<u8>, PlaygroundError> {
    let wrong = |error| PlaygroundError::Usage(format!("cannot read {}: {error}", path.display()));
    std::fs::read(path).map_err(wrong)
}

/// An endpoint as etcdctl takes it: a URL, or host and port.
fn endpoint(text: &str) -> Result<String, PlaygroundError> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let wrong = |why: &str| {
        Err(PlaygroundError::Usage(format!(
            "--endpoints {text:?}: {why}; a client URL looks like http://127.0.0.1:2379"
        )))
    };
    match scheme {
        "http" | "https" => {}
        _ => return wrong("only http and https are supported"),
    }
    let authority = rest.trim_end_matches('/');
    let Some((host, port)) = authority.rsplit_once(':') else {
        return wrong("the port is missing");
    };
    if host.is_empty() || host.contains('/') {
        return wrong("the host is missing");
    }
    match port.parse::<u16>() {
        Ok(port) if port != 0 => Ok(format!("{scheme}://{host}:{port}")),
        _ => wrong("the port is not a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_password() {
        let root = user("root:a:b").unwrap();
        assert_eq!((&*root.name, &*root.password), ("root", "a:b"));
        for wrong in ["", ":x", "root:"] {
            let error = user(wrong).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains("NAME:PASSWORD"), "{wrong}");
        }
    }

    #[test]
    fn endpoints_are_taken_as_etcdctl_takes_them() {
        assert_eq!(endpoint("127.0.0.1:2379").unwrap(), "http://127.0.0.1:2379");
        assert_eq!(endpoint("https://a:1").unwrap(), "https://a:1");
        assert_eq!(endpoint(" http://[::1]:2379/ ").unwrap(), "http://[::1]:2379");
        for wrong in ["", "x", "http://", "http://:1", "a:0", "a:99999", "ftp://a:1"] {
            let error = endpoint(wrong).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains("looks like"), "{wrong}");
        }
    }
}
