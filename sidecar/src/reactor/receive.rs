//! From the socket to the handler, and the replies back.

use std::ops::Range;

use super::batch::Batch;
use super::connection::{Input, Phase};
use super::turn::Reactor;
use super::{Closed, Context, Handler, Message, Reply, SessionId, Sessions};
use crate::wire::{Assembled, Event, Header, Kind};

/// Size of the receive buffer: a larger one falls out of the caches.
pub(super) const RECEIVE_BYTES: usize = 64 * 1024;

/// A read of this many bytes shows a connection with much to say.
const BUSY_BYTES: usize = 8 << 10;

/// Room in front of what is received, so that the reply to a message that ended in this read, but
/// began in an earlier one, can be sent together with those behind it.
const HEADROOM_BYTES: usize = 4 * 1024;

/// The receive buffer of all connections of a loop.
pub(super) struct Buffer(Box<[u8]>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; HEADROOM_BYTES + RECEIVE_BYTES].into())
    }
}

impl Buffer {
    /// Puts in bytes that came some other way; gives how many.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(RECEIVE_BYTES);
        self.0[HEADROOM_BYTES..][..taken].copy_from_slice(&bytes[..taken]);
        taken
    }
}

impl<H: Handler> Reactor<H> {
    /// Reads a connection once. One that has more goes to the back of the ready list.
    pub(super) fn read(&mut self, id: SessionId) {
        let Some(connection) = self.cx.connection_mut(id) else {
            return;
        };
        if !connection.should_read() {
            return;
        }
        let buffer = &mut self.buffer.0[HEADROOM_BYTES..];
        let input = connection.read(buffer, &mut self.ciphertext);
        let ending = connection.phase == Phase::Ending;
        connection.busy =
            !ending && matches!(input, Ok(Input::Bytes { wire, .. }) if wire >= BUSY_BYTES);
        match input {
            Ok(Input::Bytes { wire, .. }) if ending => {
                if connection.linger(wire) {
                    self.cx.end(id, Closed::Lost, false);
                }
            }
            Ok(Input::Bytes { bytes, wire }) => {
                if connection.queue.sealed() > 0 {
                    self.cx.mark_dirty(id);
                }
                self.cx.counters.bytes_in += wire as u64;
                self.deliver(id, bytes);
            }
            Ok(Input::End) => {
                self.cx.end(id, Closed::Lost, true);
                self.cx.mark_dirty(id);
            }
            Ok(Input::None) => {}
            Err(_) => self.cx.end(id, Closed::Lost, false),
        }
        self.cx.mark_ready(id);
    }

    /// Hands over the messages in the first `bytes` of the receive buffer, and sends the replies.
    pub(super) fn deliver(&mut self, id: SessionId, bytes: usize) {
        let Self {
            handler,
            sessions,
            cx,
            buffer: Buffer(buffer),
            inflater,
            ..
        } = self;
        let (mut at, end) = (HEADROOM_BYTES, HEADROOM_BYTES + bytes);
        let mut batch = Batch::default();
        while at < end {
            let message_bytes = cx.options.message_bytes;
            let Some(connection) = cx.connection_mut(id) else {
                return;
            };
            if matches!(connection.phase, Phase::Ending | Phase::Gone) {
                break;
            }
            connection.holding = !batch.is_empty();
            let input = &mut buffer[at..end];
            if let Some((kind, payload)) = connection.engine.take_whole(input, message_bytes) {
                let payload = at + payload.start..at + payload.end;
                at = payload.end;
                let message = Message {
                    kind,
                    payload: &mut buffer[payload.clone()],
                };
                let reply = hand_over(handler, sessions, cx, id, message);
                keep_order(cx, id, buffer, &mut batch);
                if reply == Reply::InPlace {
                    reply_from_buffer(cx, id, buffer, &mut batch, kind, payload);
                }
                continue;
            }
            let step = connection
                .engine
                .handle_input(input, message_bytes, inflater);
            at += step.consumed;
            match step.event {
                None => {}
                Some(Event::Assembled(mut assembled)) => {
                    cx.count_history(id);
                    let kind = assembled.kind();
                    let message = Message {
                        kind,
                        payload: assembled.payload_mut(),
                    };
                    let reply = hand_over(handler, sessions, cx, id, message);
                    keep_order(cx, id, buffer, &mut batch);
                    if reply == Reply::InPlace {
                        reply_assembled(cx, id, buffer, &mut batch, at, assembled);
                    }
                }
                Some(Event::Ping) => pong(cx, id, buffer, &mut batch, at),
                Some(Event::Closed(code)) => {
                    send_batch(cx, id, buffer, &mut batch);
                    cx.queue_control(id);
                    cx.end(id, Closed::ByClient(code), true);
                }
                Some(Event::Failed(violation)) => {
                    send_batch(cx, id, buffer, &mut batch);
                    cx.queue_control(id);
                    cx.end(id, Closed::ByServer(violation.code()), true);
                }
            }
        }
        send_batch(cx, id, buffer, &mut batch);
        if let Some(connection) = cx.connection_mut(id) {
            connection.holding = false;
            let frames = connection.engine.take_overhead_frames();
            if connection.engine.wants_transmit() {
                cx.queue_control(id);
            }
            if frames > 0
                && cx.open(id).is_some()
                && let Some(session) = sessions.get_mut(id)
            {
                handler.overhead(id, session, frames, cx);
            }
        }
        cx.count_partial(id);
        cx.keep_partial_budget();
    }
}

/// Calls the handler. A session that the handler closed gets no reply.
fn hand_over<H: Handler>(
    handler: &mut H,
    sessions: &mut Sessions<H::Session>,
    cx: &mut Context,
    id: SessionId,
    message: Message<'_>,
) -> Reply {
    let now = cx.now;
    let (Some(session), Some(connection)) = (sessions.get_mut(id), cx.open(id)) else {
        return Reply::Nothing;
    };
    connection.last_message = now;
    cx.counters.messages_in += 1;
    let reply = handler.message(id, session, message, cx);
    if reply == Reply::InPlace && cx.open(id).is_none() {
        return Reply::Nothing;
    }
    reply
}

/// Sends a message back from where it lies in the receive buffer.
fn reply_from_buffer(
    cx: &mut Context,
    id: SessionId,
    buffer: &mut [u8],
    batch: &mut Batch,
    kind: Kind,
    payload: Range<usize>,
) {
    cx.counters.messages_out += 1;
    let Some(connection) = cx.connection_mut(id) else {
        return;
    };
    if connection.engine.deflation_mut().is_none() {
        if connection.queue.is_empty() {
            batch.add_in_place(buffer, kind, payload);
            return;
        }
        connection.queue.append_frame(kind.into(), &buffer[payload]);
        cx.mark_dirty(id);
        return;
    }
    let unread = payload.end;
    let payload = &buffer[payload];
    let frame = cx.deflated_frame(id, kind, payload).unwrap_or_else(|| {
        let header = Header::new(kind.into(), payload.len());
        [header.as_bytes(), payload].concat()
    });
    reply_apart(cx, id, buffer, batch, unread, (frame, 0));
}

/// Sends a message back that has memory of its own: with the other replies if it fits below `unread`,
/// the first byte of the receive buffer that is still needed.
fn reply_assembled(
    cx: &mut Context,
    id: SessionId,
    buffer: &mut [u8],
    batch: &mut Batch,
    unread: usize,
    assembled: Assembled,
) {
    cx.counters.messages_out += 1;
    let frame = match cx.deflated_frame(id, assembled.kind(), assembled.payload()) {
        Some(frame) => (frame, 0),
        None => assembled.into_frame(),
    };
    reply_apart(cx, id, buffer, batch, unread, frame);
}

/// Sends a reply that lies elsewhere: the frame is what begins at the index.
fn reply_apart(
    cx: &mut Context,
    id: SessionId,
    buffer: &mut [u8],
    batch: &mut Batch,
    unread: usize,
    (frame, start): (Vec<u8>, usize),
) {
    let direct = cx.queued_bytes(id) == 0;
    if direct && batch.add_copy(buffer, unread, &frame[start..]) {
        return;
    }
    send_batch(cx, id, buffer, batch);
    if let Some(connection) = cx.connection_mut(id) {
        connection.queue.append_owned(frame, start);
        cx.mark_dirty(id);
    }
}

/// Answers a ping in its place among the replies.
fn pong(cx: &mut Context, id: SessionId, buffer: &mut [u8], batch: &mut Batch, unread: usize) {
    let Some(connection) = cx.connection_mut(id) else {
        return;
    };
    let mut frame = Vec::new();
    connection.engine.poll_transmit(&mut frame);
    if connection.queue.is_empty() && batch.add_copy(buffer, unread, &frame) {
        return;
    }
    send_batch(cx, id, buffer, batch);
    if let Some(connection) = cx.connection_mut(id) {
        connection.queue.append(&[&frame]);
        cx.mark_dirty(id);
    }
}

/// If the handler has queued something, the replies made before it go first.
fn keep_order(cx: &mut Context, id: SessionId, buffer: &[u8], batch: &mut Batch) {
    if !batch.is_empty() && cx.queued_bytes(id) > 0 {
        send_batch(cx, id, buffer, batch);
    }
}

/// Sends the replies that lie in the buffer; what the kernel does not take goes to the front of the
/// queue.
fn send_batch(cx: &mut Context, id: SessionId, buffer: &[u8], batch: &mut Batch) {
    let replies = &buffer[batch.take()];
    let Some(connection) = cx.connection_mut(id) else {
        return;
    };
    if replies.is_empty() || connection.phase == Phase::Gone {
        return;
    }
    let sent = connection.send(replies);
    if let Ok(sent) = sent {
        connection.queue.prepend(&replies[sent.taken..]);
    }
    let unsent = !connection.queue.is_empty();
    cx.counters.writes += 1;
    match sent {
        Ok(sent) => {
            cx.counters.bytes_out += sent.wire as u64;
            if unsent {
                cx.mark_dirty(id);
            }
        }
        Err(_) => cx.end(id, Closed::Lost, false),
    }
}
