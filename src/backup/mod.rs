//! `snapshot save|status|restore|export`: backups in etcd's own format, both ways.
//!
//! Reads words, asks `node::backup`, prints. Under the name `etcdutl` (a symlink) the program
//! takes etcdutl's words for what it can do of them.

pub mod arguments;
pub mod etcdutl;
mod print;
mod save;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use arguments::{Command, Export, FileCommand, Restore, Status};
use node::backup::{self, Restored, file::Hash};
use node::founders::Founders;
use playground::dirs::ClusterDirs;
use playground::spec::FleetSpec;
use playground::{Engine, PlaygroundError};

use crate::flags::{self, NodeOptions, Request};
use crate::output;

/// Runs a command of `etcd-tui snapshot`.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Save(arguments) => save::save(&arguments).await?,
        Command::File(command) => file(&command)?,
        Command::Export(arguments) => export(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command on a file.
fn file(command: &FileCommand) -> anyhow::Result<()> {
    match command {
        FileCommand::Status(arguments) => status(arguments),
        FileCommand::Restore(arguments) => {
            let (data_dir, restored) = restore(arguments)?;
            output::print(&format!(
                "restored {} records, revision {}, to {} as member {:x} of cluster {:x}\n",
                restored.records,
                restored.revision,
                data_dir.display(),
                restored.member_id,
                restored.cluster_id,
            ))?;
            Ok(())
        }
    }
}

fn status(arguments: &Status) -> anyhow::Result<()> {
    let status = backup::status(&arguments.file)?;
    output::print(&print::status(&status, arguments.write_out))?;
    Ok(())
}

/// Where to, and what came of it.
fn restore(arguments: &Restore) -> anyhow::Result<(PathBuf, Restored)> {
    if (arguments.bump_revision > 0) != arguments.mark_compacted {
        bail!("--mark-compacted required if --revision-bump > 0");
    }
    let member = member(arguments)?;
    let data_dir = match &arguments.data_dir {
        Some(data_dir) => data_dir.clone(),
        None => format!("{}.etcd", arguments.name).into(),
    };
    let restored = backup::restore(&backup::RestoreOptions {
        file: arguments.file.clone(),
        hash: if arguments.skip_hash_check { Hash::Ignore } else { Hash::Check },
        data_dir: data_dir.clone(),
        wal_dir: arguments.wal_dir.clone(),
        name: arguments.name.clone(),
        cluster: member
            .clustering
            .initial_cluster
            .iter()
            .map(|(name, urls)| (name.clone(), urls.iter().map(ToString::to_string).collect()))
            .collect(),
        token: member.clustering.token,
        bump_revision: arguments.bump_revision,
    })?;
    Ok((data_dir, restored))
}

/// Restores every node of a cluster of the playground from a file.
pub fn seed(file: &Path) -> impl Fn(&FleetSpec, &ClusterDirs) -> Result<(), PlaygroundError> {
    move |spec, dirs| {
        if spec.engine != Engine::Builtin {
            return Err(PlaygroundError::Refused(
                "--from-snapshot is for the builtin engine: put the data into a cluster of that, \
                 or restore a member of etcd with `etcdutl snapshot restore`"
                    .to_owned(),
            ));
        }
        let members = spec.nodes.iter().map(|node| (node.name.clone(), vec![node.peer_url()]));
        let members: Vec<_> = members.collect();
        for node in &spec.nodes {
            let restored = backup::restore(&backup::RestoreOptions {
                file: file.to_owned(),
                hash: Hash::Check,
                data_dir: dirs.data(&node.name),
                wal_dir: None,
                name: node.name.clone(),
                cluster: members.clone(),
                token: spec.token.clone(),
                bump_revision: 0,
            });
            restored.map_err(|error| {
                PlaygroundError::Refused(format!("{}: {error}", file.display()))
            })?;
        }
        Ok(())
    }
}

/// The member that is to be, with the checks that a node makes of the same flags.
fn member(arguments: &Restore) -> anyhow::Result<NodeOptions> {
    let words = [
        ("name", &arguments.name),
        ("initial-cluster", &arguments.initial_cluster),
        ("initial-cluster-token", &arguments.initial_cluster_token),
        ("initial-advertise-peer-urls", &arguments.initial_advertise_peer_urls),
    ];
    let words = words.map(|(flag, value)| format!("--{flag}={value}"));
    let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    match flags::parse(&words, [], no_file)? {
        Request::Run(options) => {
            let texts = |urls: &[flags::HttpUrl]| urls.iter().map(ToString::to_string).collect();
            let advertised: Vec<String> = texts(&options.listen.advertise_peer);
            let listed = &options.clustering.initial_cluster;
            let cluster: Vec<(String, Vec<String>)> =
                listed.iter().map(|(name, urls)| (name.clone(), texts(urls))).collect();
            let name = &options.member.name;
            Founders { name, advertised: &advertised, cluster: &cluster }.check_words()?;
            Ok(*options)
        }
        Request::Help | Request::Version => bail!("the flags of the member cannot be read"),
    }
}

fn export(arguments: &Export) -> anyhow::Result<()> {
    let arguments::ExportFormat::Etcd = arguments.format;
    let wal_dir = arguments.wal_dir.as_deref();
    let exported = backup::export_member(&arguments.data_dir, wal_dir, &arguments.file)
        .with_context(|| format!("cannot export {}", arguments.data_dir.display()))?;
    output::print(&format!(
        "exported revision {} to {}, {} bytes\n",
        exported.revision,
        arguments.file.display(),
        exported.size,
    ))?;
    Ok(())
}
