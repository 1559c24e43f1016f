//! Goes through the rounds, in each of which every server has its turn. Who begins changes from round to
//! round.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::thread::available_parallelism;

use super::Arguments;
use super::catalogue::{GATEWAY, PEERS, Peer};
use super::figures::{Compared, Machine, Report, SCHEMA};
use super::install::{Installer, cache};
use super::output;
use super::pin::Pin;
use super::race::{Entrant, Race};
use super::work::Piece;
use crate::cli::Output;
use crate::crew::raise_file_limit;
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::output::{Paint, print};

/// Compares, and prints the table.
///
/// # Errors
/// When nobody can take part, or the processors cannot be shared.
pub(crate) async fn run(arguments: &Arguments, output: Output) -> Result<ExitCode, String> {
    if matches!(output, Output::Html) {
        return Err("peers are printed as text, markdown or json".into());
    }
    let chosen = choose(&arguments.peers)?;
    let interrupt = Interrupt::listen()?;
    let cache = cache(arguments.cache.as_deref())?;
    // Servers inherit it.
    raise_file_limit()?;
    let (mut entrants, mut skipped) = install(arguments, &chosen, &cache, &interrupt).await;
    // Those that a pin leaves are fewer.
    let machine = machine();
    let pin = Pin::new(arguments.server_cpu)?;
    let race = Race {
        arguments,
        pin,
        interrupt,
        cache,
    };
    for round in 0..arguments.rounds as usize {
        let first = round % entrants.len().max(1);
        for turn in 0..entrants.len() {
            let place = (first + turn) % entrants.len();
            let entrant = &mut entrants[place];
            if race.interrupt.has_come() || skipped.contains_key(entrant.peer.name) {
                continue;
            }
            if let Err(why) = race.turn(entrant).await {
                skipped.insert(entrant.peer.name, why);
            }
        }
    }
    entrants.retain(|it| !skipped.contains_key(it.peer.name));
    let has_come = race.interrupt.has_come();
    if entrants.is_empty() && !has_come {
        let why = skipped.iter().map(|(name, why)| format!("{name}: {why}"));
        return Err(why.collect::<Vec<_>>().join("; "));
    }
    let work = Piece::TOLD.into_iter().map(|piece| {
        let samples = entrants.iter_mut().filter_map(|entrant| {
            let samples = entrant.samples.remove(&piece)?;
            Some((entrant.peer.name, samples))
        });
        let samples = samples.collect();
        Compared::new(piece, piece.title(arguments), samples)
    });
    let report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        connections: arguments.connections,
        size_bytes: arguments.size,
        seconds: arguments.duration,
        rounds: arguments.rounds,
        machine,
        pinned: race.pin.is_some(),
        interrupted: has_come,
        work: work.filter(|it| !it.servers.is_empty()).collect(),
        servers: entrants.iter().map(|it| it.peer).collect(),
        skipped,
    };
    print(&match output {
        Output::Json => serde_json::to_string(&report).map_err(|error| error.to_string())? + "\n",
        Output::Markdown => output::markdown(&report),
        _ => output::text(&report, Paint::of_stdout()),
    })?;
    Ok(match has_come {
        true => ExitCode::from(INTERRUPTED),
        false => ExitCode::SUCCESS,
    })
}

/// Those that were named; all, if none was.
fn choose(names: &[String]) -> Result<Vec<Peer>, String> {
    let named = |name: &String| {
        let peer = PEERS.iter().find(|peer| peer.name == name);
        peer.copied().ok_or_else(|| {
            let all: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
            format!("there is no peer {name}; there are {}", all.join(", "))
        })
    };
    match names {
        [] => Ok(PEERS.to_vec()),
        names => names.iter().map(named).collect(),
    }
}

/// The gateway and those that are there, and why others are not.
async fn install(
    arguments: &Arguments,
    chosen: &[Peer],
    cache: &Path,
    interrupt: &Interrupt,
) -> (Vec<Entrant>, BTreeMap<&'static str, String>) {
    let installer = Installer {
        cache: cache.to_owned(),
        python: arguments.python.as_deref(),
    };
    let mut skipped = BTreeMap::new();
    let mut entrants = Vec::new();
    for &peer in [&GATEWAY].into_iter().chain(chosen) {
        let command = match peer.package {
            None => Ok(Vec::new()),
            Some(package) => {
                eprintln!("installing {} {}", peer.name, peer.version);
                let mut interrupt = interrupt.clone();
                tokio::select! {
                    command = installer.install(&peer, package) => command,
                    () = interrupt.come() => Err("it was not waited for".into()),
                }
            }
        };
        match command {
            Ok(command) => entrants.push(Entrant {
                peer,
                command,
                samples: BTreeMap::new(),
            }),
            Err(why) => {
                eprintln!("skipping {}: {why}", peer.name);
                skipped.insert(peer.name, why);
            }
        }
    }
    (entrants, skipped)
}

fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(':'));
    Machine {
        processor: model.map_or_else(String::new, |(_, name)| name.trim().to_owned()),
        cores: available_parallelism().map_or(1, NonZero::get),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
    }
}
