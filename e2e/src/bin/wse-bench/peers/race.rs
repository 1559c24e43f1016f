//! One server's turn: it is started, does all the work, and ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::Arguments;
use super::catalogue::Peer;
use super::figures::Sample;
use super::pin::Pin;
use super::running::Running;
use super::work::Piece;
use crate::crew::Crew;
use crate::interrupt::Interrupt;
use crate::progress::Bar;
use crate::round::Conductor;
use crate::server::Server;

/// Servers are asked for their memory when they have been left alone for so long.
const REST: Duration = Duration::from_millis(500);

/// A server that takes part, and what starts it; nothing for the gateway.
pub(super) struct Entrant {
    pub(super) peer: Peer,
    pub(super) command: Vec<PathBuf>,
    pub(super) samples: BTreeMap<Piece, Vec<Sample>>,
}

/// What all turns have in common.
pub(super) struct Race<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) pin: Option<Pin>,
    pub(super) interrupt: Interrupt,
    pub(super) cache: PathBuf,
}

impl Race<'_> {
    /// One server does all the work.
    pub(super) async fn turn(&self, entrant: &mut Entrant) -> Result<(), String> {
        let server = self.start(entrant).await?;
        for piece in Piece::ORDER {
            let sample = match piece {
                Piece::Idle => self.idle(&entrant.peer, &server).await,
                _ => self.work(&entrant.peer, &server, piece).await,
            };
            let sample = sample.map_err(|why| format!("{}: {why}", piece.title(self.arguments)))?;
            if self.interrupt.has_come() {
                break;
            }
            entrant.samples.entry(piece).or_default().push(sample);
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
