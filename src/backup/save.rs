//! `snapshot save`: from a running member to a file.
//!
//! The file gets its name when it is complete, its SHA-256 was found right, and it is durable.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use node::backup;
use node::net::Dialer;
use node::net::tls::{Tls, TlsOptions};
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{AuthenticateRequest, SnapshotRequest};
use tonic::Request;
use tonic::transport::Channel;

use super::arguments::Save;
use crate::output;

/// A member that does not answer by then is given up.
const DIAL_PATIENCE: Duration = Duration::from_secs(5);

/// Saves a snapshot of the only endpoint.
pub async fn save(arguments: &Save) -> anyhow::Result<()> {
    if arguments.endpoints.contains(',') {
        bail!(
            "snapshot must be requested to one selected node, not multiple [{}]",
            arguments.endpoints
        );
    }
    let part = Part::new(&arguments.file);
    let version = fetch(connect(arguments).await?, arguments.user.as_deref(), &part.0).await?;
    backup::file::verify(&part.0).context("what came is not a whole snapshot")?;
    std::fs::rename(&part.0, &arguments.file)
        .with_context(|| format!("cannot create {}", arguments.file.display()))?;
    sync_directory(&arguments.file)?;
    output::print(&format!("Snapshot saved at {}\n", arguments.file.display()))?;
    if !version.is_empty() {
        output::print(&format!("Server version {version}\n"))?;
    }
    Ok(())
}

/// A file that is not complete yet; it goes if it never is.
struct Part(PathBuf);

impl Part {
    fn new(file: &Path) -> Self {
        let mut name = file.as_os_str().to_owned();
        name.push(".part");
        Self(name.into())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already if all went well.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Connects to the endpoint, which is a URL, or host and port as etcdctl takes them.
async fn connect(arguments: &Save) -> anyhow::Result<Channel> {
    let Save { endpoints, cacert, cert, key, .. } = arguments;
    let has_tls = [cacert, cert, key].into_iter().any(Option::is_some);
    let url = match endpoints.contains("://") {
        true => endpoints.clone(),
        false if has_tls => format!("https://{endpoints}"),
        false => format!("http://{endpoints}"),
    };
    let options = TlsOptions {
        trusted_ca_file: cacert.clone(),
        client_cert_file: cert.clone(),
        client_key_file: key.clone(),
        ..TlsOptions::default()
    };
    let dialer = Dialer::new(Tls::open(options)?);
    let channel = dialer.connect(&url, DIAL_PATIENCE, |endpoint| endpoint).await;
    channel.map_err(|why| anyhow::anyhow!("cannot connect to {url}: {why}"))
}

fn refused(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
}

/// A token for `name:password`.
async fn log_in(channel: Channel, user: &str) -> anyhow::Result<String> {
    let (name, password) = user.split_once(':').context("--user is NAME:PASSWORD")?;
    let (name, password) = (name.to_owned(), password.to_owned());
    let request = AuthenticateRequest { name, password };
    let answer = AuthClient::new(channel).authenticate(request).await.map_err(refused)?;
    Ok(answer.into_inner().token)
}

/// Writes what the member sends; gives the version it named.
async fn fetch(channel: Channel, user: Option<&str>, part: &Path) -> anyhow::Result<String> {
    let mut request = Request::new(SnapshotRequest {});
    if let Some(user) = user {
        let token = log_in(channel.clone(), user).await?;
        request.metadata_mut().insert("token", token.parse()?);
    }
    let mut client = MaintenanceClient::new(channel);
    let mut stream = client.snapshot(request).await.map_err(refused)?.into_inner();
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)
        .with_context(|| format!("cannot create {}", part.display()))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let mut version = String::new();
    let failed = || format!("cannot write to {}", part.display());
    while let Some(chunk) = stream.message().await.map_err(refused)? {
        file.write_all(&chunk.blob).with_context(failed)?;
        version = chunk.version;
    }
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
    file.and_then(|file| file.sync_all()).with_context(failed)?;
    Ok(version)
}

fn sync_directory(file: &Path) -> anyhow::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .with_context(|| format!("cannot sync {}", directory.display()))
}
