//! Runs the tests, one after the other.

use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::sleep;

use super::Arguments;
use super::figures::{Figures, Judged, Report, SCHEMA};
use super::interrupt::Interrupt;
use super::limit;
use super::output;
use super::progress::Bar;
use super::server::Server;
use super::test::Test;
use super::threshold::Verdict;
use crate::cli::Output;
use crate::connection::CHANGED;
use crate::crew::{Crew, Job, knock};
use crate::target::Target;
use crate::worker::plan::{Ask, Fan, Publisher, Turns, Work};

/// Exit codes, which the help tells.
const BEYOND: u8 = 3;
pub(super) const INTERRUPTED: u8 = 130;

/// Questions of each connection in a round, as WSE's own client has them, and questions a second of all:
/// the generator has to keep up.
const QUESTIONS: f64 = 50.0;
const QUESTIONS_PER_SECOND: f64 = 10_000.0;
/// Of the size matrix, as WSE's own client has it.
const BURST_SECONDS: f64 = 5.0;
/// Of sustained-hold, at the least, and between its pings.
const HOLD_SECONDS: u64 = 30;
const PING_SECONDS: u64 = 5;
/// That connections have to stay when the limit is looked for, as WSE's own client has it.
const LIMIT_SECONDS: f64 = 3.0;
/// What came before a receiver was ready is not counted, when somebody else publishes.
const WARM_SECONDS: f64 = 2.0;
/// A server that closes a thousand connections is busy for a while.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// A run.
pub(super) struct Suite<'a> {
    pub(super) arguments: &'a Arguments,
    target: &'a Target,
    server: Server,
    api: Option<SocketAddr>,
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
    knock(&target.doors(&ports, &[]), &[]).await?;
    let port = arguments
        .metrics_port
        .unwrap_or_else(|| target.port.saturating_add(1_000));
    let other = format!("http://{}:{port}/metrics", target.host);
    let suite = Suite {
        arguments,
        target,
        server: Server::find(&arguments.metrics, other).await?,
        api: arguments.api.as_deref().map(resolve).transpose()?,
        interrupt,
    };
    let mut rounds = Vec::new();
    for test in tests {
        let outcome = suite.test(test, &mut rounds).await;
        if let Err(why) = outcome {
            // Hours of figures are not lost to one that fails.
            if rounds.is_empty() {
                return Err(why);
            }
            eprintln!("wse-bench: {}: {why}", test.name());
            break;
        }
        if suite.interrupt.has_come() {
            break;
        }
    }
    let report = suite.report(rounds);
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let printed = match output {
        Output::Html => output::html(&report)?,
        Output::Json => serde_json::to_string(&report).map_err(|error| error.to_string())? + "\n",
        Output::Markdown => output::markdown(&report),
        Output::Text => output::text(&report, colour),
    };
    let mut stdout = std::io::stdout();
    let written = stdout
        .write_all(printed.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| format!("cannot print the report: {error}"))?;
    Ok(suite.code(&report))
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
                if (opened as usize) < tier / 2 {
                    let note = "less than half got in: larger tiers were left out";
                    rounds
                        .iter_mut()
                        .next_back()
                        .expect("it was pushed")
                        .notes
                        .push(note.into());
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
        let size = Some(self.arguments.size);
        let seconds = self.arguments.duration as f64;
        let scheduled = self.arguments.messages_per_second;
        if self.api.is_none() || scheduled.is_some() {
            let work = self.fan(scheduled, seconds);
            return self.round(test, size, tier, work).await;
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

    /// One crew, from its first connection to its last.
    pub(super) async fn round(
        &self,
        test: Test,
        size: Option<usize>,
        tier: usize,
        work: Work,
    ) -> Result<Figures, String> {
        let job = self.job(test, tier, work);
        let mut interrupt = self.interrupt.clone();
        let bar = Bar::new(test, tier, self.seconds(test, &job.work));
        let mut before = self.server.read().await;
        let mut crew = Crew::start(&job).await?.watched(bar.watch());
        let mut each = 0;
        let opened = tokio::select! {
            opened = crew.opened() => Some(opened?),
            () = interrupt.come() => None,
        };
        if opened.is_some() {
            // Handshakes are the work of those that hold; they are not that of the others.
            if !matches!(job.work, Work::Hold { .. } | Work::Reconnect) {
                before = self.server.read().await;
            }
            bar.begin();
            tokio::select! {
                done = self.wait(&mut crew, test, &job.work) => each = done?,
                () = interrupt.come() => {}
            }
        }
        let report = crew.finish(each).await?;
        bar.end();
        let did = self.server.did_since(before).await;
        Ok(Figures::new(test, size, report, did))
    }

    /// Waits until the work is done: how many messages each connection should have had.
    async fn wait(&self, crew: &mut Crew, test: Test, work: &Work) -> Result<u64, String> {
        let time = Duration::from_secs_f64(self.seconds(test, work));
        match work {
            Work::Hold { .. } => {
                tokio::select! {
                    failed = crew.attend() => failed?,
                    () = sleep(time) => {}
                }
                Ok(0)
            }
            Work::Turns(_) | Work::Reconnect | Work::Flood { .. } => {
                crew.begin().await?;
                crew.done().await.map(|()| 0)
            }
            Work::Fan(fan) => {
                crew.begin().await?;
                if fan.publisher.is_some() {
                    return crew.published().await;
                }
                tokio::select! {
                    failed = crew.attend() => failed?,
                    () = sleep(time) => {}
                }
                Ok(0)
            }
        }
    }

    /// How long the work should take. 0: not known.
    fn seconds(&self, test: Test, work: &Work) -> f64 {
        match work {
            Work::Hold { .. } => match test {
                Test::SustainedHold => self.arguments.duration.max(HOLD_SECONDS) as f64,
                Test::ConnectionLimit => LIMIT_SECONDS,
                _ => 0.0,
            },
            Work::Reconnect => 0.0,
            Work::Turns(turns) => (turns.every() * turns.each).as_secs_f64(),
            Work::Flood { seconds, .. } => *seconds,
            Work::Fan(fan) => match &fan.publisher {
                Some(publisher) => publisher.seconds,
                None => fan.warm_seconds + self.arguments.duration as f64,
            },
        }
    }

    pub(super) fn work(&self, test: Test, size: Option<usize>, tier: usize) -> Work {
        let seconds = self.arguments.duration as f64;
        let bytes = size.unwrap_or(self.arguments.size);
        let turns = |ask| {
            let apart = (seconds / QUESTIONS).max(tier as f64 / QUESTIONS_PER_SECOND);
            Work::Turns(Turns {
                ask,
                each: (seconds / apart).ceil().max(1.0) as u32,
                every_us: (apart * 1e6) as u64,
            })
        };
        match test {
            Test::ConnectionStorm | Test::ConnectionLimit => Work::Hold {
                ping_seconds: 0,
                reconnect: false,
            },
            Test::SustainedHold => Work::Hold {
                ping_seconds: PING_SECONDS,
                reconnect: false,
            },
            Test::PingLatency => turns(Ask::Ping),
            Test::SubscriptionChurn => turns(Ask::Change),
            Test::ReconnectStorm => Work::Reconnect,
            Test::Throughput => Work::Flood { bytes, seconds },
            Test::SizeMatrix => Work::Flood {
                bytes,
                seconds: seconds.min(BURST_SECONDS),
            },
            Test::FanoutBroadcast | Test::FanoutCluster => self.fan(None, seconds),
        }
    }

    fn fan(&self, per_second: Option<f64>, seconds: f64) -> Work {
        let key = self.arguments.api_key.clone().unwrap_or_default();
        let publisher = self.api.map(|address| Publisher {
            address,
            key,
            per_second,
            seconds,
            bytes: self.arguments.size,
        });
        Work::Fan(Fan {
            warm_seconds: if publisher.is_some() {
                0.0
            } else {
                WARM_SECONDS
            },
            has_schedule: publisher.is_none() || per_second.is_some(),
            publisher,
        })
    }

    fn job(&self, test: Test, tier: usize, work: Work) -> Job {
        let mut ports = vec![self.target.port];
        ports.extend(self.arguments.port2.filter(|_| test == Test::FanoutCluster));
        let topic = self.arguments.topic.as_str();
        let publishes = matches!(&work, Work::Fan(fan) if fan.publisher.is_some());
        Job {
            doors: self.target.doors(&ports, &[topic, &format!("{CHANGED}*")]),
            connections: tier,
            workers: self.arguments.workers,
            rate: None,
            at_once: true,
            concurrency: self.arguments.batch_size,
            topics: if publishes {
                vec![topic.to_owned()]
            } else {
                Vec::new()
            },
            work,
        }
    }

    fn report(&self, rounds: Vec<Figures>) -> Report {
        let judged = self.arguments.fail_if.iter().map(|threshold| {
            let (failed, why) = match threshold.judge(&rounds) {
                Verdict::Holds => (Some(false), String::new()),
                Verdict::Fails(why) => (Some(true), why),
                Verdict::Unknown => (None, "no such figure was told".to_owned()),
            };
            Judged {
                threshold: threshold.text().to_owned(),
                failed,
                why,
            }
        });
        let thresholds = judged.collect();
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
        for judged in &report.thresholds {
            if judged.failed != Some(false) {
                eprintln!("wse-bench: --fail-if {}: {}", judged.threshold, judged.why);
            }
        }
        let is_beyond = report.thresholds.iter().any(|it| it.failed != Some(false));
        match (report.interrupted, is_beyond) {
            (true, _) => ExitCode::from(INTERRUPTED),
            (false, true) => ExitCode::from(BEYOND),
            (false, false) => ExitCode::SUCCESS,
        }
    }
}

/// The address of `http://HOST:PORT`.
fn resolve(api: &str) -> Result<SocketAddr, String> {
    let bad = |why: String| format!("--api {api}: {why}");
    let host = api
        .strip_prefix("http://")
        .unwrap_or(api)
        .trim_end_matches('/');
    let mut found = host
        .to_socket_addrs()
        .map_err(|error| bad(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| bad("the name has no address".into()))
}
