//! The backplane of a fleet of one pod: everything in this process, nothing shared, nothing kept
//! over a restart. The same promises as over Redis: positions without holes, bounded history,
//! idempotency keys, one task that delivers in order and makes publishers wait for room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::stream::Stream;
use super::interests::Interests;
use super::{
    Error, Interest, Metrics, Node, NodeId, Past, Position, Publication, Publish, Replies, Sink,
    State, To,
};
use crate::patience::timeout;
use crate::topic::Topic;

mod stream;
#[cfg(test)]
mod tests;

/// Publications that may wait for the sink; publishers wait for the rest.
const ROOM: usize = 1024;

/// Bytes of publications, with those that the sink has in hand, that may wait for it. One larger than
/// this waits until it is alone.
const ROOM_BYTES: u32 = 16 << 20;

/// What a waiting publication costs besides its bytes.
const PUBLICATION_COST: usize = 160;

/// How long a publisher waits for room.
const WAIT: Duration = Duration::from_secs(5);

/// Publications handed to the sink at once, at most.
const BATCH: usize = 256;

/// How often what has expired is thrown away.
const SWEEP: Duration = Duration::from_secs(10);

/// Streams of a fleet of one.
#[derive(Clone)]
pub(super) struct Memory(Arc<Inner>);

struct Inner {
    node: NodeId,
    sink: Arc<dyn Sink>,
    metrics: Metrics,
    state: Mutex<Shared>,
    out: mpsc::Sender<Waiting>,
    /// [`ROOM_BYTES`] without those that are taken.
    room_bytes: Arc<Semaphore>,
    /// True once the pod has left.
    left: watch::Sender<bool>,
    /// Taken by the call that makes the pod leave.
    delivery: Mutex<Option<JoinHandle<()>>>,
}

/// What waits for the sink.
enum Waiting {
    /// A publication, and the room that it takes until the sink has it.
    Publication(Publication, OwnedSemaphorePermit),
    /// Somebody who wants to know when everything before has been given to the sink.
    Reached(oneshot::Sender<()>),
}

/// Changed together, so that a subscriber's head and what it receives fit.
struct Shared {
    /// Epoch of every topic without a stream. Another one once a stream is forgotten: a topic must not
    /// begin again in its old epoch.
    epoch: u32,
    interests: Interests,
    /// Topics that were published to. Subscribing makes none, or clients' names would fill the memory.
    streams: HashMap<Topic, Stream>,
}

impl Memory {
    pub(super) fn join(node: NodeId, sink: Arc<dyn Sink>, metrics: Metrics) -> Self {
        let (out, queue) = mpsc::channel(ROOM);
        let (left, leaving) = watch::channel(false);
        let inner = Arc::new(Inner {
            node,
            sink: Arc::clone(&sink),
            metrics,
            state: Mutex::new(Shared::new()),
            out,
            room_bytes: Arc::new(Semaphore::new(ROOM_BYTES as usize)),
            left,
            delivery: Mutex::default(),
        });
        inner.metrics.connected.set(1);
        sink.state(State::Connected);
        let delivery = deliver(sink, queue, leaving, Arc::downgrade(&inner));
        *inner.delivery() = Some(tokio::spawn(delivery));
        Self(inner)
    }

    pub(super) async fn publish(&self, publish: Publish) -> Result<Option<Position>, Error> {
        let begun = Instant::now();
        let result = self.append(publish).await;
        let outcome = match &result {
            Ok((_, true)) => Ok("published"),
            Ok((_, false)) => Ok("duplicate"),
            Err(error) => Err(error),
        };
        let seconds = begun.elapsed().as_secs_f64();
        self.0.metrics.published(outcome, seconds);
        result.map(|(position, _)| Some(position))
    }

    pub(super) async fn subscribe(&self, interests: &[Interest]) -> Vec<Option<Position>> {
        let heads = self.add(interests);
        let is_pattern = |interest: &Interest| matches!(interest, Interest::Pattern(_));
        if interests.iter().any(is_pattern) {
            let (told, reached) = oneshot::channel();
            // Both fail only when the pod has left, and nothing more is delivered.
            if self.0.out.send(Waiting::Reached(told)).await.is_ok() {
                let _ = reached.await;
            }
        }
        heads
    }

    fn add(&self, interests: &[Interest]) -> Vec<Option<Position>> {
        let mut shared = self.0.lock();
        interests
            .iter()
            .map(|interest| {
                shared.interests.add(interest);
                match interest {
                    Interest::Pattern(_) => None,
                    Interest::Topic(topic) => Some(shared.head(topic)),
                }
            })
            .collect()
    }

    pub(super) fn unsubscribe(&self, interests: &[Interest]) {
        let mut shared = self.0.lock();
        for interest in interests {
            shared.interests.remove(interest);
        }
    }

    pub(super) async fn control(&self, to: &To, request: Bytes, timeout: Duration) -> Replies {
        let node = &self.0.node;
        if matches!(to, To::Node(other) if other != node) {
            return Replies::default();
        }
        self.0.metrics.control("sent");
        match tokio::time::timeout(timeout, self.0.sink.control(request)).await {
            Ok(answer) => Replies {
                answered: vec![(node.clone(), answer)],
                missing: Vec::new(),
            },
            Err(_) => Replies {
                answered: Vec::new(),
                missing: vec![node.clone()],
            },
        }
    }

    pub(super) fn nodes(&self) -> Vec<Node> {
        vec![Node {
            id: self.0.node.clone(),
            lease_left: Duration::MAX,
        }]
    }

    pub(super) fn read(&self, topic: &Topic, since: Option<Position>, limit: usize) -> Past {
        let mut shared = self.0.lock();
        match shared.streams.get_mut(topic) {
            Some(stream) => stream.read(topic, since, limit, Instant::now()),
            None => {
                let nothing_yet = shared.head(topic);
                // Somebody has been told this position.
                let is_known =
                    shared.interests.topics.contains(topic) || since == Some(nothing_yet);
                let head = if is_known {
                    nothing_yet
                } else {
                    Position::default()
                };
                Past {
                    head,
                    publications: Vec::new(),
                    complete: since.is_none_or(|since| since == head),
                }
            }
        }
    }

    pub(super) async fn leave(&self) {
        self.0.left.send_replace(true);
        self.0.metrics.connected.set(0);
        let delivery = self.0.delivery().take();
        if let Some(delivery) = delivery {
            // It ends once it has delivered what was waiting, or with a panic of the sink's.
            let _ = delivery.await;
        }
    }

    /// The position, and whether it is a new one.
    async fn append(&self, publish: Publish) -> Result<(Position, bool), Error> {
        let room = timeout(WAIT, self.room(&publish)).await;
        let full = |_| Error::Away("too many publications wait for delivery".to_owned());
        let (bytes, place) = room.map_err(full)??;
        // The place in the queue is taken while the lock is held: offsets and the queue have one
        // order.
        let mut shared = self.0.lock();
        let now = Instant::now();
        let stream = shared.stream(&publish.topic, now);
        if let Some(first) = stream.published_before(publish.idempotency_key.as_deref(), now) {
            return Ok((first, false));
        }
        let position = stream.append(&publish, now);
        if shared.interests.want(&publish.topic) {
            let publication = Publication {
                topic: publish.topic,
                position: Some(position),
                payload: publish.payload,
            };
            place.send(Waiting::Publication(publication, bytes));
        }
        Ok((position, true))
    }

    /// Waits until a publication may wait for the sink.
    async fn room(
        &self,
        publish: &Publish,
    ) -> Result<(OwnedSemaphorePermit, mpsc::Permit<'_, Waiting>), Error> {
        let left = || Error::Away("this pod has left the fleet".to_owned());
        let bytes = publish.payload.len() + publish.topic.as_str().len() + PUBLICATION_COST;
        let bytes = u32::try_from(bytes).unwrap_or(ROOM_BYTES).min(ROOM_BYTES);
        let free = Arc::clone(&self.0.room_bytes);
        // In the order of asking, so that a large one is not overtaken for ever.
        let bytes = free.acquire_many_owned(bytes).await.map_err(|_| left())?;
        let place = self.0.out.reserve().await.map_err(|_| left())?;
        Ok((bytes, place))
    }
}

impl Inner {
    fn delivery(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing that runs under the lock leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            epoch: fastrand::u32(1..),
            interests: Interests::default(),
            streams: HashMap::new(),
        }
    }

    fn head(&self, topic: &Topic) -> Position {
        let nothing_yet = Position {
            epoch: self.epoch,
            offset: 0,
        };
        self.streams.get(topic).map_or(nothing_yet, Stream::head)
    }

    fn stream(&mut self, topic: &Topic, now: Instant) -> &mut Stream {
        let fresh = || Stream::new(self.epoch, now);
        self.streams.entry(topic.clone()).or_insert_with(fresh)
    }

    /// Throws away what is too old.
    fn expire(&mut self, now: Instant) {
        let before = self.streams.len();
        self.streams.retain(|_, stream| !stream.expire(now));
        if self.streams.len() < before {
            let old = self.epoch;
            while self.epoch == old {
                self.epoch = fastrand::u32(1..);
            }
        }
    }
}

/// Ends when the pod has left, or nobody is left to say so.
async fn left(leaving: &mut watch::Receiver<bool>) {
    let _ = leaving.wait_for(|left| *left).await;
}

/// Gives a batch to the sink, and tells those who wait for it.
async fn hand_over(sink: &dyn Sink, batch: impl Iterator<Item = Waiting>) {
    let mut ready = Vec::with_capacity(BATCH);
    let mut taken = Vec::with_capacity(BATCH);
    for waiting in batch {
        match waiting {
            Waiting::Publication(publication, bytes) => {
                ready.push(publication);
                taken.push(bytes);
            }
            Waiting::Reached(told) => {
                if !ready.is_empty() {
                    sink.deliver(std::mem::take(&mut ready)).await;
                    taken.clear();
                }
                let _ = told.send(());
            }
        }
    }
    if !ready.is_empty() {
        sink.deliver(ready).await;
    }
}

/// Hands what was published to the sink, in order, until the pod leaves or nobody can publish.
async fn deliver(
    sink: Arc<dyn Sink>,
    mut queue: mpsc::Receiver<Waiting>,
    mut leaving: watch::Receiver<bool>,
    inner: Weak<Inner>,
) {
    let mut sweep = tokio::time::interval(SWEEP);
    let mut batch = Vec::with_capacity(BATCH);
    let mut open = true;
    loop {
        tokio::select! {
            received = queue.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    return;
                }
                hand_over(&*sink, batch.drain(..)).await;
            }
            () = left(&mut leaving), if open => {
                queue.close();
                open = false;
            }
            _ = sweep.tick() => {
                let Some(inner) = inner.upgrade() else { continue };
                inner.lock().expire(Instant::now());
            }
        }
    }
}
