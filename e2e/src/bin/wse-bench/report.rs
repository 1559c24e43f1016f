//! The figures of a run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::latency::{Latency, Summary};
use crate::moves::{self, Moves};
use crate::processor::Share;

/// What one worker saw, or all of them together.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Seen {
    /// Connections that got as far as their subscription.
    pub(crate) opened: u64,
    /// Connections still there at the end.
    pub(crate) held: u64,
    /// Connections that left when they were meant to.
    pub(crate) left: u64,
    /// Of them, those that had lost their connection and were not back yet.
    pub(crate) left_away: u64,
    /// Messages that arrived on subscribed topics.
    pub(crate) delivered: u64,
    /// Why connections were not opened or ended early.
    pub(crate) failures: BTreeMap<String, u64>,
    /// From the moment a connection was due to its last ack.
    pub(crate) handshake: Latency,
    /// The same from the moment that its own attempt began.
    pub(crate) attempt: Latency,
    /// From the moment a ping was due to its PONG.
    pub(crate) ping: Latency,
    /// From the moment a message was due to be published to its arrival.
    pub(crate) delivery: Latency,
    /// What connections went through that come back.
    pub(crate) moves: Option<Moves>,
    pub(crate) deeds: Deeds,
    /// What each worker took of a processor.
    pub(crate) processors: Vec<Share>,
}

/// What a test's work came to.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Deeds {
    /// How long it took.
    pub(crate) seconds: f64,
    /// Things that were due, or messages that were sent.
    pub(crate) due: u64,
    /// Those that are known to be done.
    pub(crate) done: u64,
    /// From the moment that each was due.
    pub(crate) latency: Latency,
    /// Messages that a backend published.
    pub(crate) published: u64,
    /// Numbered messages that a connection did not receive between others, and those it received again.
    pub(crate) missing: u64,
    pub(crate) repeated: u64,
    /// Errors that the server sent, by code.
    pub(crate) told: BTreeMap<String, u64>,
    /// PONGs for a flood's pings.
    pub(crate) pongs: u64,
    /// Payload bytes of messages that may be compressed: as they are, and as they go over the wire.
    pub(crate) plain_bytes: u64,
    pub(crate) wire_bytes: u64,
}

/// What the backend saw.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Publishes that the API acknowledged.
    pub(crate) accepted: u64,
    /// Why others were not.
    pub(crate) failures: BTreeMap<String, u64>,
    /// From the moment a publish was due to its answer.
    pub(crate) call: Latency,
    /// How long all of it took.
    pub(crate) seconds: f64,
}

/// Everything that is printed.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) connections: u64,
    pub(crate) open_seconds: f64,
    /// From the first connection to the end.
    pub(crate) seconds: f64,
    pub(crate) seen: Seen,
    pub(crate) published: Option<Sent>,
}

impl Seen {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.opened += other.opened;
        self.held += other.held;
        self.left += other.left;
        self.left_away += other.left_away;
        self.delivered += other.delivered;
        moves::merge(&mut self.failures, &other.failures);
        self.handshake.merge(&other.handshake);
        self.attempt.merge(&other.attempt);
        self.ping.merge(&other.ping);
        self.delivery.merge(&other.delivery);
        if let Some(moves) = &other.moves {
            self.moves.get_or_insert_default().merge(moves);
        }
        self.deeds.merge(&other.deeds);
        self.processors.extend(&other.processors);
    }
}

impl Deeds {
    fn merge(&mut self, other: &Self) {
        self.seconds = self.seconds.max(other.seconds);
        self.due += other.due;
        self.done += other.done;
        self.latency.merge(&other.latency);
        self.published += other.published;
        self.missing += other.missing;
        self.repeated += other.repeated;
        moves::merge(&mut self.told, &other.told);
        self.pongs += other.pongs;
        self.plain_bytes += other.plain_bytes;
        self.wire_bytes += other.wire_bytes;
    }
}

impl Report {
    /// One line of JSON.
    pub(crate) fn json(&self) -> Result<String, String> {
        #[derive(Serialize)]
        struct Connections<'a> {
            asked: u64,
            opened: u64,
            held: u64,
            open_seconds: f64,
            failures: &'a BTreeMap<String, u64>,
            handshake: Option<Summary>,
            ping: Option<Summary>,
        }
        #[derive(Serialize)]
        struct Published<'a> {
            accepted: u64,
            seconds: f64,
            failures: &'a BTreeMap<String, u64>,
            call: Option<Summary>,
        }
        #[derive(Serialize)]
        struct Delivered {
            messages: u64,
            expected: Option<u64>,
            latency: Option<Summary>,
        }
        #[derive(Serialize)]
        struct Whole<'a> {
            connections: Connections<'a>,
            published: Option<Published<'a>>,
            delivered: Delivered,
            moves: Option<moves::Summary<'a>>,
        }
        let whole = Whole {
            connections: Connections {
                asked: self.connections,
                opened: self.seen.opened,
                held: self.seen.held,
                open_seconds: self.open_seconds,
                failures: &self.seen.failures,
                handshake: self.seen.handshake.summary(),
                ping: self.seen.ping.summary(),
            },
            published: self.published.as_ref().map(|sent| Published {
                accepted: sent.accepted,
                seconds: sent.seconds,
                failures: &sent.failures,
                call: sent.call.summary(),
            }),
            delivered: Delivered {
                messages: self.seen.delivered,
                expected: self.expected(),
                latency: self.seen.delivery.summary(),
            },
            moves: self.seen.moves.as_ref().map(Moves::summary),
        };
        serde_json::to_string(&whole).map_err(|error| error.to_string())
    }

    fn expected(&self) -> Option<u64> {
        Some(self.published.as_ref()?.accepted * self.seen.opened)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = &self.seen;
        let rate = seen.opened as f64 / self.open_seconds.max(f64::MIN_POSITIVE);
        let (asked, seconds) = (self.connections, self.open_seconds);
        let opened = seen.opened;
        writeln!(
            f,
            "opened     {opened} of {asked} in {seconds:.2} s ({rate:.0}/s)"
        )?;
        row(f, "handshake", &seen.handshake)?;
        writeln!(f, "held       {} of {opened}", seen.held)?;
        row(f, "ping", &seen.ping)?;
        failures(f, &seen.failures)?;
        if let Some(sent) = &self.published {
            let rate = sent.accepted as f64 / sent.seconds.max(f64::MIN_POSITIVE);
            let (accepted, seconds) = (sent.accepted, sent.seconds);
            writeln!(f, "published  {accepted} in {seconds:.2} s ({rate:.0}/s)")?;
            row(f, "call", &sent.call)?;
            failures(f, &sent.failures)?;
        }
        match self.expected() {
            Some(expected) => writeln!(f, "delivered  {} of {expected}", seen.delivered)?,
            None if seen.delivered > 0 => writeln!(f, "delivered  {}", seen.delivered)?,
            None => {}
        }
        row(f, "delivery", &seen.delivery)?;
        match &seen.moves {
            Some(moves) => moves.fmt(f),
            None => Ok(()),
        }
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, latency: &Latency) -> fmt::Result {
    match latency.summary() {
        Some(summary) => writeln!(f, "{name:<10} {summary}"),
        None => Ok(()),
    }
}

fn failures(f: &mut fmt::Formatter<'_>, failures: &BTreeMap<String, u64>) -> fmt::Result {
    for (why, count) in failures {
        writeln!(f, "failed     {count}: {why}")?;
    }
    Ok(())
}
