//! The fleet, as the backends' API and the process's own life see it.

use std::time::Duration;

use bytes::Bytes;

use super::{ConnectionId, ConnectionInfo, Gathered, TopicInfo, Who};
use crate::backplane::{Error, Position};
use crate::topic::Topic;

/// All pods together, through the one that was asked. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {}

impl Fleet {
    /// Publishes an envelope (JSON text) on a topic, reserved ones too ([`Topic::user`],
    /// [`Topic::all`]), under the topic's policy. `key` makes it idempotent.
    ///
    /// # Errors
    /// As [`crate::backplane::Backplane::publish`].
    pub async fn publish(
        &self,
        topic: Topic,
        envelope: Bytes,
        key: Option<String>,
    ) -> Result<Option<Position>, Error> {
        todo!("room hub: {topic} {envelope:?} {key:?}")
    }

    /// Sends an envelope to one session. The value says whether it was there.
    ///
    /// # Errors
    /// [`Error::Away`] when another pod holds it and cannot be asked.
    pub async fn send(&self, to: ConnectionId, envelope: Bytes) -> Result<Gathered<bool>, Error> {
        todo!("room hub: {to} {envelope:?}")
    }

    /// Closes sessions with a code and a reason. The value counts them.
    ///
    /// # Errors
    /// [`Error::Away`] when other pods cannot be asked.
    pub async fn disconnect(
        &self,
        who: Who,
        code: u16,
        reason: String,
    ) -> Result<Gathered<u64>, Error> {
        todo!("room hub: {who:?} {code} {reason}")
    }

    /// Up to `limit` sessions, of one user or of all.
    ///
    /// # Errors
    /// [`Error::Away`] when other pods cannot be asked.
    pub async fn connections(
        &self,
        user: Option<String>,
        limit: usize,
    ) -> Result<Gathered<Vec<ConnectionInfo>>, Error> {
        todo!("room hub: {user:?} {limit}")
    }

    /// One session.
    ///
    /// # Errors
    /// [`Error::Away`] when another pod holds it and cannot be asked.
    pub async fn connection(
        &self,
        id: ConnectionId,
    ) -> Result<Gathered<Option<ConnectionInfo>>, Error> {
        todo!("room hub: {id}")
    }

    /// Up to `limit` topics that have subscribers and begin with `prefix`, the largest first. Heads are
    /// not asked for.
    ///
    /// # Errors
    /// [`Error::Away`] when other pods cannot be asked.
    pub async fn topics(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Gathered<Vec<TopicInfo>>, Error> {
        todo!("room hub: {prefix} {limit}")
    }

    /// One topic, with its head.
    ///
    /// # Errors
    /// [`Error::Away`] when other pods cannot be asked.
    pub async fn topic(&self, topic: &Topic) -> Result<Gathered<TopicInfo>, Error> {
        todo!("room hub: {topic}")
    }

    /// Asks every session of this pod to leave with 4300, each at its own uniformly random moment of
    /// the window; what is left at the deadline is closed at once. A second call changes nothing.
    pub fn leave(&self, window: Duration, deadline: Duration) {
        todo!("room hub: {window:?} {deadline:?}")
    }

    /// Takes [`Fleet::leave`] back for the sessions that have not left.
    pub fn stay(&self) {
        todo!("room hub")
    }

    /// Sessions in this pod.
    pub fn sessions(&self) -> usize {
        todo!("room hub")
    }

    /// Subscribers, in this pod, of the topic that has most of them.
    pub fn largest_topic(&self) -> usize {
        todo!("room hub")
    }
}
