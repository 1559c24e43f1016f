//! The worker processes, seen from their parent.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use wse_e2e::client::Auth;

use crate::cli::{Load, Target};
use crate::connection;
use crate::report::{Report, Seen};
use crate::worker::{self, Finish, Plan, Said};

/// Files that a worker needs beside its connections.
const SPARE_FILES: u64 = 100;

/// Workers that hold connections.
pub(crate) struct Crew {
    workers: Vec<Worker>,
    connections: usize,
    began: Instant,
    open_seconds: Option<f64>,
}

struct Worker {
    child: Child,
    orders: ChildStdin,
    words: Lines<BufReader<ChildStdout>>,
}

impl Crew {
    /// [`Crew::start`], then [`Crew::opened`], of connections that do not come back.
    ///
    /// # Errors
    /// As these two.
    pub(crate) async fn open(target: &Target, load: &Load) -> Result<Self, String> {
        let mut crew = Self::start(target, load, false).await?;
        crew.opened().await?;
        Ok(crew)
    }

    /// Tries one connection, then starts the workers. With `reconnect` theirs come back when they end.
    ///
    /// # Errors
    /// Why the gateway does not take clients, or a worker cannot be started.
    pub(crate) async fn start(
        target: &Target,
        load: &Load,
        reconnect: bool,
    ) -> Result<Self, String> {
        let limit = raise_file_limit()?;
        let dial = target.dial(&load.topics);
        match connection::connect(&dial, &load.topics).await {
            Ok(client) => client.close().await,
            Err(error) => return Err(hint(&error)),
        }
        let shares = shares(load.connections, load.workers, limit);
        let (began, began_us) = (Instant::now(), worker::now_us());
        let mut workers = Vec::with_capacity(shares.len());
        for (number, &connections) in shares.iter().enumerate() {
            let Auth::Cookie(token) = &dial.auth else {
                return Err("clients of a benchmark carry their token in the cookie".into());
            };
            let apart_us = if load.rate > 0.0 {
                1_000_000.0 / load.rate
            } else {
                0.0
            };
            let plan = Plan {
                url: dial.url.clone(),
                token: token.clone(),
                source: source(&target.host, number),
                connections,
                first_us: (apart_us * number as f64) as u64,
                every_us: (apart_us * shares.len() as f64) as u64,
                concurrency: load.concurrency.max(1),
                topics: load.topics.clone(),
                ping_seconds: load.ping_seconds,
                reconnect,
                began_us,
            };
            workers.push(Worker::start(&plan).await?);
        }
        Ok(Self {
            workers,
            connections: load.connections,
            began,
            open_seconds: None,
        })
    }

    /// Waits until every connection is open or has failed: how many are open.
    ///
    /// # Errors
    /// When a worker died.
    pub(crate) async fn opened(&mut self) -> Result<u64, String> {
        let mut opened = 0;
        for worker in &mut self.workers {
            match worker.hear().await? {
                Said::Opened(connections) => opened += connections,
                Said::Seen(_) => return Err("a worker ended before its time".into()),
            }
        }
        self.open_seconds = Some(self.began.elapsed().as_secs_f64());
        Ok(opened)
    }

    /// Gathers what the workers saw, once each connection has had so many messages or no more come.
    ///
    /// # Errors
    /// When a worker died.
    pub(crate) async fn finish(mut self, messages_each: u64) -> Result<Report, String> {
        let mut all = Seen::default();
        for worker in &mut self.workers {
            worker.say(&Finish { messages_each }).await?;
        }
        for worker in &mut self.workers {
            loop {
                match worker.hear().await? {
                    Said::Seen(seen) => break all.merge(&seen),
                    // It had its last one open just when it was asked to end.
                    Said::Opened(_) => {}
                }
            }
        }
        let elapsed = || self.began.elapsed().as_secs_f64();
        let report = Report {
            connections: self.connections as u64,
            open_seconds: self.open_seconds.unwrap_or_else(elapsed),
            seen: all,
            published: None,
        };
        self.dismiss().await;
        Ok(report)
    }

    /// Lets the workers go without asking what they saw.
    pub(crate) async fn dismiss(self) {
        for mut worker in self.workers {
            drop(worker.orders);
            // It ends when its orders do; how is of no interest any more.
            let _ = worker.child.wait().await;
        }
    }
}

impl Worker {
    async fn start(plan: &Plan) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start a worker: {error}");
        let me = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(me)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let orders = child.stdin.take().ok_or("a worker has no stdin")?;
        let words = child.stdout.take().ok_or("a worker has no stdout")?;
        let mut worker = Self {
            child,
            orders,
            words: BufReader::new(words).lines(),
        };
        worker.say(plan).await?;
        Ok(worker)
    }

    async fn say(&mut self, what: &impl serde::Serialize) -> Result<(), String> {
        let mut line = serde_json::to_vec(what).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let written = self.orders.write_all(&line).await;
        written.map_err(|error| format!("a worker does not listen: {error}"))
    }

    async fn hear(&mut self) -> Result<Said, String> {
        let line = self.words.next_line().await;
        match line.map_err(|error| error.to_string())? {
            Some(line) => serde_json::from_str(&line).map_err(|error| error.to_string()),
            None => Err("a worker died".into()),
        }
    }
}

/// Splits the connections evenly over as many workers as asked for, or as are needed.
fn shares(connections: usize, workers: usize, file_limit: u64) -> Vec<usize> {
    let most = usize::try_from(file_limit.saturating_sub(SPARE_FILES)).unwrap_or(usize::MAX);
    let needed = connections.div_ceil(most.max(1)).max(1);
    let workers = workers.max(needed);
    (0..workers)
        .map(|number| connections / workers + usize::from(number < connections % workers))
        .collect()
}

/// Towards a gateway on this machine every worker has addresses of its own (127/8 is all ours), of which
/// this is the first.
fn source(host: &str, worker: usize) -> Option<Ipv4Addr> {
    let host: Ipv4Addr = host.parse().ok()?;
    let worker = u8::try_from(worker + 1).ok()?;
    host.is_loopback().then(|| Ipv4Addr::new(127, 0, worker, 1))
}

fn raise_file_limit() -> Result<u64, String> {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, all)
        .map_err(|error| format!("cannot raise the limit of open files: {error}"))?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

fn hint(error: &wse_e2e::Error) -> String {
    match error {
        wse_e2e::Error::Refused { .. } => {
            format!(
                "{error}; does the gateway know --secret, --issuer and --audience, or is --token right?"
            )
        }
        wse_e2e::Error::Unreachable { .. } => {
            format!("{error}; is a gateway there (--host, --port)?")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_evenly_within_the_limit() {
        let cases: [(usize, usize, u64, &[usize]); 5] = [
            (10, 0, 20_000, &[10]),
            (10, 3, 20_000, &[4, 3, 3]),
            (39_800, 0, 20_000, &[19_900, 19_900]),
            (39_801, 0, 20_000, &[13_267, 13_267, 13_267]),
            (0, 0, 20_000, &[0]),
        ];
        for (connections, workers, limit, expected) in cases {
            assert_eq!(shares(connections, workers, limit), expected);
        }
    }
}
