//! The worker processes, seen from their parent.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Instant;

use hyper::Uri;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wse_e2e::client::{Auth, Dial};

use crate::connection;
use crate::report::{Report, Seen};
use crate::worker::now_us;
use crate::worker::plan::{Arrival, Order, Plan, Progress, Said, Work};

/// Files that a worker needs beside its connections.
const SPARE_FILES: u64 = 100;

/// What a crew does.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Ways in, taken in turn; who connects is the same for all.
    pub(crate) doors: Vec<Dial>,
    pub(crate) connections: usize,
    /// Worker processes. 0: as few as their open-file limit allows.
    pub(crate) workers: usize,
    /// Connections a second, on a fixed schedule. None: see `at_once`.
    pub(crate) rate: Option<f64>,
    /// Whether all are due at the first moment; else each whenever another may be under way.
    pub(crate) at_once: bool,
    /// Handshakes under way at once in each worker.
    pub(crate) concurrency: usize,
    pub(crate) topics: Vec<String>,
    pub(crate) work: Work,
}

/// Workers that hold connections.
pub(crate) struct Crew {
    workers: Vec<Worker>,
    said: UnboundedReceiver<(usize, Result<Said, String>)>,
    connections: usize,
    began: Instant,
    open_seconds: Option<f64>,
    opened: u64,
    published: Option<u64>,
    watch: Box<dyn Fn(&Progress) + Send>,
}

struct Worker {
    child: Child,
    orders: ChildStdin,
    progress: Progress,
    has_opened: bool,
    seen: Option<Seen>,
}

/// Tries whether the server takes a client at every door.
///
/// # Errors
/// Why it does not.
pub(crate) async fn knock(doors: &[Dial], topics: &[String]) -> Result<(), String> {
    for door in doors {
        match connection::connect(door, topics).await {
            Ok(client) => client.close().await,
            Err(error) => return Err(hint(&error)),
        }
    }
    Ok(())
}

impl Crew {
    /// Starts the workers.
    ///
    /// # Errors
    /// When a worker cannot be started.
    pub(crate) async fn start(job: &Job) -> Result<Self, String> {
        let limit = raise_file_limit()?;
        let shares = shares(job.connections, job.workers, limit);
        let (tell, said) = unbounded_channel();
        let mut workers = Vec::with_capacity(shares.len());
        let (began, began_us) = (Instant::now(), now_us());
        for (number, &connections) in shares.iter().enumerate() {
            let plan = job.plan(number, shares.len(), connections, began_us)?;
            workers.push(Worker::start(number, &plan, tell.clone()).await?);
        }
        Ok(Self {
            workers,
            said,
            connections: job.connections,
            began,
            open_seconds: None,
            opened: 0,
            published: None,
            watch: Box::new(|_| {}),
        })
    }

    /// Has somebody look at how far it is.
    pub(crate) fn watched(mut self, watch: impl Fn(&Progress) + Send + 'static) -> Self {
        self.watch = Box::new(watch);
        self
    }

    /// Waits until every connection is open or has failed: how many are open. Can be cancelled.
    ///
    /// # Errors
    /// When a worker died.
    pub(crate) async fn opened(&mut self) -> Result<u64, String> {
        while self.workers.iter().any(|worker| !worker.has_opened) {
            self.hear().await?;
        }
        self.open_seconds = Some(self.began.elapsed().as_secs_f64());
        Ok(self.opened)
    }

    /// The work begins.
    ///
    /// # Errors
    /// When a worker died.
    pub(crate) async fn begin(&mut self) -> Result<(), String> {
        for worker in &mut self.workers {
            worker.say(&Order::Begin).await?;
        }
        Ok(())
    }

    /// Waits until all workers are done. Can be cancelled.
    ///
    /// # Errors
    /// When a worker died.
    pub(crate) async fn done(&mut self) -> Result<(), String> {
        while self.workers.iter().any(|worker| worker.seen.is_none()) {
            self.hear().await?;
        }
        Ok(())
    }

    /// Waits until all was published that was to be: so many messages. Can be cancelled.
    ///
    /// # Errors
    /// When a worker died.
    pub(crate) async fn published(&mut self) -> Result<u64, String> {
        loop {
            if let Some(messages) = self.published {
                return Ok(messages);
            }
            self.hear().await?;
        }
    }

    /// Passes on how far the workers are until this is cancelled.
    ///
    /// # Errors
    /// When a worker died.
    pub(crate) async fn attend(&mut self) -> Result<(), String> {
        loop {
            self.hear().await?;
        }
    }

    /// Gathers what the workers saw, once each connection has had so many messages or no more come.
    ///
    /// # Errors
    /// When a worker died.
    pub(crate) async fn finish(mut self, messages_each: u64) -> Result<Report, String> {
        for worker in &mut self.workers {
            if worker.seen.is_none() {
                // One that has just ended by itself does not listen, and has said what it saw.
                let _ = worker.say(&Order::Finish { messages_each }).await;
            }
        }
        self.done().await?;
        let mut all = Seen::default();
        for worker in &self.workers {
            all.merge(worker.seen.as_ref().expect("all are done"));
        }
        let elapsed = || self.began.elapsed().as_secs_f64();
        let report = Report {
            connections: self.connections as u64,
            open_seconds: self.open_seconds.unwrap_or_else(elapsed),
            seconds: elapsed(),
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

    /// Takes in what one of them says next.
    async fn hear(&mut self) -> Result<(), String> {
        let Some((number, said)) = self.said.recv().await else {
            return Err("the workers died".into());
        };
        let worker = &mut self.workers[number];
        match said? {
            Said::Opened(connections) => {
                worker.has_opened = true;
                self.opened += connections;
            }
            Said::Progress(progress) => {
                worker.progress = progress;
                let mut all = Progress::default();
                for worker in &self.workers {
                    all.merge(&worker.progress);
                }
                (self.watch)(&all);
            }
            Said::Published(messages) => self.published = Some(messages),
            Said::Failed(why) => return Err(why),
            Said::Seen(seen) => (worker.seen, worker.has_opened) = (Some(*seen), true),
        }
        Ok(())
    }
}

impl Job {
    fn plan(
        &self,
        number: usize,
        workers: usize,
        connections: usize,
        began_us: u64,
    ) -> Result<Plan, String> {
        let first = self
            .doors
            .first()
            .ok_or("there is no server to connect to")?;
        let Auth::Cookie(token) = &first.auth else {
            return Err("clients of a benchmark carry their token in the cookie".into());
        };
        let mut work = self.work.clone();
        if let Work::Fan(fan) = &mut work
            && number > 0
        {
            fan.publisher = None;
        }
        Ok(Plan {
            doors: self.doors.iter().map(|door| door.url.clone()).collect(),
            token: token.clone(),
            source: source(&first.url, number),
            number,
            workers,
            connections,
            arrival: match self.rate {
                Some(rate) => Arrival::Apart {
                    first_us: (1e6 / rate * number as f64) as u64,
                    every_us: (1e6 / rate * workers as f64) as u64,
                },
                None if self.at_once => Arrival::AtOnce,
                None => Arrival::Unscheduled,
            },
            concurrency: self.concurrency.max(1),
            topics: self.topics.clone(),
            work,
            began_us,
        })
    }
}

impl Worker {
    async fn start(
        number: usize,
        plan: &Plan,
        tell: UnboundedSender<(usize, Result<Said, String>)>,
    ) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start a worker: {error}");
        let me = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(me)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the parent, which asks for the figures then.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let orders = child.stdin.take().ok_or("a worker has no stdin")?;
        let words = child.stdout.take().ok_or("a worker has no stdout")?;
        tokio::spawn(listen(number, words, tell));
        let mut worker = Self {
            child,
            orders,
            progress: Progress::default(),
            has_opened: false,
            seen: None,
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
}

/// Passes on what a worker says, until it has said what it saw.
async fn listen(
    number: usize,
    words: ChildStdout,
    tell: UnboundedSender<(usize, Result<Said, String>)>,
) {
    let mut words = BufReader::new(words).lines();
    loop {
        let said = match words.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line).map_err(|error| error.to_string()),
            Ok(None) => Err("a worker died".into()),
            Err(error) => Err(error.to_string()),
        };
        let is_last = matches!(said, Err(_) | Ok(Said::Seen(_) | Said::Failed(_)));
        if tell.send((number, said)).is_err() || is_last {
            return;
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
fn source(url: &str, worker: usize) -> Option<Ipv4Addr> {
    let url: Uri = url.parse().ok()?;
    let host: Ipv4Addr = url.host()?.parse().ok()?;
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

/// In words, with what to look at.
fn hint(error: &wse_e2e::Error) -> String {
    match error {
        wse_e2e::Error::Refused { .. } => {
            format!(
                "{error}; does the server know --secret, --issuer and --audience, or is --token right?"
            )
        }
        wse_e2e::Error::Unreachable { .. } => {
            format!("{error}; is a server there (--host, --port)?")
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
