//! The course of a session's life, and the lists of what this turn has still to do.

use std::time::{Duration, Instant};

use super::connection::{Connection, Phase, Sent};
use super::{Closed, Context, SessionId};
use crate::wire::MAX_HEADER_BYTES;

/// Length of the wheel's tick: an alarm goes off at most this late, and the poll's own millisecond.
const TICK: Duration = Duration::from_millis(16);

/// How long the client may take to answer a Close frame, and then to end the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl Context {
    pub(super) fn connection(&self, id: SessionId) -> Option<&Connection> {
        self.connections
            .get(id.index as usize)
            .filter(|connection| connection.id == id)
    }

    pub(super) fn connection_mut(&mut self, id: SessionId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.index as usize)
            .filter(|connection| connection.id == id)
    }

    /// A session that messages still go to.
    pub(super) fn open(&mut self, id: SessionId) -> Option<&mut Connection> {
        self.connection_mut(id)
            .filter(|connection| connection.is_open())
    }

    /// Puts a connection on the list of what the end of the turn looks at.
    pub(super) fn mark_dirty(&mut self, id: SessionId) {
        if let Some(connection) = self.connection_mut(id)
            && !connection.in_dirty
        {
            connection.in_dirty = true;
            self.dirty.push(id);
        }
    }

    /// Puts a connection that should be read from at the back of the ready list.
    pub(super) fn mark_ready(&mut self, id: SessionId) {
        if let Some(connection) = self.connection_mut(id)
            && connection.should_read()
            && !connection.in_ready
        {
            connection.in_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Queues the control frames that the engine has ready.
    pub(super) fn queue_control(&mut self, id: SessionId) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let mut frames = Vec::new();
        if connection.engine.poll_transmit(&mut frames) {
            connection.queue.append(&[&frames]);
        }
        self.mark_dirty(id);
    }

    /// Whether a message of this many bytes fits the queue, if need be after a write: the bound is for
    /// clients that do not read, not for a turn that has much to say.
    pub(super) fn make_room(&mut self, id: SessionId, payload_bytes: usize) -> bool {
        let bound = self.options.outbound_bytes;
        let more = payload_bytes + MAX_HEADER_BYTES;
        let Some(connection) = self.open(id) else {
            return false;
        };
        if connection.queue.has_room(more, bound) {
            return true;
        }
        if !connection.holding {
            self.flush(id);
        }
        self.open(id)
            .is_some_and(|connection| connection.queue.has_room(more, bound))
    }

    /// Closes a session whose client does not read. What has not begun to be written goes, so that the
    /// Close frame has a chance.
    pub(super) fn close_overflowing(&mut self, id: SessionId, code: u16) {
        if let Some(connection) = self.open(id) {
            self.counters.frames_dropped += u64::from(connection.queue.cut());
            self.close(id, code, "slow consumer");
        }
    }

    /// Writes from the queue, if the socket takes anything: once, or with TLS piece by piece.
    pub(super) fn flush(&mut self, id: SessionId) {
        while let Some(connection) = self.connection_mut(id)
            && connection.writable
            && connection.phase != Phase::Gone
            && !connection.queue.is_empty()
        {
            let in_pieces = connection.writes_in_pieces();
            let sent = connection.write_queue();
            self.counters.writes += 1;
            let Ok(Sent { taken, wire }) = sent else {
                return self.end(id, Closed::Lost, false);
            };
            self.counters.bytes_out += wire as u64;
            if !in_pieces || taken + wire == 0 {
                return;
            }
        }
    }

    /// A session is over. Gracefully: what is queued still goes out. A session that this side was
    /// closing ends as closed by this side, however its connection ended.
    pub(super) fn end(&mut self, id: SessionId, closed: Closed, gracefully: bool) {
        let Some(connection) = self.connection_mut(id) else {
            return;
        };
        let before = connection.phase;
        if before == Phase::Gone || (before == Phase::Ending && gracefully) {
            return;
        }
        connection.engine.discard_partial();
        connection.phase = if gracefully {
            Phase::Ending
        } else {
            Phase::Gone
        };
        match before {
            Phase::Open => self.over.push((id, closed)),
            Phase::Closing(code) => self.over.push((id, Closed::ByServer(code))),
            Phase::Ending | Phase::Gone => {}
        }
        self.count_partial(id);
        self.closing.push(id);
        if gracefully {
            self.set_deadline(id);
            self.mark_dirty(id);
            self.mark_ready(id);
        } else {
            self.wheel.unset(id.index);
            self.gone.push(id);
        }
    }

    /// Takes the last steps of a session that is over, as far as the socket lets it.
    pub(super) fn wind_up(&mut self, id: SessionId) {
        let Some(connection) = self.spent(id) else {
            return;
        };
        connection.farewell();
        self.flush(id);
        let Some(connection) = self.spent(id) else {
            return;
        };
        connection.shut_down();
        if connection.eof {
            self.end(id, Closed::Lost, false);
        }
    }

    /// A session that is over and has nothing left to write.
    fn spent(&mut self, id: SessionId) -> Option<&mut Connection> {
        self.connection_mut(id)
            .filter(|connection| connection.phase == Phase::Ending && connection.queue.is_empty())
    }

    /// Closes the sessions with the largest unfinished messages until the others fit the budget.
    pub(super) fn keep_partial_budget(&mut self) {
        while self.counters.partial_bytes > self.options.partial_bytes as u64 {
            let largest = self
                .connections
                .iter()
                .filter(|(_, connection)| connection.is_open() && connection.counted_partial > 0)
                .max_by_key(|(_, connection)| connection.counted_partial)
                .map(|(_, connection)| connection.id);
            let Some(id) = largest else {
                return;
            };
            self.close(id, 1009, "too many unfinished messages");
        }
    }

    /// Brings the gauge of unfinished messages up to date with one connection.
    pub(super) fn count_partial(&mut self, id: SessionId) {
        if let Some(connection) = self.connection_mut(id) {
            let now = connection.engine.partial_bytes();
            let before = std::mem::replace(&mut connection.counted_partial, now);
            self.counters.partial_bytes += now as u64;
            self.counters.partial_bytes -= before as u64;
        }
    }

    /// Brings the gauge of queued bytes up to date with one connection.
    pub(super) fn count_queued(&mut self, id: SessionId) {
        if let Some(connection) = self.connection_mut(id) {
            let now = connection.queue.bytes();
            let before = std::mem::replace(&mut connection.counted_queued, now);
            self.counters.queued_bytes += now as u64;
            self.counters.queued_bytes -= before as u64;
        }
    }

    /// Removes a connection and what it added to the gauges.
    pub(super) fn remove(&mut self, id: SessionId) -> bool {
        if self.connection(id).is_none() {
            return false;
        }
        self.count_history(id);
        let connection = self.connections.remove(id.index as usize);
        self.counters.history_bytes -= connection.engine.history_bytes() as u64;
        self.counters.partial_bytes -= connection.counted_partial as u64;
        self.counters.queued_bytes -= connection.counted_queued as u64;
        true
    }

    /// The deadline of a session that is closing or ending takes the place of its alarm.
    pub(super) fn set_deadline(&mut self, id: SessionId) {
        self.wheel
            .set(id.index, self.tick_after(self.now + CLOSE_TIMEOUT));
    }

    /// The wheel's first tick that begins after this time.
    pub(super) fn tick_after(&self, at: Instant) -> u64 {
        self.tick(at) + 1
    }

    /// The wheel's tick at this time.
    pub(super) fn tick(&self, at: Instant) -> u64 {
        (at.saturating_duration_since(self.epoch).as_millis() / TICK.as_millis()) as u64
    }

    /// Time from `now` until the next alarm may be due. None when there is none.
    pub(super) fn until_alarm(&self, now: Instant) -> Option<Duration> {
        let tick = self.wheel.next_tick()?;
        let ticks = u32::try_from(tick).unwrap_or(u32::MAX);
        Some((self.epoch + TICK * ticks).saturating_duration_since(now))
    }
}
