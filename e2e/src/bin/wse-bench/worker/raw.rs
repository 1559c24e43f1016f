//! What a worker of raw clients does before and after its work.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Uri;
use mio::Poll;
use rustls::ClientConfig;
use serde_json::Value;
use wse_e2e::raw::{self, Client, Door, Newcomer, OFFER, Tls};

use super::parent::{Parent, say};
use super::plan::{Order, Plan, Said, Work};
use crate::connection;
use crate::processor::Stopwatch;
use crate::report::Seen;
use crate::target::address;

/// Read at once.
pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// Clients that are in, and what there is to say of them.
pub(super) struct Crowd {
    pub(super) poll: Poll,
    /// By the number of their events; None for one that is gone.
    pub(super) clients: Vec<Option<Client>>,
    pub(super) seen: Seen,
    /// Since the work began.
    watch: Stopwatch,
}

impl Crowd {
    /// Brings them in, and waits for the work to begin. None: it does not.
    pub(super) fn arrive(plan: &Plan, parent: &mut Parent) -> Result<Option<Self>, String> {
        let failed = |error: std::io::Error| format!("cannot wait for sockets: {error}");
        let mut poll = Poll::new().map_err(failed)?;
        // A parent that is asked to end does not wait until all are in.
        let mut order = None;
        let mut ends = || {
            order = order.take().or_else(|| parent.glance().transpose());
            order.is_some()
        };
        let gathered = raw::gather(&mut poll, newcomers(plan)?, plan.concurrency, &mut ends);
        let gathered = gathered.map_err(failed)?;
        let opened = gathered.clients.iter().flatten().count() as u64;
        say(&Said::Opened(opened))?;
        let mut crowd = Self {
            poll,
            clients: gathered.clients,
            seen: Seen {
                opened,
                held: opened,
                failures: gathered.failures,
                ..Seen::default()
            },
            watch: Stopwatch::start(),
        };
        let order = match order {
            Some(order) => Some(order?),
            None => parent.wait()?,
        };
        match order {
            Some(Order::Begin) => {
                crowd.watch = Stopwatch::start();
                Ok(Some(crowd))
            }
            Some(Order::Finish { .. }) => crowd.tell().map(|()| None),
            None => Ok(None),
        }
    }

    /// One has gone, and why.
    pub(super) fn lose(&mut self, number: usize, end: &wse_e2e::Error) {
        self.clients[number] = None;
        self.seen.held -= 1;
        *self.seen.failures.entry(end.to_string()).or_default() += 1;
    }

    /// Says what was seen: the work is over.
    pub(super) fn tell(mut self) -> Result<(), String> {
        self.seen.processors.push(self.watch.share());
        say(&Said::Seen(Box::new(self.seen)))
    }
}

/// Counts an error that the server sent, by its code.
pub(super) fn note(said: &Value, told: &mut BTreeMap<String, u64>) {
    let code = match &said["p"]["code"] {
        Value::String(code) => code.clone(),
        Value::Number(code) => code.to_string(),
        _ => "without a code".to_owned(),
    };
    *told.entry(code).or_default() += 1;
}

fn newcomers(plan: &Plan) -> Result<Vec<Newcomer>, String> {
    let config = plan.tls()?;
    let doors = plan.doors.iter().map(|url| door(url, config.as_ref()));
    let doors = doors.collect::<Result<Vec<_>, _>>()?;
    let mut who = format!("Cookie: access_token={}", plan.token);
    if plan.work.deflates() {
        who = format!("{who}\r\nSec-WebSocket-Extensions: {OFFER}");
    }
    let subscribers = match &plan.work {
        Work::Fan(fan) => fan.subscribers,
        _ => None,
    };
    let subscribes = |number| subscribers.is_none_or(|subscribers| number < subscribers);
    let newcomer = |number| {
        let (door, host, path) = &doors[number % doors.len()];
        Newcomer {
            door: Door {
                source: plan.source.map(|first| connection::source(first, number)),
                ..door.clone()
            },
            request: raw::request(host, path, &who),
            dialect: plan.dialect,
            greetings: vec![plan.dialect.greeting("wse-bench")],
            topics: match subscribes(number) {
                true => plan.topics.clone(),
                false => Vec::new(),
            },
        }
    };
    Ok((0..plan.connections).map(newcomer).collect())
}

/// Where a URL leads, its host and its path.
fn door(url: &str, config: Option<&Arc<ClientConfig>>) -> Result<(Door, String, String), String> {
    let bad = |why: String| format!("{url}: {why}");
    let uri: Uri = url.parse().map_err(|error| bad(format!("{error}")))?;
    let host = uri.authority().map_or("", |it| it.as_str());
    let tls = config.map(|config| Tls::new(config.clone(), uri.host().unwrap_or_default()));
    let door = Door {
        address: address(host).map_err(bad)?,
        source: None,
        tls: tls.transpose().map_err(|error| bad(error.to_string()))?,
    };
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    Ok((door, host.to_owned(), path.to_owned()))
}
