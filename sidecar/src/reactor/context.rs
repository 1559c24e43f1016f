//! What a handler can do to its reactor.

use std::collections::VecDeque;
use std::time::Instant;

use slab::Slab;

use super::connection::{Connection, Phase};
use super::counters::Counters;
use super::wheel::Wheel;
use super::{Closed, Kind, Options, SLOW_CONSUMER, SessionId, Span};
use crate::wire::deflate::Deflater;

/// The reactor, as a handler sees it.
#[derive(Debug)]
pub struct Context {
    pub(super) connections: Slab<Connection>,
    pub(super) options: Options,
    pub(super) deflater: Deflater,
    pub(super) counters: Counters,
    /// When this turn began.
    pub(super) now: Instant,
    /// When the wheel's tick 0 began.
    pub(super) epoch: Instant,
    pub(super) wheel: Wheel,
    /// Connections with something to write or to be looked at when the turn ends.
    pub(super) dirty: Vec<SessionId>,
    /// Connections to read from in the next turn without waiting for an edge.
    pub(super) ready: VecDeque<SessionId>,
    /// Sessions that the handler must not see any more.
    pub(super) closing: Vec<SessionId>,
    /// Sessions whose end the handler has to be told.
    pub(super) over: Vec<(SessionId, Closed)>,
    /// Connections to be removed.
    pub(super) gone: Vec<SessionId>,
}

/// What a full outbound queue does to a push.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overflow {
    /// Close the session with this code.
    Close(u16),
    /// Leave the queue as it is and do not push.
    DropNewest,
    /// Replace what is queued, and not begun to be written, under the same key. If that makes too
    /// little room, leave the queue as it is and do not push.
    LatestWins {
        /// Names what replaces what: the handler's number for a topic.
        key: u64,
    },
}

/// What became of a push.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pushed {
    /// The session was closed for it.
    Closed,
    /// It was not queued; this many frames were pushed.
    Dropped(u32),
    /// There is no such session any more, or it is closing.
    Gone,
    /// All is queued.
    Queued,
    /// All is queued, in the place of this many older frames.
    Replaced(u32),
}

impl Context {
    /// The time at which this turn began: good enough for timeouts, and free.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Frames and queues one message for one session, copying it. Past the outbound bound the session
    /// is closed with 4508: only the handler's own few messages go this way.
    pub fn send(&mut self, id: SessionId, kind: Kind, payload: &[u8]) -> Pushed {
        if self.open(id).is_none() {
            return Pushed::Gone;
        }
        if !self.make_room(id, payload.len()) {
            self.close_overflowing(id, SLOW_CONSUMER);
            return Pushed::Closed;
        }
        let deflated = self.deflated_frame(id, kind, payload);
        let Some(connection) = self.open(id) else {
            return Pushed::Gone;
        };
        match deflated {
            Some(frame) => connection.queue.append(&[&frame]),
            None => connection.queue.append_frame(kind.into(), payload),
        }
        self.counters.messages_out += 1;
        self.mark_dirty(id);
        Pushed::Queued
    }

    /// Queues shared frames for one session.
    pub fn push(&mut self, id: SessionId, span: &Span, overflow: Overflow) -> Pushed {
        let Some(connection) = self.open(id) else {
            return Pushed::Gone;
        };
        if connection.engine.deflation_mut().is_none() {
            return self.push_as_it_is(id, span, overflow);
        }
        let deflated = self.deflated_span(id, span, overflow);
        let pushed = self.push_as_it_is(id, &deflated, overflow);
        if matches!(pushed, Pushed::Queued | Pushed::Replaced(_)) {
            self.count_deflated(span, &deflated);
        }
        pushed
    }

    fn push_as_it_is(&mut self, id: SessionId, span: &Span, overflow: Overflow) -> Pushed {
        self.make_room(id, span.as_bytes().len());
        let bound = self.options.outbound_bytes;
        let Some(connection) = self.open(id) else {
            return Pushed::Gone;
        };
        let push = connection.queue.push(span, overflow, bound);
        self.counters.messages_out += u64::from(push.queued);
        self.counters.frames_dropped += u64::from(push.dropped);
        match (push.outcome, overflow) {
            (Pushed::Closed, Overflow::Close(code)) => self.close_overflowing(id, code),
            _ => self.mark_dirty(id),
        }
        push.outcome
    }

    /// Queues a Close frame behind what is queued and ends the session after the close handshake, or
    /// without it after a few seconds (RFC 6455 section 7.1.1). No message is handed over any more.
    /// A reason longer than 123 bytes is cut at a character.
    pub fn close(&mut self, id: SessionId, code: u16, reason: &str) {
        let Some(connection) = self.open(id) else {
            return;
        };
        connection.engine.close(code, reason);
        connection.phase = Phase::Closing(code);
        if connection.paused {
            connection.paused = false;
            self.mark_ready(id);
        }
        self.closing.push(id);
        self.count_partial(id);
        self.queue_control(id);
        self.set_deadline(id);
    }

    /// Ends the session now: what is queued is lost.
    pub fn abort(&mut self, id: SessionId) {
        self.end(id, Closed::Lost, false);
    }

    /// Sets the session's one alarm, replacing the one before; None unsets it. It goes off within
    /// 50 ms after its time.
    pub fn alarm(&mut self, id: SessionId, at: Option<Instant>) {
        if self.open(id).is_none() {
            return;
        }
        match at {
            None => self.wheel.unset(id.index),
            Some(at) => self.wheel.set(id.index, self.tick_after(at)),
        }
    }

    /// Time of the last whole message from this client, or of its arrival. Pings and pongs are no
    /// messages.
    pub fn last_message(&self, id: SessionId) -> Option<Instant> {
        self.connection(id)
            .map(|connection| connection.last_message)
    }

    /// Bytes queued for the session and not yet taken by the kernel.
    pub fn queued_bytes(&self, id: SessionId) -> usize {
        self.connection(id)
            .map_or(0, |connection| connection.queue.bytes())
    }
}
