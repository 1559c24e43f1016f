//! What arrives on the subscriptions' connection and waits to be delivered. The client library hands
//! messages to a callback that must not wait, so the bound is kept here: over [`INBOX_BYTES`]
//! everything is thrown away until what waits has been delivered; then one [`Event::Overflow`] tells
//! the reader to read what it missed from the history. Control messages have a queue of their own, so
//! a slow hub does not stop them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{mpsc, watch};

use super::keys::{Channel, Keys};
use super::message::Message;
use super::subscriptions::HeadsSender;
use crate::backplane::{Metrics, Position};
use crate::topic::{Pattern, Topic};

/// Bytes that may wait.
pub(super) const INBOX_BYTES: usize = 16 << 20;

/// What a waiting message costs besides its bytes.
const MESSAGE_COST: usize = 160;

/// Control messages that may wait.
const CONTROL_ROOM: usize = 1024;

/// In the order in which it happened on the subscriptions' connection.
#[derive(Debug)]
pub(super) enum Event {
    /// Interest in a topic begins; its channel is about to be joined.
    AddTopic(Topic),
    AddPattern(Pattern),
    /// A topic's head, read after its channel was joined.
    Head(Topic, Position),
    /// The firehoses were joined, and these are the partitions' positions, read after that.
    JoinedFirehoses(Vec<Position>),
    DropTopic(Topic),
    DropPattern(Pattern),
    /// A call that asked for a pattern is to be answered, once what lies before this is with the sink:
    /// a pattern has no head that would tell what came before it.
    Answer(HeadsSender, Vec<Option<Position>>),
    /// A message, its channel and partition, and what it counts against the bound.
    Message(Message, Channel, u16),
    /// What came after this was thrown away, until the reader takes note.
    Overflow,
    /// The connection is closed; nothing follows.
    End,
}

/// The way in.
#[derive(Clone)]
pub(super) struct Inbox(Arc<Inner>);

struct Inner {
    keys: Arc<Keys>,
    metrics: Metrics,
    events: mpsc::UnboundedSender<Event>,
    control: mpsc::Sender<Bytes>,
    waiting_bytes: AtomicUsize,
    overflowed: AtomicBool,
    disconnected: watch::Sender<bool>,
}

/// The way out.
pub(super) struct Outlet {
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    pub(super) control: mpsc::Receiver<Bytes>,
}

impl Inbox {
    /// `disconnected` becomes true when the connection is lost.
    pub(super) fn new(
        keys: Arc<Keys>,
        metrics: Metrics,
        disconnected: watch::Sender<bool>,
    ) -> (Self, Outlet) {
        let (events, events_out) = mpsc::unbounded_channel();
        let (control, control_out) = mpsc::channel(CONTROL_ROOM);
        metrics.inbox_bytes.set(0);
        let inbox = Self(Arc::new(Inner {
            keys,
            metrics,
            events,
            control,
            waiting_bytes: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
            disconnected,
        }));
        let outlet = Outlet {
            events: events_out,
            control: control_out,
        };
        (inbox, outlet)
    }

    /// Puts something between the messages. It does not count against the bound.
    pub(super) fn note(&self, event: Event) {
        // Without a reader the connection is over, and so is what it brought.
        let _ = self.0.events.send(event);
    }

    /// Takes what the client library received. Never waits.
    pub(super) fn push(&self, push: PushInfo) {
        match push.kind {
            PushKind::Disconnection => {
                self.0.disconnected.send_replace(true);
            }
            PushKind::SMessage if self.message(push.data).is_none() => {
                self.0.metrics.malformed.inc();
            }
            _ => {}
        }
    }

    /// What a delivered message counted against the bound is free again.
    pub(super) fn release(&self, bytes: usize) {
        let before = self.0.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.gauge(before - bytes);
    }

    /// From now on messages are taken again.
    pub(super) fn take_again(&self) {
        self.0.overflowed.store(false, Ordering::Release);
    }

    fn message(&self, data: Vec<Value>) -> Option<()> {
        let [channel, payload] = <[Value; 2]>::try_from(data).ok()?;
        let (Value::BulkString(channel), Value::BulkString(payload)) = (channel, payload) else {
            return None;
        };
        let (channel, k) = self.0.keys.channel(&channel)?;
        let payload = Bytes::from(payload);
        if channel == Channel::Control {
            if self.0.control.try_send(payload).is_err() {
                self.0.metrics.control("dropped");
            }
            return Some(());
        }
        let message = Message::decode(payload)?;
        self.admit(message, channel, k);
        Some(())
    }

    fn admit(&self, message: Message, channel: Channel, k: u16) {
        if self.0.overflowed.load(Ordering::Acquire) {
            return;
        }
        let cost = cost(&message);
        let before = self.0.waiting_bytes.fetch_add(cost, Ordering::AcqRel);
        // A message larger than the bound is taken when nothing waits: it must not block its topic.
        if before > 0 && before + cost > INBOX_BYTES {
            self.0.waiting_bytes.fetch_sub(cost, Ordering::AcqRel);
            self.0.overflowed.store(true, Ordering::Release);
            self.0.metrics.inbox_overflows.inc();
            self.note(Event::Overflow);
            return;
        }
        self.gauge(before + cost);
        self.note(Event::Message(message, channel, k));
    }

    fn gauge(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.0.metrics.inbox_bytes.set(bytes);
    }
}

/// What a message counts against the bound.
pub(super) fn cost(message: &Message) -> usize {
    message.payload.len() + message.topic().len() + MESSAGE_COST
}
