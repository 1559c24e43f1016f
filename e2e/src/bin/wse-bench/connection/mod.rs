//! One connection of a worker: opened when it is due, kept, and, if it should, brought back as the
//! published clients do whenever it ends; with a ramp it is there only when that wants it. `crowd` is what
//! the connections of a worker share, `turns` has one ask on a schedule.

mod crowd;
mod turns;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wse_e2e::Error;
use wse_e2e::client::{Client, Dial};

pub(crate) use self::crowd::{Crowd, source};
pub(crate) use self::turns::CHANGED;
use crate::moves::{LOST, comes_back};
use crate::ramp::Stay;
use crate::worker::now_us;

/// The published clients' pause before an attempt: the first, how it grows with each that fails, and
/// the longest. Each is up to a tenth longer or shorter.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_GROWS: f64 = 1.5;
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// One connection, and how it came to where it is.
struct Connection {
    crowd: Rc<Crowd>,
    number: usize,
    /// Whether it was ever open.
    has_come: bool,
    /// Attempts that failed since one succeeded.
    failures: i32,
    /// Times that it was asked to move and has not come back yet.
    asked: u32,
}

/// Opens one, and keeps it from then on. Ends when it is open or has failed for good.
pub(crate) async fn open(crowd: Rc<Crowd>, number: usize, due: Option<Instant>) {
    if let Some(due) = due {
        crowd.pace.until(due).await;
    }
    let mut connection = Connection::new(crowd, number);
    if let Some(client) = connection.enter(due).await {
        let crowd = connection.crowd.clone();
        let keeping = match crowd.turns {
            None => tokio::task::spawn_local(connection.stay(client, None)),
            Some(_) => tokio::task::spawn_local(connection.take_turns(client)),
        };
        crowd.keeping.borrow_mut().push(keeping.abort_handle());
    }
}

/// Opens one whenever it should be there, and has it leave when it should not.
pub(crate) async fn visit(crowd: Rc<Crowd>, number: usize, stays: Vec<Stay>) {
    for Stay { from, until } in stays {
        crowd.pace.until(from).await;
        let mut connection = Connection::new(crowd.clone(), number);
        let client = tokio::select! {
            client = connection.enter(Some(from)) => client,
            () = crowd.until(until) => None,
        };
        if let Some(client) = client {
            connection.stay(client, until).await;
        }
        crowd.forget(number);
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

impl Connection {
    fn new(crowd: Rc<Crowd>, number: usize) -> Self {
        Self {
            crowd,
            number,
            has_come: false,
            failures: 0,
            asked: 0,
        }
    }

    /// Opens it for the first time, which may have been due at a moment. None: it failed for good.
    async fn enter(&mut self, due: Option<Instant>) -> Option<Client> {
        let (client, began) = self.reach().await?;
        let mut seen = self.crowd.seen.borrow_mut();
        seen.opened += 1;
        seen.handshake.record(due.unwrap_or(began).elapsed());
        seen.attempt.record(began.elapsed());
        Some(client)
    }

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

    /// Reads and pings until the connection ends, and again if it comes back, or until it is to leave.
    async fn stay(mut self, mut client: Client, until: Option<Instant>) {
        let crowd = self.crowd.clone();
        let mut leave = pin!(crowd.until(until));
        loop {
            let end = tokio::select! {
                end = self.listen(&mut client) => Some(end),
                () = &mut leave => None,
            };
            self.left();
            let Some(end) = end else {
                crowd.seen.borrow_mut().left += 1;
                client.close().await;
                return;
            };
            drop(client);
            if !self.ended(&end) {
                return;
            }
            let again = async {
                sleep(pause(self.failures)).await;
                self.reach().await
            };
            let again = tokio::select! {
                again = again => again,
                () = &mut leave => {
                    let mut seen = crowd.seen.borrow_mut();
                    seen.left += 1;
                    seen.left_away += 1;
                    None
                }
            };
            match again {
                Some((again, _)) => client = again,
                None => return,
            }
        }
    }

    async fn listen(&self, client: &mut Client) -> Error {
        let ping = self.crowd.ping;
        let mut due = Instant::now() + ping.mul_f64(fastrand::f64());
        loop {
            let mut wait = pin!(self.crowd.pace.until(due));
            loop {
                tokio::select! {
                    () = &mut wait, if !ping.is_zero() => break,
                    event = client.next() => match event {
                        Ok(event) => self.deliver(&event.p),
                        Err(end) => return end,
                    },
                }
            }
            match client.ping().await {
                Ok(_) => self.crowd.seen.borrow_mut().ping.record(due.elapsed()),
                Err(end) => return end,
            }
            due += ping;
        }
    }

    fn deliver(&self, payload: &serde_json::Value) {
        let Some(due_us) = payload["ts_us"].as_u64() else {
            return;
        };
        self.crowd.now(|now| now.delivered += 1);
        let mut seen = self.crowd.seen.borrow_mut();
        seen.delivered += 1;
        let latency = now_us().saturating_sub(due_us);
        seen.delivery.record(Duration::from_micros(latency));
        if let Some(number) = payload["seq"].as_u64() {
            self.crowd.track(self.number, |track| track.number(number));
        }
    }

    fn arrived(&mut self, client: &Client) {
        self.failures = 0;
        let returned = std::mem::replace(&mut self.has_come, true);
        self.crowd.seen.borrow_mut().held += 1;
        self.crowd.now(|now| {
            now.came += 1;
            now.returned += u64::from(returned);
        });
        let asked = std::mem::take(&mut self.asked);
        // `<node>.<unique>`
        let node = client.connection_id().split_once('.');
        let node = node.map_or("", |(node, _)| node).to_owned();
        self.crowd.track(self.number, |track| {
            track.moves += asked;
            track.goes_to(Some(node));
        });
    }

    fn left(&self) {
        self.crowd.seen.borrow_mut().held -= 1;
        self.crowd.now(|now| now.went += 1);
        self.crowd.track(self.number, |track| track.goes_to(None));
    }

    /// Notes how an open connection ended; whether it comes back.
    fn ended(&mut self, end: &Error) -> bool {
        let code = match end {
            Error::Closed { code, .. } => *code,
            _ => LOST,
        };
        if !self.crowd.come_back() {
            self.crowd.fail(end);
            return false;
        }
        if code == LOST || !comes_back(code) {
            self.crowd.fail(end);
        }
        if self.crowd.close(code) {
            self.asked += 1;
        }
        self.failures = 0;
        comes_back(code)
    }

    /// Notes an attempt that came to nothing; whether there is another.
    fn failed(&mut self, error: &Error) -> bool {
        self.crowd.fail(error);
        self.failures += 1;
        if !self.crowd.come_back() {
            return false;
        }
        self.crowd.now(|now| now.failed_attempts += 1);
        !matches!(error, Error::Refused { .. })
    }
}

fn pause(failures: i32) -> Duration {
    let pause = PAUSE
        .mul_f64(PAUSE_GROWS.powi(failures.min(20)))
        .min(PAUSE_MOST);
    pause.mul_f64(0.9 + 0.2 * fastrand::f64())
}
