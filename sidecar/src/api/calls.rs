//! What the API asks of the fleet.

use bytes::Bytes;

use crate::backplane::{self, BoxFuture, Position};
use crate::hub::{ConnectionId, ConnectionInfo, Error, Fleet, Gathered, TopicInfo, Who};
use crate::topic::Topic;

/// The part of [`Fleet`] that backends may use. Errors are as there.
pub trait Calls: Send + Sync + 'static {
    /// See [`Fleet::publish`].
    fn publish(
        &self,
        topic: Topic,
        envelope: Bytes,
        key: Option<String>,
    ) -> BoxFuture<Result<Option<Position>, backplane::Error>>;

    /// See [`Fleet::send`].
    fn send(&self, to: ConnectionId, envelope: Bytes) -> BoxFuture<Result<Gathered<bool>, Error>>;

    /// See [`Fleet::disconnect`].
    fn disconnect(
        &self,
        who: Who,
        code: u16,
        reason: String,
    ) -> BoxFuture<Result<Gathered<u64>, Error>>;

    /// See [`Fleet::connections`].
    fn connections(
        &self,
        user: Option<String>,
        limit: usize,
    ) -> BoxFuture<Result<Gathered<Vec<ConnectionInfo>>, Error>>;

    /// See [`Fleet::connection`].
    fn connection(
        &self,
        id: ConnectionId,
    ) -> BoxFuture<Result<Gathered<Option<ConnectionInfo>>, Error>>;

    /// See [`Fleet::topics`].
    fn topics(
        &self,
        prefix: String,
        limit: usize,
    ) -> BoxFuture<Result<Gathered<Vec<TopicInfo>>, Error>>;

    /// See [`Fleet::topic`].
    fn topic(&self, topic: Topic) -> BoxFuture<Result<Gathered<TopicInfo>, Error>>;
}

impl Calls for Fleet {
    fn publish(
        &self,
        topic: Topic,
        envelope: Bytes,
        key: Option<String>,
    ) -> BoxFuture<Result<Option<Position>, backplane::Error>> {
        let fleet = self.clone();
        Box::pin(async move { Self::publish(&fleet, topic, envelope, key).await })
    }

    fn send(&self, to: ConnectionId, envelope: Bytes) -> BoxFuture<Result<Gathered<bool>, Error>> {
        let fleet = self.clone();
        Box::pin(async move { Self::send(&fleet, to, envelope).await })
    }

    fn disconnect(
        &self,
        who: Who,
        code: u16,
        reason: String,
    ) -> BoxFuture<Result<Gathered<u64>, Error>> {
        let fleet = self.clone();
        Box::pin(async move { Self::disconnect(&fleet, who, code, reason).await })
    }

    fn connections(
        &self,
        user: Option<String>,
        limit: usize,
    ) -> BoxFuture<Result<Gathered<Vec<ConnectionInfo>>, Error>> {
        let fleet = self.clone();
        Box::pin(async move { Self::connections(&fleet, user, limit).await })
    }

    fn connection(
        &self,
        id: ConnectionId,
    ) -> BoxFuture<Result<Gathered<Option<ConnectionInfo>>, Error>> {
        let fleet = self.clone();
        Box::pin(async move { Self::connection(&fleet, id).await })
    }

    fn topics(
        &self,
        prefix: String,
        limit: usize,
    ) -> BoxFuture<Result<Gathered<Vec<TopicInfo>>, Error>> {
        let fleet = self.clone();
        Box::pin(async move { Self::topics(&fleet, &prefix, limit).await })
    }

    fn topic(&self, topic: Topic) -> BoxFuture<Result<Gathered<TopicInfo>, Error>> {
        let fleet = self.clone();
        Box::pin(async move { Self::topic(&fleet, &topic).await })
    }
}
