//! Runs the tests, one after the other.

use std::net::SocketAddr;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::sleep;

use super::Arguments;
use super::figures::{Figures, Report, SCHEMA};
use super::limit;
use super::output;
use super::test::Test;
use crate::cli::Output;
use crate::crew::knock;
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::output::{Paint, print};
use crate::server::Server;
use crate::target::Target;
use crate::threshold::{BEYOND, all_hold};

/// A server that closes a thousand connections is busy for a while.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// A run.
pub(super) struct Suite<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) target: &'a Target,
    pub(super) server: Server,
    pub(super) api: Option<SocketAddr>,
    pub(super) interrupt: Interrupt,
}

/// Runs what was asked for, and prints its report.
///
/// # Errors
/// Why the server cannot be measured.
pub(crate) async fn run(
    target: &Target,
    arguments: &Arguments,
    output: Output,
) -> Result<ExitCode, String> {
    let interrupt = Interrupt::listen()?;
    let has_second = arguments.port2.is_some();
    let tests = match arguments.tests.as_slice() {
        [] => Test::all(has_second),
        tests => tests.to_vec(),
    };
    if tests.contains(&Test::FanoutCluster) && !has_second {
        return Err("fanout-cluster needs --port2, the port of a second gateway".into());
    }
    let ports: Vec<u16> = [Some(target.port), arguments.port2]
        .into_iter()
        .flatten()
        .collect();
    knock(&target.doors(&ports, &[])?, &[]).await?;
    let others = ports.iter().map(|port| {
        let port = port.saturating_add(1_000);
        let port = arguments.metrics_port.unwrap_or(port);
        format!("http://{}:{port}/metrics", target.host)
    });
    let api = arguments.backend.address().await?;
    let suite = Suite {
        arguments,
        target,
        server: Server::find(&arguments.backend.metrics, others.collect()).await?,
        api,
        interrupt,
    };
    let mut rounds = Vec::new();
    let mut failure = None;
    for test in tests {
        if let Err(why) = suite.test(test, &mut rounds).await {
            failure = Some(format!("{}: {why}", test.name()));
        }
        if failure.is_some() || suite.interrupt.has_come() {
            break;
        }
    }
    // Hours of figures are not lost to a test that fails.
    let failure = match failure {
        Some(why) if rounds.is_empty() => return Err(why),
        failure => failure,
    };
    let report = suite.report(rounds);
    let printed = match output {
        Output::Html => output::html(&report)?,
        Output::Json => serde_json::to_string(&report).map_err(|error| error.to_string())? + "\n",
        Output::Markdown => output::markdown(&report),
        Output::Text => output::text(&report, Paint::of_stdout()),
    };
    print(&printed)?;
    failure.map_or_else(|| Ok(suite.code(&report)), Err)
}

impl Suite<'_> {
    /// Every tier of a test.
    async fn test(&self, test: Test, rounds: &mut Vec<Figures>) -> Result<(), String> {
        let tiers: Vec<usize> = match &self.arguments.tiers {
            Some(tiers) => tiers.iter().map(|&tier| tier as usize).collect(),
            None => test.tiers().to_vec(),
        };
        if test == Test::ConnectionLimit {
            return limit::search(self, &tiers, rounds).await;
        }
        for size in test.sizes(self.arguments.size) {
            for &tier in &tiers {
                let figures = match test {
                    Test::FanoutBroadcast | Test::FanoutCluster => self.fan_out(test, tier).await?,
                    _ => {
                        self.round(test, size, tier, self.work(test, size, tier))
                            .await?
                    }
                };
                let opened = figures.opened;
                rounds.push(figures);
                if self.interrupt.has_come() {
                    return Ok(());
                }
                let are_left = tiers.last() != Some(&tier);
                if are_left && (opened as usize) < tier / 2 {
                    let note = "less than half got in: larger tiers were left out";
                    let last = rounds.last_mut().expect("it was pushed");
                    last.notes.push(note.into());
                    break;
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// As many messages as are delivered, then half of that on a schedule; or on the schedule alone that
    /// the user wants.
    async fn fan_out(&self, test: Test, tier: usize) -> Result<Figures, String> {
        let size = self.api.map(|_| self.arguments.size);
        let seconds = self.arguments.duration as f64;
        let scheduled = self.arguments.messages_per_second;
        if self.api.is_none() || scheduled.is_some() {
            let work = self.fan(scheduled, seconds);
            let mut figures = self.round(test, size, tier, work).await?;
            if self.api.is_none() {
                let note = "the server published by itself: latency counts from the times it wrote";
                figures.notes.push(note.into());
            }
            return Ok(figures);
        }
        let fast = self
            .round(test, size, tier, self.fan(None, seconds / 2.0))
            .await?;
        let per_second = fast.published.unwrap_or_default() as f64 / fast.seconds.max(1e-6) / 2.0;
        if self.interrupt.has_come() || per_second < 1.0 {
            return Ok(fast);
        }
        let work = self.fan(Some(per_second), seconds / 2.0);
        let mut even = self.round(test, size, tier, work).await?;
        even.notes.push(format!(
            "latency at {per_second:.0} messages a second, half of what it took"
        ));
        Ok(fast.with_latency_of(even))
    }

    fn report(&self, rounds: Vec<Figures>) -> Report {
        let thresholds = self.arguments.fail_if.iter();
        let thresholds = thresholds.map(|it| it.judged(&rounds)).collect();
        let ports = [Some(self.target.port), self.arguments.port2];
        let ports: Vec<String> = ports.iter().flatten().map(u16::to_string).collect();
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            server: format!("{}:{}", self.target.host, ports.join(",")),
            cores: available_parallelism().map_or(1, NonZero::get),
            interrupted: self.interrupt.has_come(),
            rounds,
            thresholds,
        }
    }

    fn code(&self, report: &Report) -> ExitCode {
        let is_beyond = !all_hold(&report.thresholds);
        match (report.interrupted, is_beyond) {
            (true, _) => ExitCode::from(INTERRUPTED),
            (false, true) => ExitCode::from(BEYOND),
            (false, false) => ExitCode::SUCCESS,
        }
    }
}
