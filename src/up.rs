//! `up` and `attach`: bring a cluster up, then show it.

use std::process::ExitCode;

use playground::{
    Client, FleetView, Home,
    launch::{self, UpOutcome, UpRequest},
    spec::FleetSpec,
};

use crate::{backup, cli, output, screen};

pub async fn up(home: &Home, arguments: cli::Up) -> anyhow::Result<ExitCode> {
    let frame = screen::Frame::parse(arguments.snapshot.snapshot.as_deref())?;
    let request = UpRequest {
        name: arguments.name,
        nodes: arguments.nodes,
        base_port: arguments.base_port,
        ephemeral: arguments.ephemeral,
        settings: arguments.settings.settings(),
        engine: arguments.engine.choice()?,
    };
    let program = std::env::current_exe()?;
    let seed = arguments.from_snapshot.as_deref().map(backup::seed);
    let seed = seed.as_ref().map(|seed| seed as launch::Seed);
    let up = launch::up(home, &request, &program, seed).await?;
    for remark in &up.remarks {
        eprintln!("etcd-tui: {remark}");
    }
    if let Some(frame) = frame {
        if up.outcome != UpOutcome::Attached {
            launch::wait_ready(&up.client).await?;
        }
        return screen::snapshot(up.client, frame, None).await;
    }
    if arguments.detach || !screen::has_terminal() {
        return report(&up).await;
    }
    if up.outcome != UpOutcome::Attached {
        eprintln!("starting cluster {}…", request.name);
        // A node that does not come up is shown with its reason on the screen.
        let _ = launch::wait_ready(&up.client).await;
    }
    screen::open_local(home, up.client, None).await
}

pub async fn attach(home: &Home, arguments: cli::Attach) -> anyhow::Result<ExitCode> {
    let frame = screen::Frame::parse(arguments.snapshot.snapshot.as_deref())?;
    FleetSpec::check_name(&arguments.name)?;
    let client = Client::connect(home, &arguments.name).await?;
    match frame {
        Some(frame) => screen::snapshot(client, frame, None).await,
        None => screen::open_local(home, client, None).await,
    }
}

/// Without a terminal UI: waits until every node is ready, and says what there is now.
async fn report(up: &launch::Up) -> anyhow::Result<ExitCode> {
    let view = match up.outcome {
        // Nodes that were killed on purpose do not make `up` fail.
        UpOutcome::Attached => up.client.view().await?,
        UpOutcome::Created | UpOutcome::Restarted => launch::wait_ready(&up.client).await?,
    };
    let what = match up.outcome {
        UpOutcome::Created => "is up",
        UpOutcome::Restarted => "is up again",
        UpOutcome::Attached => "runs already",
    };
    output::print(&summary(&view, what))?;
    Ok(ExitCode::SUCCESS)
}

fn summary(view: &FleetView, what: &str) -> String {
    let name = if view.cluster == launch::NAME_DEFAULT {
        String::new()
    } else {
        format!(" {}", view.cluster)
    };
    format!(
        "cluster {} {what}: {} ({})\n{}\n  eval \"$(etcd-tui env{name})\"   etcdctl talks to it\n  \
         etcd-tui attach{name}          terminal UI\n  etcd-tui down{name}            stop it\n",
        view.cluster,
        view.health.word(),
        view.explain(),
        crate::verbs::nodes_table(view),
    )
}
