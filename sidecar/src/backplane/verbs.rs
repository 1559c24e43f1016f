//! The five verbs, over whichever implementation the configuration names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::memory::Memory;
use super::redis::Redis;
use super::{
    Error, Interest, Metrics, Node, NodeId, Past, Position, Publish, Replies, Sink, State, To,
};
use crate::config;
use crate::topic::Topic;

/// What pods share. Cheap to clone. It lives until [`Backplane::leave`], or until the last clone is
/// gone.
#[derive(Clone)]
pub struct Backplane(Kind);

#[derive(Clone)]
enum Kind {
    Memory(Memory),
    Redis(Redis),
}

impl Backplane {
    /// Joins the fleet as `node`. Returns without waiting for Redis: a fleet whose Redis is away
    /// starts degraded and connects when it can.
    ///
    /// # Errors
    /// When the configuration cannot work at all, such as a URL that is none.
    pub async fn join(
        config: &config::Backplane,
        cluster: &str,
        node: NodeId,
        sink: Arc<dyn Sink>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        Ok(Self(match config {
            config::Backplane::Memory => Kind::Memory(Memory::join(node, sink, metrics)),
            config::Backplane::Redis(redis) => {
                Kind::Redis(Redis::join(redis, cluster, node, sink, metrics)?)
            }
        }))
    }

    /// Publishes, and returns the publication's position once the fleet has it. None: it was
    /// delivered by this pod alone (`whenAway: Local`). Publications of one caller that waits for
    /// each are in its order.
    ///
    /// # Errors
    /// See [`Error`]; after any of them nothing more will be delivered, and after [`Error::Away`]
    /// and [`Error::Refused`] nothing was.
    pub async fn publish(&self, publish: Publish) -> Result<Option<Position>, Error> {
        match &self.0 {
            Kind::Memory(memory) => memory.publish(publish).await,
            Kind::Redis(redis) => redis.publish(publish).await,
        }
    }

    /// Adds interest; returns once what is published from now on will reach the sink, with the head
    /// of each topic, in the order asked. A pattern has no head: when one is asked for, everything that
    /// reached this pod before has been given to the sink by the time this returns.
    ///
    /// # Errors
    /// [`Error::Away`] at once while degraded: the interest is kept and takes effect on return.
    /// [`Error::Refused`] when Redis will not: the interest is not kept.
    pub async fn subscribe(
        &self,
        interests: Vec<Interest>,
    ) -> Result<Vec<Option<Position>>, Error> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.subscribe(&interests).await),
            Kind::Redis(redis) => redis.subscribe(interests).await,
        }
    }

    /// Drops interest. Publications already on their way may still reach the sink.
    pub async fn unsubscribe(&self, interests: Vec<Interest>) {
        match &self.0 {
            Kind::Memory(memory) => memory.unsubscribe(&interests),
            Kind::Redis(redis) => redis.unsubscribe(interests).await,
        }
    }

    /// Asks one pod or all, and waits for the answers until `timeout`. A pod without a lease is
    /// not asked: it is gone, and its sessions with it.
    ///
    /// # Errors
    /// [`Error::Away`] when the request could not be sent to others.
    pub async fn control(
        &self,
        to: To,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Replies, Error> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.control(&to, request, timeout).await),
            Kind::Redis(redis) => redis.control(to, request, timeout).await,
        }
    }

    /// Pods whose lease runs, this one among them.
    ///
    /// # Errors
    /// [`Error::Away`].
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.nodes()),
            Kind::Redis(redis) => redis.nodes().await,
        }
    }

    /// A topic's head, and up to `limit` publications after `since`; None is the beginning of the
    /// present epoch. A topic that does not exist has epoch 0 and offset 0. When `since` is of
    /// another epoch, or beyond the head, `complete` is false.
    ///
    /// # Errors
    /// [`Error::Away`].
    pub async fn read(
        &self,
        topic: &Topic,
        since: Option<Position>,
        limit: usize,
    ) -> Result<Past, Error> {
        match &self.0 {
            Kind::Memory(memory) => Ok(memory.read(topic, since, limit)),
            Kind::Redis(redis) => redis.read(topic, since, limit).await,
        }
    }

    /// Whether the fleet is connected.
    pub fn state(&self) -> State {
        match &self.0 {
            Kind::Memory(_) => State::Connected,
            Kind::Redis(redis) => redis.state(),
        }
    }

    /// Ends publishes that wait with [`Error::Away`], and those whose answer does not come with
    /// [`Error::Uncertain`]; then gives up the lease and closes the connections: the last thing that
    /// a pod does.
    pub async fn leave(&self) {
        match &self.0 {
            Kind::Memory(memory) => memory.leave().await,
            Kind::Redis(redis) => redis.leave().await,
        }
    }
}
