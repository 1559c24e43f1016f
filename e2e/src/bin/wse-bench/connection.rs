//! One connection of a worker: opened when it is due, kept, and, if it should, brought back as the
//! published clients do whenever it ends; or asking on a schedule.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval_at, sleep, sleep_until};
use wse_e2e::Error;
use wse_e2e::client::{Client, Dial};

use crate::latency::Latency;
use crate::moves::{LOST, Moves, Track, comes_back};
use crate::report::Seen;
use crate::worker::now_us;
use crate::worker::plan::{Ask, Progress, Turns};

/// The published clients' pause before an attempt: the first, how it grows with each that fails, and
/// the longest. Each is up to a tenth longer or shorter.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_GROWS: f64 = 1.5;
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// What the names of topics begin with to which connections subscribe by turns.
pub(crate) const CHANGED: &str = "bench.churn.";

/// Connections from one local address. It has about 28,000 ports, but the fuller it is the longer the
/// kernel looks for a free one.
const PORTS: usize = 4_000;

/// What the connections of one worker share.
pub(crate) struct Crowd {
    /// Ways in, taken in turn.
    pub(crate) doors: Vec<Dial>,
    /// The first local address to connect from. None: the kernel chooses.
    pub(crate) source: Option<Ipv4Addr>,
    pub(crate) topics: Vec<String>,
    /// Handshakes under way at once.
    pub(crate) slots: Semaphore,
    /// Time between the pings of one connection. Zero: none.
    pub(crate) ping: Duration,
    /// What they ask, and when after the beginning each does first.
    pub(crate) turns: Option<(Turns, Vec<Duration>)>,
    /// When it began.
    pub(crate) begun: watch::Sender<Option<Instant>>,
    /// Everything that keeps a connection.
    pub(crate) keeping: RefCell<Vec<AbortHandle>>,
    /// Who came in, and how fast, before all lost their connection.
    pub(crate) first: RefCell<Option<(u64, Latency)>>,
    /// What became of each connection, when they come back.
    pub(crate) tracks: Option<RefCell<Vec<Track>>>,
    /// When the run began, in microseconds since 1970.
    pub(crate) began_us: u64,
    pub(crate) seen: RefCell<Seen>,
}

/// One connection, and how it came to where it is.
struct Connection {
    crowd: Rc<Crowd>,
    number: usize,
    /// Attempts that failed since one succeeded.
    failures: i32,
    /// Times that it was asked to move and has not come back yet.
    asked: u32,
}

/// Opens one, and keeps it from then on. Ends when it is open or has failed for good.
pub(crate) async fn open(crowd: Rc<Crowd>, number: usize, due: Option<Instant>) {
    if let Some(due) = due {
        sleep_until(due).await;
    }
    let mut connection = Connection {
        crowd,
        number,
        failures: 0,
        asked: 0,
    };
    if let Some((client, began)) = connection.reach().await {
        let crowd = connection.crowd.clone();
        let mut seen = crowd.seen.borrow_mut();
        seen.opened += 1;
        seen.handshake.record(due.unwrap_or(began).elapsed());
        seen.attempt.record(began.elapsed());
        let keeping = match crowd.turns {
            None => tokio::task::spawn_local(connection.stay(client)),
            Some(_) => tokio::task::spawn_local(connection.take_turns(client)),
        };
        crowd.keeping.borrow_mut().push(keeping.abort_handle());
    }
}

/// Connects and subscribes.
///
/// # Errors
/// Also when a topic is refused.
pub(crate) async fn connect(dial: &Dial, topics: &[String]) -> Result<Client, Error> {
    let mut client = Client::connect(dial).await?;
    if topics.is_empty() {
        return Ok(client);
    }
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let ack = client.subscribe(&names).await?;
    if !ack.success {
        let failed = ack.failed_topics.join(", ");
        return Err(Error::Protocol(format!(
            "not allowed to subscribe to {failed}"
        )));
    }
    Ok(client)
}

/// Where a connection comes from, if the first ones come from this address.
pub(crate) fn source(first: Ipv4Addr, number: usize) -> IpAddr {
    let further = u32::try_from(number / PORTS).unwrap_or(u32::MAX);
    Ipv4Addr::from(u32::from(first).saturating_add(further)).into()
}

impl Crowd {
    /// What all saw, at the end.
    pub(crate) fn take_seen(&self) -> Seen {
        let mut seen = self.seen.take();
        for track in self.tracks.iter().flat_map(|it| it.take()) {
            seen.moves.get_or_insert_default().add(&track);
        }
        seen
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        let seen = self.seen.borrow();
        let latencies = [&seen.deeds.latency, &seen.ping, &seen.attempt];
        let latency = latencies.into_iter().find(|it| it.summary().is_some());
        Progress {
            opened: seen.opened,
            held: seen.held,
            done: seen.deeds.done,
            latency: latency.cloned().unwrap_or_default(),
        }
    }

    /// How one of its connections is made.
    fn dial(&self, number: usize) -> Dial {
        Dial {
            source: self.source.map(|first| source(first, number)),
            ..self.doors[number % self.doors.len()].clone()
        }
    }

    fn fail(&self, error: &Error) {
        let mut seen = self.seen.borrow_mut();
        *seen.failures.entry(error.to_string()).or_default() += 1;
    }

    /// Of connections that come back.
    fn moves<T>(&self, note: impl FnOnce(&mut Moves) -> T) -> T {
        note(self.seen.borrow_mut().moves.get_or_insert_default())
    }
}

impl Connection {
    /// Connects, however often it takes if it should come back; also when the first attempt began.
    /// None: it failed for good.
    async fn reach(&mut self) -> Option<(Client, Instant)> {
        let mut first = None;
        loop {
            let attempt = {
                // Nobody closes it.
                let _slot = self.crowd.slots.acquire().await.ok()?;
                first.get_or_insert_with(Instant::now);
                connect(&self.crowd.dial(self.number), &self.crowd.topics).await
            };
            let again = match attempt {
                Ok(client) => {
                    self.arrived(&client);
                    return first.map(|first| (client, first));
                }
                // Let in, and sent away before it had subscribed.
                Err(end @ Error::Closed { .. }) => self.ended(&end),
                Err(error) => self.failed(&error),
            };
            if !again {
                return None;
            }
            sleep(pause(self.failures)).await;
        }
    }

    /// Reads and pings until the connection ends, and again if it comes back.
    async fn stay(mut self, mut client: Client) {
        loop {
            let end = self.listen(&mut client).await;
            drop(client);
            self.left();
            if !self.ended(&end) {
                return;
            }
            sleep(pause(self.failures)).await;
            match self.reach().await {
                Some((again, _)) => client = again,
                None => return,
            }
        }
    }

    /// Asks on its schedule, and stays until the connection ends.
    async fn take_turns(mut self, mut client: Client) {
        let crowd = self.crowd.clone();
        let Some((turns, phases)) = &crowd.turns else {
            return;
        };
        let first = phases[self.number];
        if let Err(end) = self.ask(&mut client, turns, first).await {
            drop(client);
            self.left();
            self.ended(&end);
        }
    }

    async fn ask(&self, client: &mut Client, turns: &Turns, first: Duration) -> Result<(), Error> {
        let mut begun = self.crowd.begun.subscribe();
        let begun = loop {
            tokio::select! {
                begun = begun.wait_for(Option::is_some) => match begun {
                    Ok(begun) => break *begun,
                    Err(_) => return Ok(()),
                },
                event = client.next() => drop(event?),
            }
        };
        let topic = [format!("{CHANGED}{}", self.number)];
        let Some(begun) = begun else { return Ok(()) };
        for turn in 0..turns.each {
            let due = begun + first + turns.every() * turn;
            loop {
                tokio::select! {
                    biased;
                    () = sleep_until(due) => break,
                    event = client.next() => drop(event?),
                }
            }
            let topic = [topic[0].as_str()];
            match turns.ask {
                Ask::Ping => drop(client.ping().await?),
                Ask::Change if turn % 2 == 0 => drop(client.subscribe(&topic).await?),
                Ask::Change => drop(client.unsubscribe(&topic).await?),
            }
            let mut seen = self.crowd.seen.borrow_mut();
            seen.deeds.done += 1;
            seen.deeds.latency.record(due.elapsed());
        }
        loop {
            client.next().await?;
        }
    }

    async fn listen(&self, client: &mut Client) -> Error {
        let ping = self.crowd.ping;
        let first = Instant::now() + ping.mul_f64(fastrand::f64());
        let mut pings = interval_at(first, ping.max(Duration::from_secs(1)));
        loop {
            tokio::select! {
                event = client.next() => match event {
                    Ok(event) => self.deliver(&event.p),
                    Err(end) => return end,
                },
                due = pings.tick(), if !ping.is_zero() => match client.ping().await {
                    Ok(_) => self.crowd.seen.borrow_mut().ping.record(due.elapsed()),
                    Err(end) => return end,
                },
            }
        }
    }

    fn deliver(&self, payload: &serde_json::Value) {
        let Some(due_us) = payload["ts_us"].as_u64() else {
            return;
        };
        let mut seen = self.crowd.seen.borrow_mut();
        seen.delivered += 1;
        let latency = now_us().saturating_sub(due_us);
        seen.delivery.record(Duration::from_micros(latency));
        if let Some(number) = payload["seq"].as_u64() {
            self.track(|track| track.number(number));
        }
    }

    fn arrived(&mut self, client: &Client) {
        self.failures = 0;
        self.crowd.seen.borrow_mut().held += 1;
        let asked = std::mem::take(&mut self.asked);
        // `<node>.<unique>`
        let node = client.connection_id().split_once('.');
        let node = node.map_or("", |(node, _)| node).to_owned();
        self.track(|track| {
            track.moves += asked;
            track.goes_to(Some(node));
        });
    }

    fn left(&self) {
        self.crowd.seen.borrow_mut().held -= 1;
        self.track(|track| track.goes_to(None));
    }

    /// Notes how an open connection ended; whether it comes back.
    fn ended(&mut self, end: &Error) -> bool {
        let code = match end {
            Error::Closed { code, .. } => *code,
            _ => LOST,
        };
        if self.crowd.tracks.is_none() {
            self.crowd.fail(end);
            return false;
        }
        if code == LOST || !comes_back(code) {
            self.crowd.fail(end);
        }
        let after_us = now_us().saturating_sub(self.crowd.began_us);
        if self.crowd.moves(|moves| moves.close(code, after_us)) {
            self.asked += 1;
        }
        self.failures = 0;
        comes_back(code)
    }

    /// Notes an attempt that came to nothing; whether there is another.
    fn failed(&mut self, error: &Error) -> bool {
        self.crowd.fail(error);
        self.failures += 1;
        if self.crowd.tracks.is_none() {
            return false;
        }
        self.crowd.moves(Moves::fail);
        !matches!(error, Error::Refused { .. })
    }

    fn track(&self, note: impl FnOnce(&mut Track)) {
        if let Some(tracks) = &self.crowd.tracks {
            note(&mut tracks.borrow_mut()[self.number]);
        }
    }
}

fn pause(failures: i32) -> Duration {
    let pause = PAUSE
        .mul_f64(PAUSE_GROWS.powi(failures.min(20)))
        .min(PAUSE_MOST);
    pause.mul_f64(0.9 + 0.2 * fastrand::f64())
}
