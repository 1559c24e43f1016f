//! The five verbs, over whichever implementation the configuration names.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Error, Interest, Node, NodeId, Past, Position, Publish, Replies, Sink, State, To};
use crate::config;
use crate::topic::Topic;

/// What pods share. Cheap to clone.
#[derive(Clone)]
pub struct Backplane {}

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
    ) -> Result<Self, Error> {
        todo!(
            "room backplane: {config:?} {cluster} {node} {}",
            Arc::strong_count(&sink)
        )
    }

    /// Publishes, and returns the publication's position once the fleet has it.
    ///
    /// # Errors
    /// See [`Error`]; after [`Error::Away`] nothing was or will be delivered.
    pub async fn publish(&self, publish: Publish) -> Result<Option<Position>, Error> {
        todo!("room backplane: {publish:?}")
    }

    /// Adds interest; returns once what is published from now on will reach the sink, with the head
    /// of each topic (patterns have none), in the order asked.
    ///
    /// # Errors
    /// [`Error::Away`] at once while degraded: the interest is kept and takes effect on return.
    pub async fn subscribe(
        &self,
        interests: Vec<Interest>,
    ) -> Result<Vec<Option<Position>>, Error> {
        todo!("room backplane: {interests:?}")
    }

    /// Drops interest. Publications already on their way may still reach the sink.
    pub async fn unsubscribe(&self, interests: Vec<Interest>) {
        todo!("room backplane: {interests:?}")
    }

    /// Asks one pod or all, and waits for the answers until `timeout`.
    ///
    /// # Errors
    /// [`Error::Away`] when the request could not be sent to others.
    pub async fn control(
        &self,
        to: To,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Replies, Error> {
        todo!("room backplane: {to:?} {request:?} {timeout:?}")
    }

    /// Pods whose lease runs, this one among them.
    ///
    /// # Errors
    /// [`Error::Away`].
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        todo!("room backplane")
    }

    /// A topic's head, and up to `limit` publications after `since`.
    ///
    /// # Errors
    /// [`Error::Away`].
    pub async fn read(
        &self,
        topic: &Topic,
        since: Option<Position>,
        limit: usize,
    ) -> Result<Past, Error> {
        todo!("room backplane: {topic} {since:?} {limit}")
    }

    /// Whether the fleet is connected.
    pub fn state(&self) -> State {
        todo!("room backplane")
    }

    /// Gives up the lease and closes the connections: the last thing that a pod does.
    pub async fn leave(&self) {
        todo!("room backplane")
    }
}
