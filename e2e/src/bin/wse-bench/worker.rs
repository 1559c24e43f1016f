//! One process of the load. Its parent writes a [`Plan`] on its stdin; it writes [`Said`] on its
//! stdout, one JSON document a line; then it holds its connections until the parent says [`Finish`]
//! or is gone.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::{Instant, interval_at, sleep, sleep_until};
use wse_e2e::Error;
use wse_e2e::client::{Auth, Client, Dial};

use crate::report::Seen;

/// Deliveries count as lost when none has arrived for this long.
const QUIET: Duration = Duration::from_secs(5);

/// What a worker is to do.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    pub(crate) url: String,
    pub(crate) token: String,
    /// Local address to connect from.
    pub(crate) source: Option<std::net::IpAddr>,
    pub(crate) connections: usize,
    /// When the first connection is due, in microseconds after the start.
    pub(crate) first_us: u64,
    /// Microseconds from one connection to the next. 0: no schedule.
    pub(crate) every_us: u64,
    pub(crate) concurrency: usize,
    pub(crate) topics: Vec<String>,
    pub(crate) ping_seconds: u64,
}

/// The parent has seen enough.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Finish {
    /// Messages that each connection should have received; waited for while they keep coming.
    pub(crate) messages_each: u64,
}

/// What a worker says.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Said {
    /// Every connection is open or has failed.
    Opened,
    /// The end.
    Seen(Box<Seen>),
}

type Shared = Rc<RefCell<Seen>>;

/// Does what the parent says.
///
/// # Errors
/// When the parent is not one.
pub(crate) async fn run() -> Result<(), String> {
    let mut parent = BufReader::new(stdin()).lines();
    let plan: Plan = hear(&mut parent).await?.ok_or("no plan came")?;
    let seen = Shared::default();
    let local = LocalSet::new();
    local
        .run_until(async {
            open(&plan, &seen).await;
            say(&Said::Opened)?;
            let finish: Option<Finish> = hear(&mut parent).await?;
            // Without a parent nobody waits for the figures.
            let Some(finish) = finish else { return Ok(()) };
            settle(&seen, finish.messages_each).await;
            say(&Said::Seen(Box::new(seen.take())))
        })
        .await
}

/// Opens every connection; ends when each is open or has failed.
async fn open(plan: &Plan, seen: &Shared) {
    let dial = Dial {
        url: plan.url.clone(),
        auth: Auth::Cookie(plan.token.clone()),
        origin: None,
        source: plan.source,
    };
    let dial = Rc::new(dial);
    let topics: Rc<[String]> = plan.topics.clone().into();
    let slots = Rc::new(Semaphore::new(plan.concurrency));
    let start = Instant::now() + Duration::from_micros(plan.first_us);
    let mut opening = Vec::with_capacity(plan.connections);
    for number in 0..plan.connections {
        let due = (plan.every_us > 0).then(|| {
            start + Duration::from_micros(plan.every_us) * u32::try_from(number).unwrap_or(u32::MAX)
        });
        let (dial, topics, slots, seen) =
            (dial.clone(), topics.clone(), slots.clone(), seen.clone());
        let ping = Duration::from_secs(plan.ping_seconds);
        opening.push(tokio::task::spawn_local(async move {
            if let Some(due) = due {
                sleep_until(due).await;
            }
            let Ok(_slot) = slots.acquire().await else {
                return;
            };
            let due = due.unwrap_or_else(Instant::now);
            match connect(&dial, &topics).await {
                Ok(client) => {
                    let mut now = seen.borrow_mut();
                    now.opened += 1;
                    now.held += 1;
                    now.handshake.record(due.elapsed());
                    drop(now);
                    tokio::task::spawn_local(stay(client, ping, seen));
                }
                Err(error) => fail(&seen, &error),
            }
        }));
    }
    for opened in opening {
        // A task that panicked has printed why; its connection is neither opened nor held.
        let _ = opened.await;
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

/// Reads and pings until the connection ends.
async fn stay(mut client: Client, ping: Duration, seen: Shared) {
    let first = Instant::now() + ping.mul_f64(fastrand::f64());
    let mut pings = interval_at(first, ping.max(Duration::from_secs(1)));
    let end = loop {
        tokio::select! {
            event = client.next() => match event {
                Ok(event) => deliver(&seen, &event.p),
                Err(end) => break end,
            },
            due = pings.tick(), if !ping.is_zero() => match client.ping().await {
                Ok(_) => seen.borrow_mut().ping.record(due.elapsed()),
                Err(end) => break end,
            },
        }
    };
    seen.borrow_mut().held -= 1;
    fail(&seen, &end);
}

fn deliver(seen: &Shared, payload: &serde_json::Value) {
    let Some(due_us) = payload["ts_us"].as_u64() else {
        return;
    };
    let mut seen = seen.borrow_mut();
    seen.delivered += 1;
    let latency = now_us().saturating_sub(due_us);
    seen.delivery.record(Duration::from_micros(latency));
}

async fn settle(seen: &Shared, messages_each: u64) {
    let wanted = messages_each * seen.borrow().opened;
    let (mut before, mut since) = (0, Instant::now());
    loop {
        let delivered = seen.borrow().delivered;
        if delivered != before {
            (before, since) = (delivered, Instant::now());
        }
        if delivered >= wanted || since.elapsed() > QUIET {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Microseconds since 1970: publisher and subscribers share this machine's clock.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

fn fail(seen: &Shared, error: &Error) {
    let mut seen = seen.borrow_mut();
    *seen.failures.entry(error.to_string()).or_default() += 1;
}

async fn hear<T: for<'de> Deserialize<'de>>(
    parent: &mut Lines<BufReader<Stdin>>,
) -> Result<Option<T>, String> {
    let line = parent
        .next_line()
        .await
        .map_err(|error| error.to_string())?;
    line.map(|line| serde_json::from_str(&line))
        .transpose()
        .map_err(|error| format!("a worker is started by wse-bench itself: {error}"))
}

fn say(said: &Said) -> Result<(), String> {
    let line = serde_json::to_string(said).map_err(|error| error.to_string())?;
    println!("{line}");
    Ok(())
}
