//! The verb control: a request on the channel of one pod or of all, replies on the channel of the
//! pod that asked. The same way a pod tells all that it reads, and those that read answer; neither has
//! a number, an end or a body. Big-endian: version u8, kind u8, request's number u64, end of its time in ms of
//! the server's clock u64, length of the sender's name u16, name, body.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use hashbrown::{HashMap, HashSet};
use redis::cmd;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::session::{Fault, Session};
use super::{Core, Redis};
use crate::backplane::{Error, NodeId, Replies, To};

const VERSION: u8 = 1;

/// Requests of other pods that are answered at once, at most; the others wait.
const AT_ONCE: usize = 64;

/// Where replies to a request go: who answered, and what.
type ReplySender = mpsc::UnboundedSender<(NodeId, Bytes)>;

/// Requests of this pod that wait for replies, by number.
#[derive(Default)]
pub(super) struct Pending(Mutex<HashMap<u64, ReplySender>>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// The sender has caught up, after a start or an outage.
    Arrival,
    /// The sender had caught up when it heard of an arrival.
    Presence,
    Reply,
    Request,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Letter {
    kind: Kind,
    number: u64,
    ends_millis: u64,
    from: NodeId,
    body: Bytes,
}

/// A request's entry among the pending, until it is dropped.
struct Waiting<'a>(&'a Pending, u64);

impl Redis {
    pub(in crate::backplane) async fn control(
        &self,
        to: To,
        request: Bytes,
        time: Duration,
    ) -> Result<Replies, Error> {
        let core = &self.core;
        let deadline = Instant::now() + time;
        let asks_self = match &to {
            To::All => true,
            To::Node(node) => *node == core.node,
        };
        if asks_self && to != To::All {
            core.metrics.control("sent");
            return Ok(core.ask_self(request, deadline).await);
        }
        let session = core.session()?;
        let mut others: HashSet<NodeId> = timeout(time, core.nodes(&session, false))
            .await
            .map_err(|_| Error::Away("Redis did not answer in time".to_owned()))??
            .into_iter()
            .map(|node| node.id)
            .filter(|node| *node != core.node && (asks_self || to == To::Node(node.clone())))
            .collect();
        let (number, mut incoming) = core.pending.open();
        let _waiting = Waiting(&core.pending, number);
        if !others.is_empty() {
            let channel = match &to {
                To::All => core.keys.all_nodes(),
                To::Node(node) => core.keys.to_node(node),
            };
            let ends_millis = session
                .clock(0)
                .map_or(u64::MAX, |clock| clock.at(deadline));
            let letter = Letter {
                kind: Kind::Request,
                number,
                ends_millis,
                from: core.node.clone(),
                body: request.clone(),
            };
            core.send(&session, channel, &letter).await?;
        }
        core.metrics.control("sent");
        let collect = async {
            let mut answered = Vec::with_capacity(others.len());
            while !others.is_empty() {
                let Ok(Some((node, body))) = timeout_at(deadline, incoming.recv()).await else {
                    break;
                };
                if others.remove(&node) {
                    answered.push((node, body));
                }
            }
            Replies {
                answered,
                missing: others.into_iter().collect(),
            }
        };
        if !asks_self {
            return Ok(collect.await);
        }
        let (mut replies, own) = tokio::join!(collect, core.ask_self(request, deadline));
        replies.answered.extend(own.answered);
        replies.missing.extend(own.missing);
        Ok(replies)
    }
}

impl Core {
    /// Answers other pods, and passes on their answers, while the session lasts.
    pub(super) async fn serve_control(
        self: &Arc<Self>,
        session: &Arc<Session>,
        incoming: &mut mpsc::Receiver<Bytes>,
    ) {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        while let Some(bytes) = incoming.recv().await {
            let Some(letter) = Letter::decode(bytes) else {
                self.metrics.control("dropped");
                continue;
            };
            if letter.kind == Kind::Reply {
                self.pending.answer(letter);
                continue;
            }
            if letter.from == self.node {
                continue;
            }
            if let Kind::Arrival | Kind::Presence = letter.kind {
                self.heard(&letter.from);
                if letter.kind == Kind::Arrival {
                    let channel = self.keys.to_node(&letter.from);
                    let presence = Letter::of(Kind::Presence, &self.node);
                    // It waits for nobody any longer than that, if this fails.
                    let _ = self.send(session, channel, &presence).await;
                }
                continue;
            }
            let late = |clock: super::session::Clock| clock.at(Instant::now()) > letter.ends_millis;
            if session.clock(0).is_some_and(late) {
                self.metrics.control("dropped");
                continue;
            }
            let Ok(room) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let (core, session) = (Arc::clone(self), Arc::clone(session));
            tokio::spawn(async move {
                let answer = core.sink.control(letter.body.clone()).await;
                let channel = core.keys.to_node(&letter.from);
                let reply = Letter {
                    kind: Kind::Reply,
                    from: core.node.clone(),
                    body: answer,
                    ..letter
                };
                // Who asked sees this pod among the missing if it fails.
                let outcome = match core.send(&session, channel, &reply).await {
                    Ok(()) => "answered",
                    Err(_) => "dropped",
                };
                core.metrics.control(outcome);
                drop(room);
            });
        }
    }

    /// Tells every pod that this one has caught up.
    pub(super) async fn announce(&self, session: &Session) -> Result<(), Fault> {
        let arrival = Letter::of(Kind::Arrival, &self.node);
        self.send(session, self.keys.all_nodes(), &arrival).await
    }

    fn ask_self(&self, request: Bytes, deadline: Instant) -> impl Future<Output = Replies> + use<> {
        let answer = self.sink.control(request);
        let node = self.node.clone();
        async move {
            let mut replies = Replies::default();
            match timeout_at(deadline, answer).await {
                Ok(answer) => replies.answered.push((node, answer)),
                Err(_) => replies.missing.push(node),
            }
            replies
        }
    }

    async fn send(&self, session: &Session, channel: String, letter: &Letter) -> Result<(), Fault> {
        let mut conn = session.commands();
        let mut publish = cmd("SPUBLISH");
        publish.arg(channel).arg(letter.encode());
        session.ask(publish.exec_async(&mut conn)).await
    }
}

impl Pending {
    /// A request's number, and where its replies arrive: at most one for each pod that has a lease
    /// counts, so what waits there is bounded.
    fn open(&self) -> (u64, mpsc::UnboundedReceiver<(NodeId, Bytes)>) {
        let (replies, incoming) = mpsc::unbounded_channel();
        let number = fastrand::u64(..);
        self.lock().insert(number, replies);
        (number, incoming)
    }

    fn answer(&self, letter: Letter) {
        if let Some(replies) = self.lock().get(&letter.number) {
            // Who asked may just have given up.
            let _ = replies.send((letter.from, letter.body));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, ReplySender>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Letter {
    /// One that only says who sent it.
    fn of(kind: Kind, from: &NodeId) -> Self {
        Self {
            kind,
            number: 0,
            ends_millis: u64::MAX,
            from: from.clone(),
            body: Bytes::new(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let name = self.from.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(20 + name.len() + self.body.len());
        bytes.put_u8(VERSION);
        bytes.put_u8(match self.kind {
            Kind::Arrival => 2,
            Kind::Presence => 3,
            Kind::Reply => 1,
            Kind::Request => 0,
        });
        bytes.put_u64(self.number);
        bytes.put_u64(self.ends_millis);
        bytes.put_u16(u16::try_from(name.len()).expect("the name of a pod is short"));
        bytes.put_slice(name);
        bytes.put_slice(&self.body);
        bytes
    }

    fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < 20 || bytes.get_u8() != VERSION {
            return None;
        }
        let kind = match bytes.get_u8() {
            0 => Kind::Request,
            1 => Kind::Reply,
            2 => Kind::Arrival,
            3 => Kind::Presence,
            _ => return None,
        };
        let (number, ends_millis) = (bytes.get_u64(), bytes.get_u64());
        let length = usize::from(bytes.get_u16());
        if bytes.len() < length {
            return None;
        }
        let from = NodeId::new(std::str::from_utf8(&bytes.split_to(length)).ok()?);
        Some(Self {
            kind,
            number,
            ends_millis,
            from,
            body: bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(
            kind in prop_oneof![
                Just(Kind::Arrival),
                Just(Kind::Presence),
                Just(Kind::Reply),
                Just(Kind::Request),
            ],
            number: u64,
            ends_millis: u64,
            name in "[a-z0-9-]{1,30}",
            body in proptest::collection::vec(any::<u8>(), 0..50),
            cut in any::<proptest::sample::Index>(),
        ) {
            let letter = Letter {
                kind,
                number,
                ends_millis,
                from: NodeId::new(&name),
                body: body.into(),
            };
            let bytes = Bytes::from(letter.encode());
            let header = bytes.len() - letter.body.len();
            prop_assert_eq!(Letter::decode(bytes.slice(..cut.index(header))), None);
            prop_assert_eq!(Letter::decode(bytes), Some(letter));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Letter::decode(bytes.into());
        }
    }
}
