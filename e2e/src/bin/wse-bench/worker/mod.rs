//! One process of the load. Its parent writes a [`Plan`] on its stdin; it writes [`Said`] on its
//! stdout, one JSON document a line; then it does its part until it is done, or the parent says
//! [`Order::Finish`] or is gone. `plan` is what they say, `pace` has things happen when they are due,
//! `flood` (with `block`s from `sender`s) and `fan` are work for [`wse_e2e::raw`], all other work is that
//! of [`crate::connection`]s, `storms` part of it.

mod alarm;
mod block;
mod fan;
mod flood;
pub(crate) mod pace;
mod parent;
pub(crate) mod plan;
mod publishing;
mod raw;
mod sender;
pub(crate) mod storms;

use std::cell::{Cell, RefCell};
use std::mem::{replace, take};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until};
use wse_e2e::client::{Auth, Dial};

use self::pace::Pace;
use self::parent::{Parent, say};
use self::plan::{Arrival, Order, Plan, Said, Work};
use crate::connection::{self, Crowd};
use crate::latency::Latency;
use crate::moves::Track;
use crate::processor::Stopwatch;

/// Deliveries count as lost, and connections as gone, when none has arrived for this long.
const QUIET: Duration = Duration::from_secs(5);
/// Between two reports of how far it is.
const TELL: Duration = Duration::from_millis(300);

/// Does what the parent says.
///
/// # Errors
/// When the parent is not one.
pub(crate) fn run() -> Result<(), String> {
    let mut parent = Parent::listen();
    let plan = parent.plan()?;
    perform(&plan, &mut parent).or_else(|why| say(&Said::Failed(why)))
}

fn perform(plan: &Plan, parent: &mut Parent) -> Result<(), String> {
    match &plan.work {
        Work::Flood(work) => flood::run(plan, work, parent),
        Work::Fan(work) => fan::run(plan, work, parent),
        _ => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("a worker cannot start: {error}"))?
            .block_on(LocalSet::new().run_until(conduct(plan, parent))),
    }
}

async fn conduct(plan: &Plan, parent: &mut Parent) -> Result<(), String> {
    let crowd = Rc::new(crowd(plan)?);
    let paced = crowd.clone();
    tokio::task::spawn_local(async move { paced.pace.keep().await });
    let telling = crowd.clone();
    tokio::task::spawn_local(async move {
        loop {
            sleep(TELL).await;
            if say(&Said::Progress(telling.progress())).is_err() {
                return;
            }
        }
    });
    let mut watch = Stopwatch::start();
    // A parent that is asked to end does not wait until all are open.
    let mut order = tokio::select! {
        () = open(plan, &crowd) => {
            say(&Said::Opened(crowd.seen.borrow().opened))?;
            parent.order().await?
        }
        order = parent.order() => order?,
    };
    if let Some(Order::Begin) = order {
        // The first storm has been work already.
        if !matches!(plan.work, Work::Storms(_)) {
            watch = Stopwatch::start();
        }
        let began = Instant::now();
        order = tokio::select! {
            () = work(plan, &crowd, began, &mut watch) => Some(Order::Finish { messages_each: 0 }),
            order = parent.order() => order?,
        };
        account(plan, &crowd, began);
    }
    match order {
        Some(Order::Finish { messages_each }) => settle(&crowd, messages_each).await,
        Some(Order::Begin) => return Err("it begins twice".into()),
        None => return Ok(()),
    }
    let mut seen = crowd.take_seen();
    seen.processors.push(watch.share());
    say(&Said::Seen(Box::new(seen)))
}

fn crowd(plan: &Plan) -> Result<Crowd, String> {
    let tracks = || RefCell::new((0..plan.connections).map(|_| Track::default()).collect());
    let tls = plan.tls()?;
    let door = |url: &String| Dial {
        url: url.clone(),
        auth: Auth::Cookie(plan.token.clone()),
        origin: None,
        source: None,
        tls: tls.clone(),
    };
    let phases = |turns: &plan::Turns| {
        let phases = (0..plan.connections).map(|number| turns.phase(plan, number));
        (*turns, phases.collect())
    };
    let (ping_seconds, reconnect, turns) = match &plan.work {
        Work::Hold {
            ping_seconds,
            reconnect,
        } => (*ping_seconds, *reconnect, None),
        Work::Ramp { ping_seconds, .. } => (*ping_seconds, true, None),
        Work::Turns(turns) => (0, false, Some(phases(turns))),
        Work::Reconnect | Work::Storms(_) | Work::Flood(_) | Work::Fan(_) => (0, false, None),
    };
    Ok(Crowd {
        doors: plan.doors.iter().map(door).collect(),
        source: plan.source,
        gone: Cell::default(),
        topics: plan.topics.clone(),
        slots: Semaphore::new(plan.concurrency),
        ping: Duration::from_secs(ping_seconds),
        turns,
        pace: Pace::new()?,
        begun: watch::Sender::new(None),
        keeping: RefCell::default(),
        first: RefCell::default(),
        tracks: reconnect.then(tracks),
        began_us: plan.began_us,
        seen: RefCell::default(),
    })
}

/// Opens every connection that is to be there from the first moment; ends when each is open or has failed.
async fn open(plan: &Plan, crowd: &Rc<Crowd>) {
    if let Work::Ramp { .. } = plan.work {
        return;
    }
    let start = Instant::now();
    let mut opening = Vec::with_capacity(plan.connections);
    for number in 0..plan.connections {
        let due = match plan.arrival {
            Arrival::Unscheduled => None,
            Arrival::AtOnce => Some(start),
            Arrival::Apart { first_us, every_us } => Some(
                start
                    + Duration::from_micros(first_us)
                    + Duration::from_micros(every_us) * u32::try_from(number).unwrap_or(u32::MAX),
            ),
        };
        let connection = connection::open(crowd.clone(), number, due);
        opening.push(tokio::task::spawn_local(connection));
    }
    for opened in opening {
        // A task that panicked has printed why; its connection is neither opened nor held.
        let _ = opened.await;
    }
}

/// Does the work from its beginning to its end.
async fn work(plan: &Plan, crowd: &Rc<Crowd>, began: Instant, watch: &mut Stopwatch) {
    match &plan.work {
        Work::Turns(turns) => {
            let asked = u64::from(turns.each) * crowd.seen.borrow().opened;
            crowd.begun.send_replace(Some(began));
            sleep_until(began + turns.every() * turns.each).await;
            wait(crowd, |crowd| crowd.seen.borrow().deeds.done >= asked).await;
        }
        Work::Reconnect => {
            let first = lose(crowd);
            crowd.first.replace(Some(first));
            let plan = Plan {
                arrival: Arrival::AtOnce,
                ..plan.clone()
            };
            open(&plan, crowd).await;
        }
        Work::Ramp { ramp, .. } => {
            let since = now_us().saturating_sub(plan.began_us);
            let start = began
                .checked_sub(Duration::from_micros(since))
                .unwrap_or(began);
            for number in 0..plan.connections {
                let stays = ramp.stays(number * plan.workers + plan.number, start);
                tokio::task::spawn_local(connection::visit(crowd.clone(), number, stays));
            }
            std::future::pending::<()>().await;
        }
        Work::Storms(until) => storms::run(plan, crowd, until, watch).await,
        Work::Hold { .. } | Work::Flood(_) | Work::Fan(_) => {}
    }
}

/// All lose their connection at once: how many had come in, and how fast.
fn lose(crowd: &Crowd) -> (u64, Latency) {
    for task in crowd.keeping.take() {
        task.abort();
    }
    let mut seen = crowd.seen.borrow_mut();
    seen.held = 0;
    (take(&mut seen.opened), take(&mut seen.handshake))
}

/// Notes what was due, however the work ended, and how long it took; storms do that themselves.
fn account(plan: &Plan, crowd: &Crowd, began: Instant) {
    if matches!(plan.work, Work::Storms(_)) {
        return;
    }
    let took = began.elapsed();
    let mut seen = crowd.seen.borrow_mut();
    seen.deeds.seconds = took.as_secs_f64();
    seen.deeds.due = match (&plan.work, &crowd.turns) {
        (Work::Turns(turns), Some((_, phases))) => {
            seen.deeds.seconds = took.min(turns.every() * turns.each).as_secs_f64();
            let asked = phases.iter().filter_map(|&phase| took.checked_sub(phase));
            let each: u64 = asked.map(|after_first| turns.due(after_first)).sum();
            // Those that never came in ask nothing.
            each * seen.opened / (phases.len() as u64).max(1)
        }
        (_, _) => seen.opened,
    };
    if let Some((opened, handshake)) = crowd.first.take() {
        seen.deeds.due = opened;
        seen.deeds.done = replace(&mut seen.opened, opened);
        seen.deeds.latency = replace(&mut seen.handshake, handshake);
    }
}

/// Waits until each connection has had so many messages and those that come back are back, or until
/// there is nothing new.
async fn settle(crowd: &Crowd, messages_each: u64) {
    wait(crowd, |crowd| {
        let seen = crowd.seen.borrow();
        let away = crowd.tracks.is_some() && seen.held + seen.left < seen.opened;
        seen.delivered >= messages_each * seen.opened && !away
    })
    .await;
}

/// Waits until something is so, or nothing has happened for a while.
async fn wait(crowd: &Crowd, is_so: impl Fn(&Crowd) -> bool) {
    let (mut before, mut since) = ((0, 0, 0), Instant::now());
    while !is_so(crowd) && since.elapsed() <= QUIET {
        let now = {
            let seen = crowd.seen.borrow();
            (seen.held, seen.delivered, seen.deeds.done)
        };
        if now != before {
            (before, since) = (now, Instant::now());
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
