//! What the connections of one worker share.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use wse_e2e::Error;
use wse_e2e::client::Dial;

use crate::latency::Latency;
use crate::moves::{Moment, Track};
use crate::report::Seen;
use crate::worker::now_us;
use crate::worker::pace::Pace;
use crate::worker::plan::{Progress, Turns};

/// Connections from one local address. It has about 28,000 ports, but the fuller it is the longer the
/// kernel looks for a free one.
const PORTS: usize = 4_000;

/// What the connections of one worker share.
pub(crate) struct Crowd {
    /// Ways in, taken in turn.
    pub(crate) doors: Vec<Dial>,
    /// The first local address to connect from. None: the kernel chooses.
    pub(crate) source: Option<Ipv4Addr>,
    /// Connections that came from there before, and have left their ports in use.
    pub(crate) gone: Cell<usize>,
    pub(crate) topics: Vec<String>,
    /// Handshakes under way at once.
    pub(crate) slots: Semaphore,
    /// Time between the pings of one connection. Zero: none.
    pub(crate) ping: Duration,
    /// What they ask, and when after the beginning each does first.
    pub(crate) turns: Option<(Turns, Vec<Duration>)>,
    pub(crate) pace: Pace,
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
        let returned = seen.moves.as_ref().map(|moves| moves.total().returned);
        Progress {
            opened: seen.opened,
            held: seen.held,
            // To come back is the work of those that do.
            done: seen.deeds.done + returned.unwrap_or_default(),
            latency: latency.cloned().unwrap_or_default(),
        }
    }

    /// How one of its connections is made.
    pub(super) fn dial(&self, number: usize) -> Dial {
        Dial {
            source: self
                .source
                .map(|first| source(first, self.gone.get() + number)),
            ..self.doors[number % self.doors.len()].clone()
        }
    }

    pub(super) fn fail(&self, error: &Error) {
        let mut seen = self.seen.borrow_mut();
        *seen.failures.entry(error.to_string()).or_default() += 1;
    }

    /// Whether connections come back when they end.
    pub(super) fn come_back(&self) -> bool {
        self.tracks.is_some()
    }

    /// Notes what happens now to connections that come back; nothing of others.
    pub(super) fn now(&self, note: impl FnOnce(&mut Moment)) {
        if self.come_back() {
            let after_us = self.after_us();
            let mut seen = self.seen.borrow_mut();
            note(seen.moves.get_or_insert_default().moment(after_us));
        }
    }

    /// Notes that one of them was closed. Whether it was asked to move.
    pub(super) fn close(&self, code: u16) -> bool {
        let after_us = self.after_us();
        let mut seen = self.seen.borrow_mut();
        seen.moves.get_or_insert_default().close(code, after_us)
    }

    /// Notes something of one of them.
    pub(super) fn track(&self, number: usize, note: impl FnOnce(&mut Track)) {
        if let Some(tracks) = &self.tracks {
            note(&mut tracks.borrow_mut()[number]);
        }
    }

    /// One of them has left for its own reasons: what it went through ends here.
    pub(super) fn forget(&self, number: usize) {
        self.track(number, |track| {
            let mut seen = self.seen.borrow_mut();
            let moves = seen.moves.get_or_insert_default();
            moves.add(&std::mem::take(track));
        });
    }

    /// Waits until a moment; for ever if there is none.
    pub(super) async fn until(&self, moment: Option<Instant>) {
        match moment {
            Some(moment) => self.pace.until(moment).await,
            None => std::future::pending().await,
        }
    }

    /// Microseconds since the run began.
    fn after_us(&self) -> u64 {
        now_us().saturating_sub(self.began_us)
    }
}
