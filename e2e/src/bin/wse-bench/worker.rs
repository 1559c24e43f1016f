//! One process of the load. Its parent writes a [`Plan`] on its stdin; it writes [`Said`] on its
//! stdout, one JSON document a line; then it holds its connections until the parent says [`Finish`]
//! or is gone.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};
use wse_e2e::client::{Auth, Dial};

use crate::connection::{self, Crowd};
use crate::moves::Track;
use crate::report::Seen;

/// Deliveries count as lost, and connections as gone, when none has arrived for this long.
const QUIET: Duration = Duration::from_secs(5);

/// What a worker is to do.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    pub(crate) url: String,
    pub(crate) token: String,
    /// The first local address to connect from; others follow it.
    pub(crate) source: Option<Ipv4Addr>,
    pub(crate) connections: usize,
    /// When the first connection is due, in microseconds after the start.
    pub(crate) first_us: u64,
    /// Microseconds from one connection to the next. 0: no schedule.
    pub(crate) every_us: u64,
    pub(crate) concurrency: usize,
    pub(crate) topics: Vec<String>,
    pub(crate) ping_seconds: u64,
    /// Whether a connection that ends comes back.
    pub(crate) reconnect: bool,
    /// When the run began, in microseconds since 1970.
    pub(crate) began_us: u64,
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
    /// Every connection is open or has failed; so many are open.
    Opened(u64),
    /// The end.
    Seen(Box<Seen>),
}

/// Does what the parent says.
///
/// # Errors
/// When the parent is not one.
pub(crate) async fn run() -> Result<(), String> {
    let mut parent = BufReader::new(stdin()).lines();
    let plan: Plan = hear(&mut parent).await?.ok_or("no plan came")?;
    let crowd = Rc::new(crowd(&plan));
    let local = LocalSet::new();
    local
        .run_until(async {
            // A parent that is asked to end does not wait until all are open.
            let finish: Option<Finish> = tokio::select! {
                () = open(&plan, &crowd) => {
                    say(&Said::Opened(crowd.seen.borrow().opened))?;
                    hear(&mut parent).await?
                }
                finish = hear(&mut parent) => finish?,
            };
            // Without a parent nobody waits for the figures.
            let Some(finish) = finish else { return Ok(()) };
            settle(&crowd, finish.messages_each).await;
            say(&Said::Seen(Box::new(crowd.take_seen())))
        })
        .await
}

fn crowd(plan: &Plan) -> Crowd {
    let tracks = || RefCell::new((0..plan.connections).map(|_| Track::default()).collect());
    Crowd {
        dial: Dial {
            url: plan.url.clone(),
            auth: Auth::Cookie(plan.token.clone()),
            origin: None,
            source: None,
        },
        source: plan.source,
        topics: plan.topics.clone(),
        slots: Semaphore::new(plan.concurrency),
        ping: Duration::from_secs(plan.ping_seconds),
        tracks: plan.reconnect.then(tracks),
        began_us: plan.began_us,
        seen: RefCell::default(),
    }
}

/// Opens every connection; ends when each is open or has failed.
async fn open(plan: &Plan, crowd: &Rc<Crowd>) {
    let start = Instant::now() + Duration::from_micros(plan.first_us);
    let mut opening = Vec::with_capacity(plan.connections);
    for number in 0..plan.connections {
        let due = (plan.every_us > 0).then(|| {
            start + Duration::from_micros(plan.every_us) * u32::try_from(number).unwrap_or(u32::MAX)
        });
        let connection = connection::open(crowd.clone(), number, due);
        opening.push(tokio::task::spawn_local(connection));
    }
    for opened in opening {
        // A task that panicked has printed why; its connection is neither opened nor held.
        let _ = opened.await;
    }
}

/// Waits until each connection has had so many messages and those that come back are back, or until
/// there is nothing new.
async fn settle(crowd: &Crowd, messages_each: u64) {
    let (mut before, mut since) = ((0, 0), Instant::now());
    loop {
        let (opened, held, delivered) = {
            let seen = crowd.seen.borrow();
            (seen.opened, seen.held, seen.delivered)
        };
        if (held, delivered) != before {
            (before, since) = ((held, delivered), Instant::now());
        }
        let away = crowd.tracks.is_some() && held < opened;
        let done = delivered >= messages_each * opened && !away;
        if done || since.elapsed() > QUIET {
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
