//! The worker processes, seen from their parent. `job` is what they are to do and how it is shared among
//! them, `worker` one of them.

mod job;
mod worker;

use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use wse_e2e::client::Dial;

pub(crate) use self::job::{Job, raise_file_limit};
use self::worker::Worker;
use crate::connection;
use crate::report::{Report, Seen};
use crate::worker::now_us;
use crate::worker::plan::{Order, Progress, Said};

/// A server that is alive takes its first client within this time.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// Tries whether the server takes a client at every door.
///
/// # Errors
/// Why it does not.
pub(crate) async fn knock(doors: &[Dial], topics: &[String]) -> Result<(), String> {
    for door in doors {
        match timeout(PATIENCE, connection::connect(door, topics)).await {
            Ok(Ok(client)) => client.close().await,
            Ok(Err(error)) => return Err(hint(&error)),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                return Err(format!("{} does not answer within {seconds} s", door.url));
            }
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
        let shares = job.shares()?;
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

    /// When the run began.
    pub(crate) fn began(&self) -> Instant {
        self.began
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
