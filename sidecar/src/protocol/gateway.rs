//! The pod's reactors, running the dialect.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::dialect::{Dialect, Guest};
use super::metrics::Metrics;
use crate::backplane::BoxFuture;
use crate::edge::{Arrival, Reception};
use crate::hub::{self, Command, Hub, Inbox, NotTaken, Router, Settings, Shown};
use crate::reactor::{self, Compression, Handle, Options};

/// The reactors of this pod. Arriving clients go to the one with fewest sessions.
pub struct Gateway {
    router: Router,
    reactors: Vec<Handle<Dialect>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Starts `count` reactors (at least one, at most 128) and attaches them to the router, whose settings
/// they begin with.
///
/// # Errors
/// When a poll instance or a thread cannot be made.
///
/// # Panics
/// When the router has reactors already.
pub fn start(
    router: &Router,
    count: usize,
    hub_metrics: &hub::Metrics,
    metrics: &Metrics,
) -> io::Result<Gateway> {
    let settings = router.settings();
    let mut reactors = Vec::new();
    let mut threads = Vec::new();
    let mut attached = Vec::new();
    for number in 0..count.clamp(1, 128) {
        let shown = Arc::new(Shown::default());
        let make = {
            let (router, settings, shown) =
                (router.clone(), Arc::clone(&settings), Arc::clone(&shown));
            let (hub_metrics, metrics) = (hub_metrics.clone(), metrics.clone());
            move || {
                let node = router.node().clone();
                let announce = Arc::new(router);
                let hub = Hub::new(number, announce, Arc::clone(&settings), shown, hub_metrics);
                Dialect::new(node, hub, settings, metrics)
            }
        };
        let (handle, thread) = reactor::spawn(options(number, &settings), make)?;
        attached.push(hub::Reactor {
            inbox: Box::new(Door(handle.clone())),
            shown,
        });
        reactors.push(handle);
        threads.push(thread);
    }
    router.attach(attached);
    Ok(Gateway {
        router: router.clone(),
        reactors,
        threads: Mutex::new(threads),
    })
}

impl Gateway {
    /// Takes new settings to the reactors. No session notices but by the limits themselves.
    pub fn reload(&self, settings: Arc<Settings>) {
        for (number, reactor) in self.reactors.iter().enumerate() {
            reactor.resize(options(number, &settings));
        }
        self.router.reload(settings);
    }

    /// The reactors' handles.
    pub fn reactors(&self) -> &[Handle<Dialect>] {
        &self.reactors
    }

    /// Ends the reactors, with whatever sessions they still have, and waits for their threads.
    pub fn stop(&self) {
        for reactor in &self.reactors {
            reactor.stop();
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reactor's thread panicked");
            }
        }
    }
}

impl Reception for Gateway {
    fn receive(&self, arrival: Arrival) {
        // `arrival.query` is not looked at: a client that puts `topics=` there also sends an explicit
        // subscribe, with which an automatic one would race (wse-protocol 1.1), and `format=msgpack`
        // has no encoder yet, so that its clients get JSON, which they read as well.
        let guest = Guest {
            remote: arrival.remote,
            identity: arrival.identity,
        };
        // `start` makes one reactor at least.
        let least = self
            .reactors
            .iter()
            .min_by_key(|reactor| reactor.sessions());
        if let Some(reactor) = least {
            reactor.accept(arrival.socket, guest);
        }
    }
}

fn options(number: usize, settings: &Settings) -> Options {
    let limits = &settings.limits;
    Options {
        name: format!("reactor-{number}"),
        message_bytes: limits.message_bytes as usize,
        partial_bytes: usize::try_from(limits.partial_bytes).unwrap_or(usize::MAX),
        outbound_bytes: limits.outbound_bytes as usize,
        inbox_bytes: usize::try_from(limits.inbox_bytes).unwrap_or(usize::MAX),
        compression: Compression {
            level: settings.compression.level,
            min_bytes: settings.compression.min_bytes as usize,
        },
    }
}

/// The hub's way into a reactor.
struct Door(Handle<Dialect>);

impl Inbox for Door {
    fn command(&self, command: Command, bytes: usize) -> Result<(), NotTaken> {
        let taken = self.0.command(command, bytes);
        taken.map_err(|refused| match refused {
            reactor::NotTaken::Ended => NotTaken::Ended,
            reactor::NotTaken::Full(command) => NotTaken::Full(command),
        })
    }

    fn urge(&self, command: Command, bytes: usize) {
        self.0.urge(command, bytes);
    }

    fn room(&self) -> BoxFuture<()> {
        let handle = self.0.clone();
        Box::pin(async move { handle.room().await })
    }

    fn sessions(&self) -> usize {
        self.0.sessions()
    }
}
