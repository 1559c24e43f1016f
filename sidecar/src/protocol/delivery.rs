//! The hub's outbox over a reactor's context: encodes, frames, and chooses close codes.

use std::time::SystemTime;

use super::metrics::Tally;
use super::{code, text};
use crate::config::SlowConsumer;
use crate::hub::{
    Ack, ConnectionId, Encoding, Ending, Fanout, Outbox, Receiver, Refused, SessionKey,
};
use crate::reactor::{BlockBuilder, Context, Kind, Overflow, Pushed, SessionId, Span};

/// The encodings that sessions can speak. MessagePack, zlib and AES-GCM (wse-protocol 1.4) take
/// their places here and in [`Delivery::fan_out`] when they come.
pub(super) const JSON: Encoding = Encoding(0);

/// Memory kept from one turn to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: Vec<u8>,
    block: BlockBuilder,
}

/// A reactor's context, for the hub.
pub(super) struct Delivery<'a> {
    pub(super) cx: &'a mut Context,
    pub(super) scratch: &'a mut Scratch,
    pub(super) tally: &'a mut Tally,
}

impl Delivery<'_> {
    /// Sends one message of the protocol's own. Those are JSON text for every session, as published
    /// servers send them (wse-protocol 1.4).
    pub(super) fn send(&mut self, to: SessionId, write: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.text.clear();
        write(&mut self.scratch.text);
        // A session that is gone needs no message, and one that is full is closed and counted so.
        self.cx.send(to, Kind::Text, &self.scratch.text);
    }
}

impl Outbox for Delivery<'_> {
    fn ready(&mut self, session: SessionKey, id: &ConnectionId, user: &str, _: Encoding) {
        self.send(id_of(session), |out| {
            text::server_ready(out, id, user, SystemTime::now());
        });
    }

    fn acknowledge(&mut self, session: SessionKey, _: Encoding, ack: &Ack) {
        let to = id_of(session);
        self.send(to, |out| text::subscription_update(out, ack));
        if let Some((_, refused)) = ack.failed.first() {
            let message = explain(*refused, ack.failed.len());
            self.send(to, |out| text::subscription_failed(out, ack, &message));
        }
    }

    fn fan_out(&mut self, fanout: Fanout<'_>, receivers: &[Receiver]) -> u64 {
        debug_assert_eq!(fanout.encoding, JSON);
        for message in fanout.messages {
            self.scratch.block.push(Kind::Text, message);
        }
        let end = self.scratch.block.frames();
        let block = self.scratch.block.finish();
        let overflow = match fanout.slow_consumer {
            SlowConsumer::Close => Overflow::Close(code::SLOW),
            SlowConsumer::DropNewest => Overflow::DropNewest,
            SlowConsumer::LatestWins => Overflow::LatestWins { key: fanout.key.0 },
        };
        let mut span = Span {
            block,
            first: 0,
            end,
        };
        let mut queued = 0;
        for receiver in receivers {
            span.first = receiver.first;
            let messages = end - receiver.first;
            let (more, dropped) = match self.cx.push(id_of(receiver.session), &span, overflow) {
                Pushed::Queued => (messages, 0),
                Pushed::Replaced(older) => (messages, older),
                Pushed::Dropped(_) | Pushed::Closed => (0, messages),
                // Over or closing already: nobody slow.
                Pushed::Gone => (0, 0),
            };
            self.tally.slow_dropped(dropped);
            queued += u64::from(more);
        }
        queued
    }

    fn end(&mut self, session: SessionKey, ending: Ending<'_>) {
        let (code, reason) = match ending {
            Ending::Disconnected(code, reason) => (code, reason),
            Ending::Overflowed => (code::SLOW, "too much was published while subscribing"),
            Ending::Unserved => (code::GO_AWAY, "subscription lost"),
        };
        self.cx.close(id_of(session), code, reason);
    }

    fn queued_bytes(&self, session: SessionKey) -> usize {
        self.cx.queued_bytes(id_of(session))
    }
}

/// A session's name for the hub.
pub(super) fn key_of(id: SessionId) -> SessionKey {
    SessionKey(u64::from(id.generation) << 32 | u64::from(id.index))
}

/// And back.
fn id_of(key: SessionKey) -> SessionId {
    SessionId {
        index: key.0 as u32,
        generation: (key.0 >> 32) as u32,
    }
}

/// The first failed topic's reason, for people.
fn explain(refused: Refused, topics: usize) -> String {
    let why = match refused {
        Refused::Backplane => "the backplane refused it",
        Refused::Busy => "too many changes are waiting",
        Refused::Invalid => "it is not a valid topic name or pattern",
        Refused::Limit => "this connection has as many topics as it may have",
        Refused::NotPermitted => "the token does not permit it",
    };
    if topics == 1 {
        return format!("not subscribed: {why}");
    }
    format!("{topics} topics not subscribed; the first: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_name_in_both_rooms() {
        for (index, generation) in [(0, 0), (7, 3), (u32::MAX, u32::MAX), (0, u32::MAX)] {
            let id = SessionId { index, generation };
            assert_eq!(id_of(key_of(id)), id);
        }
    }
}
