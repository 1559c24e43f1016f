//! Goes through the rounds: in each, every server is started, does all the work, and ends. Who begins
//! changes from round to round.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::sleep;

use super::Arguments;
use super::catalogue::{GATEWAY, PEERS, Peer};
use super::figures::{Compared, Machine, Report, SCHEMA, Sample};
use super::install::{Installer, cache};
use super::output;
use super::pin::Pin;
use super::running::Running;
use super::work::Piece;
use crate::cli::Output;
use crate::crew::Crew;
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::output::{Paint, print};
use crate::progress::Bar;
use crate::round::Conductor;
use crate::server::Server;

/// Servers are asked for their memory when they have been left alone for so long.
const REST: Duration = Duration::from_millis(500);

/// A server that takes part, and what starts it; nothing for the gateway.
struct Entrant {
    peer: Peer,
    command: Vec<PathBuf>,
    samples: BTreeMap<usize, Vec<Sample>>,
}

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
    let (mut entrants, mut skipped) = install(arguments, &chosen, &cache);
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
            if skipped.contains_key(entrant.peer.name) {
                continue;
            }
            if let Err(why) = race.turn(entrant).await {
                skipped.insert(entrant.peer.name, why);
            }
            if race.interrupt.has_come() {
                break;
            }
        }
    }
    entrants.retain(|it| !skipped.contains_key(it.peer.name));
    let has_come = race.interrupt.has_come();
    if entrants.is_empty() && !has_come {
        let why = skipped.iter().map(|(name, why)| format!("{name}: {why}"));
        return Err(why.collect::<Vec<_>>().join("; "));
    }
    let work = Piece::ALL.iter().enumerate().map(|(number, &piece)| {
        let samples = entrants.iter_mut().filter_map(|entrant| {
            let samples = entrant.samples.remove(&number)?;
            Some((entrant.peer.name, samples))
        });
        let samples = samples.collect();
        Compared::new(piece, piece.title(arguments), samples)
    });
    let report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        machine: machine(),
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
fn install(
    arguments: &Arguments,
    chosen: &[Peer],
    cache: &std::path::Path,
) -> (Vec<Entrant>, BTreeMap<&'static str, String>) {
    let installer = Installer {
        cache: cache.to_owned(),
        python: arguments.python.as_deref(),
    };
    let mut skipped = BTreeMap::new();
    let mut entrants = Vec::new();
    for &peer in [&GATEWAY].into_iter().chain(chosen) {
        let command = peer.package.map_or(Ok(Vec::new()), |package| {
            eprintln!("installing {} {}", peer.name, peer.version);
            installer.install(&peer, package)
        });
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

/// What all turns have in common.
struct Race<'a> {
    arguments: &'a Arguments,
    pin: Option<Pin>,
    interrupt: Interrupt,
    cache: PathBuf,
}

impl Race<'_> {
    /// One server does all the work.
    async fn turn(&self, entrant: &mut Entrant) -> Result<(), String> {
        let server = self.start(entrant).await?;
        for (number, piece) in Piece::ALL.into_iter().enumerate() {
            let sample = match piece {
                Piece::Idle => self.idle(&entrant.peer, &server).await,
                _ => self.work(&entrant.peer, &server, piece).await,
            };
            let sample = sample.map_err(|why| format!("{}: {why}", piece.title(self.arguments)))?;
            if self.interrupt.has_come() {
                break;
            }
            entrant.samples.entry(number).or_default().push(sample);
        }
        Ok(())
    }

    async fn start(&self, entrant: &Entrant) -> Result<Running, String> {
        if let Some(pin) = &self.pin {
            pin.server()?;
        }
        let started = match entrant.peer.package {
            None => Running::gateway().await,
            Some(_) => {
                let log = self.cache.join(format!("{}.log", entrant.peer.name));
                Running::adapter(&entrant.command, &log).await
            }
        };
        if let Some(pin) = &self.pin {
            pin.clients()?;
        }
        started
    }

    async fn work(&self, peer: &Peer, server: &Running, piece: Piece) -> Result<Sample, String> {
        let job = piece.job(peer, server, self.arguments);
        let bar = self.bar(peer, piece, job.connections);
        let conductor = Conductor {
            server: &Server::of_process(server.pid),
            interrupt: &self.interrupt,
        };
        let seconds = self.arguments.duration as f64;
        let (report, did) = conductor.round(&job, seconds, &bar).await?;
        Ok(Sample::of_work(report, did.as_deref()))
    }

    /// How much more memory it has with connections than without.
    async fn idle(&self, peer: &Peer, server: &Running) -> Result<Sample, String> {
        let job = Piece::Idle.job(peer, server, self.arguments);
        let bar = self.bar(peer, Piece::Idle, job.connections);
        let memory = || wse_e2e::process::memory_bytes(server.pid, "VmRSS");
        let failed = |error: wse_e2e::Error| error.to_string();
        sleep(REST).await;
        let before = memory().map_err(failed)?;
        let mut crew = Crew::start(&job).await?.watched(bar.watch());
        let mut interrupt = self.interrupt.clone();
        let opened = tokio::select! {
            opened = crew.opened() => opened?,
            () = interrupt.come() => 0,
        };
        sleep(REST).await;
        let after = memory().map_err(failed)?;
        let report = crew.finish(0).await?;
        bar.end();
        Ok(Sample {
            memory_bytes: (opened > 0).then(|| after.saturating_sub(before) as f64 / opened as f64),
            failures: report.seen.failures,
            ..Sample::default()
        })
    }

    fn bar(&self, peer: &Peer, piece: Piece, connections: usize) -> Bar {
        let seconds = match piece {
            Piece::Idle => 0.0,
            _ => self.arguments.duration as f64,
        };
        Bar::new(peer.name, piece.unit(), connections, seconds)
    }
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
