//! The end of a turn: what is queued is written, reading stops or resumes by what is left, and the
//! handler is told which sessions are over.

use std::mem;

use super::connection::Phase;
use super::turn::Reactor;
use super::{Handler, SessionId};

impl<H: Handler> Reactor<H> {
    /// Writes what is queued, once a session, and stops or resumes reading by what is left.
    pub(super) fn settle(&mut self) {
        self.hide_closing();
        let mut dirty = mem::replace(&mut self.cx.dirty, mem::take(&mut self.dirty));
        for id in dirty.drain(..) {
            if let Some(connection) = self.cx.connection_mut(id) {
                connection.in_dirty = false;
                self.cx.flush(id);
                self.cx.count_queued(id);
                self.cx.wind_up(id);
                self.pace(id);
            }
        }
        self.dirty = dirty;
    }

    fn pace(&mut self, id: SessionId) {
        let bound = self.cx.options.outbound_bytes;
        let Some(connection) = self.cx.connection_mut(id) else {
            return;
        };
        let queued = connection.queue.bytes();
        let unfinished = queued > 0 && connection.writable && connection.phase != Phase::Gone;
        if unfinished {
            self.cx.mark_dirty(id);
        }
        let Some(connection) = self.cx.open(id) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if !connection.paused && queued > bound / 2 {
            connection.paused = true;
            self.handler.pause(id, session, &mut self.cx);
        } else if connection.paused && queued == 0 {
            connection.paused = false;
            self.cx.mark_ready(id);
            self.handler.resume(id, session, &mut self.cx);
        }
    }

    /// Tells the handler the ends of sessions, and removes the connections that are done.
    pub(super) fn reap(&mut self) {
        self.hide_closing();
        while !self.cx.over.is_empty() {
            for (id, closed) in mem::take(&mut self.cx.over) {
                self.cx.counters.count_closed(closed);
                if let Some(session) = self.sessions.remove(id) {
                    self.handler.close(id, session, closed, &mut self.cx);
                }
            }
            self.hide_closing();
        }
        for id in mem::take(&mut self.cx.gone) {
            if self.cx.remove(id) {
                self.inbox.session_gone();
            }
        }
    }

    /// Takes the sessions that are closing out of sight, and tells the handler.
    pub(super) fn hide_closing(&mut self) {
        while let Some(id) = self.cx.closing.pop() {
            if self.sessions.set_closing(id) {
                self.handler.closing(id, &mut self.cx);
            }
        }
    }
}
