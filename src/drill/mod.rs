//! `etcd-tui drill`: lists, shows and runs drills, and writes their reports.
//!
//! Reads words, asks `playground::drill`, prints. Ctrl-C stops the drill that runs: it is rolled
//! back and reported, and the ones after it are not begun.

pub mod arguments;
mod print;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use arguments::{Command, Compare, Run, Show};
use playground::drill::{Drill, Progress, Report, Verdict, catalogue, mark, report, rollback, run};
use playground::spec::FleetSpec;
use playground::{Client, Home, PlaygroundError, launch};
use tokio::sync::watch;

use crate::output;

pub async fn dispatch(home: &Home, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(list) => {
            let drills = catalogue::all()?;
            output::print(&if list.json {
                print::list_json(&drills)?
            } else {
                print::list(&drills)
            })?;
        }
        Command::Show(arguments) => show(&arguments)?,
        Command::Run(arguments) => return run_all(home, arguments).await,
        Command::Rollback => return roll_back(home).await,
        Command::Compare(arguments) => compare(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &Show) -> anyhow::Result<()> {
    let (drill, text) = find(&arguments.drill)?;
    output::print(&if arguments.toml { text } else { print::drill(&drill) })?;
    Ok(())
}

/// A drill by its name, or a file.
fn find(name: &str) -> anyhow::Result<(Drill, String)> {
    if let Some(text) = catalogue::text(name) {
        return Ok((Drill::parse(&format!("{name}.toml"), text)?, text.to_string()));
    }
    if !name.ends_with(".toml") && !name.contains('/') {
        let why = format!(
            "there is no drill {name}: `etcd-tui drill list` shows them, and a file of your own \
             ends in .toml"
        );
        return Err(PlaygroundError::Usage(why).into());
    }
    let text = std::fs::read_to_string(name)
        .map_err(|error| PlaygroundError::Usage(format!("cannot read {name}: {error}")))?;
    let drill = Drill::parse(name, &text);
    Ok((drill.map_err(|error| PlaygroundError::Usage(error.to_string()))?, text))
}

async fn run_all(home: &Home, arguments: Run) -> anyhow::Result<ExitCode> {
    let drills: Vec<Drill> = match arguments.all {
        true => catalogue::all()?,
        false => {
            let found = arguments.drills.iter().map(|name| Ok(find(name)?.0));
            found.collect::<anyhow::Result<_>>()?
        }
    };
    let own = drills
        .iter()
        .find(|it| it.application.is_some_and(|own| Some(own) != arguments.application));
    // Of all drills those are skipped, and say so.
    if let (Some(drill), Some(_), false) = (own, arguments.application, arguments.all) {
        let why = format!("{} has an application of its own: leave out --application", drill.id);
        return Err(PlaygroundError::Usage(why).into());
    }
    let engine = arguments.engine.choice()?;
    if arguments.cluster.is_some() && engine != Default::default() {
        let why = "--engine, --etcd-bin and --node-bin are for a cluster of the drill's own: \
                   leave out --cluster";
        return Err(PlaygroundError::Usage(why.into()).into());
    }
    if let Some(name) = &arguments.cluster {
        FleetSpec::check_name(name)?;
    }
    if let Some(out) = &arguments.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    }
    let (tell, stop) = watch::channel(false);
    tokio::spawn(async move {
        stop_signal().await;
        // The drill that runs hears it; if none does, there is nothing to stop.
        let _ = tell.send(true);
        // A drill hears it once: what comes after must not undo the rollback.
        std::future::pending::<()>().await;
    });
    let mut reports = Vec::new();
    for drill in drills {
        let options = run::Options {
            home: home.clone(),
            program: std::env::current_exe()?,
            version: env!("CARGO_PKG_VERSION").to_string(),
            cluster: arguments.cluster.clone(),
            engine: engine.clone(),
            seed: arguments.seed,
            application: arguments.application,
            detours: Default::default(),
        };
        let report = one(options, drill, &stop, arguments.ci).await;
        if let Some(out) = &arguments.out {
            write(out, &report)?;
        }
        let interrupted = report.interrupted;
        reports.push(report);
        if interrupted {
            break;
        }
    }
    if arguments.ci {
        print::step_summary(&reports)?;
    }
    if reports.len() > 1 {
        output::print(&print::summary(&reports))?;
    }
    Ok(ExitCode::from(status(&reports)))
}

/// When somebody wants this program to end.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Runs one drill and tells how it goes.
async fn one(
    options: run::Options,
    drill: Drill,
    stop: &watch::Receiver<bool>,
    quiet: bool,
) -> Report {
    let (tell, mut heard) = watch::channel(Progress::default());
    if !quiet {
        eprintln!("drill {}: {}", drill.id, drill.hypothesis);
    }
    let running = run::run(options, drill, stop.clone(), &tell);
    tokio::pin!(running);
    let mut teller = print::Teller::default();
    let report = loop {
        tokio::select! {
            report = &mut running => break report,
            Ok(()) = heard.changed() => {
                let lines = teller.hear(&heard.borrow_and_update());
                if !quiet {
                    lines.iter().for_each(|line| eprintln!("{line}"));
                }
            }
        }
    };
    let text = if quiet { print::line(&report) } else { print::report(&report) };
    // Whoever closed our output wants no more; the cluster is already as it was.
    let _ = output::print(&text);
    report
}

/// One file a form.
fn write(out: &Path, report: &Report) -> anyhow::Result<()> {
    let files = [
        ("json", report.json()),
        ("md", report::markdown::render(report)),
        ("html", report::html::render(report)),
        ("junit.xml", report::junit::render(report)),
    ];
    for (ending, text) in files {
        let path = out.join(format!("{}.{ending}", report.drill));
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The worst of all; what is skipped counts only when nothing else was done.
fn status(reports: &[Report]) -> u8 {
    let any = |verdict: Verdict| reports.iter().any(|report| report.verdict == verdict);
    if reports.iter().any(|report| report.interrupted) {
        130
    } else if any(Verdict::Unsafe) {
        2
    } else if any(Verdict::Fail) {
        1
    } else if any(Verdict::Aborted) || any(Verdict::Unknown) {
        3
    } else if !any(Verdict::Pass) {
        4
    } else {
        0
    }
}

async fn roll_back(home: &Home) -> anyhow::Result<ExitCode> {
    let (cut_off, running) = mark::found(home);
    for mark in &running {
        output::print(&format!(
            "drill {} runs on cluster {}: it puts the cluster back itself\n",
            mark.drill, mark.cluster
        ))?;
    }
    if cut_off.is_empty() {
        output::print("no drill was cut off\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    for mark in cut_off {
        let name = &mark.cluster;
        let said = if mark.temporary {
            match launch::down(home, name, true, true).await {
                Ok(said) => said.join("; "),
                Err(PlaygroundError::UnknownCluster(_)) => "its cluster is gone".to_string(),
                Err(error) => return Err(error.into()),
            }
        } else {
            let client = match Client::connect(home, name).await {
                Err(PlaygroundError::NotRunning(_)) => {
                    let request = launch::UpRequest { name: name.clone(), ..Default::default() };
                    launch::up(home, &request, &std::env::current_exe()?, None).await?.client
                }
                client => client?,
            };
            let done = rollback::everything(&client, mark.nodes).await;
            done.map_err(PlaygroundError::Refused)?
        };
        mark::forget(home, name);
        output::print(&format!("drill {} on cluster {name} is rolled back: {said}\n", mark.drill))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(arguments: &Compare) -> anyhow::Result<()> {
    let paths = &arguments.reports;
    let are_folders = paths.iter().all(|path| path.is_dir());
    let text = if are_folders {
        let runs = paths.iter().map(|path| run_of(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let order: Vec<String> = catalogue::all()?.into_iter().map(|drill| drill.id).collect();
        report::overview::render(&runs, &order)
    } else if let [left, right] = paths.as_slice() {
        report::compare::render(&read_report(left)?, &read_report(right)?)
    } else {
        let why = "two reports are compared, or any number of folders that `drill run --out` wrote";
        return Err(PlaygroundError::Usage(why.into()).into());
    };
    output::print(&text)?;
    Ok(())
}

fn read_report(path: &Path) -> anyhow::Result<Report> {
    let wrong = |why: String| PlaygroundError::Usage(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let not_one = |error| wrong(format!("this is no report of a drill: {error}"));
    // The version first: another one may have other fields.
    let version: Versioned = serde_json::from_str(&text).map_err(not_one)?;
    if version.schema_version != report::SCHEMA_VERSION {
        let (found, known) = (version.schema_version, report::SCHEMA_VERSION);
        let why = format!(
            "the report has schema version {found}, and this program reads {known}: run the drill \
             again"
        );
        return Err(wrong(why).into());
    }
    serde_json::from_str(&text).map_err(|error| not_one(error).into())
}

/// What every version of a report has.
#[derive(serde::Deserialize)]
struct Versioned {
    schema_version: u32,
}

/// All reports of a folder, under its name.
fn run_of(folder: &Path) -> anyhow::Result<report::overview::Run> {
    let shown = || folder.display().to_string();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", shown()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    if paths.is_empty() {
        let why = format!("{} holds no reports: `drill run --out` writes them", shown());
        return Err(PlaygroundError::Usage(why).into());
    }
    let reports = paths.iter().map(|path| read_report(path)).collect::<anyhow::Result<_>>()?;
    let name = folder.file_name().map_or_else(shown, |name| name.to_string_lossy().into_owned());
    Ok(report::overview::Run { name, reports })
}
