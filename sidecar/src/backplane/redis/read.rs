//! The verb read, and the heads that subscribing needs.

use redis::Value;

use super::attempt::seen_arguments;
use super::session::{Fault, Session};
use super::{Core, Redis, UNPUBLISHED_LIFE_MILLIS, fresh_epoch};
use crate::backplane::{Error, Past, Position, Publication};
use crate::topic::Topic;

/// Heads asked for in one pipeline, at most.
const HEADS: usize = 256;

/// What is kept of a topic, with the place of each publication in the partition.
pub(super) struct Kept {
    pub(super) head: Position,
    /// Publication, its offset, and its sequence in the partition.
    pub(super) entries: Vec<(Publication, Position, u64)>,
}

impl Redis {
    pub(in crate::backplane) async fn read(
        &self,
        topic: &Topic,
        since: Option<Position>,
        limit: usize,
    ) -> Result<Past, Error> {
        let session = self.core.session()?;
        let kept = self.core.read(&session, topic, since, limit.max(1)).await?;
        let head = kept.head;
        let since = since.unwrap_or(Position { offset: 0, ..head });
        let first = kept.entries.first().map(|(_, at, _)| at.offset);
        let complete = since.epoch == head.epoch
            && (since.offset == head.offset || first == Some(since.offset + 1));
        let publications = kept
            .entries
            .into_iter()
            .map(|(publication, ..)| publication);
        Ok(Past {
            head,
            publications: publications.take(limit).collect(),
            complete,
        })
    }
}

impl Core {
    /// A topic's head and up to `limit` publications after `since`, or from the beginning when that
    /// is None or of another epoch.
    pub(super) async fn read(
        &self,
        session: &Session,
        topic: &Topic,
        since: Option<Position>,
        limit: usize,
    ) -> Result<Kept, Fault> {
        let k = self.keys.partition(topic);
        let mut conn = session.commands();
        let call = self.scripts.read.call(&mut conn, |call| {
            call.arg(2)
                .arg(self.keys.position(k, topic))
                .arg(self.keys.history(k, topic));
            seen_arguments(call, since);
            call.arg(limit);
        });
        let reply = session.ask(call).await?;
        parse_kept(topic, reply).ok_or_else(unexpected)
    }

    /// The heads of topics, in their order. A topic that was never published to gets its epoch here.
    pub(super) async fn heads(
        &self,
        session: &Session,
        topics: &[&Topic],
    ) -> Result<Vec<Position>, Fault> {
        let mut conn = session.commands();
        let mut order: Vec<(u16, usize)> = topics
            .iter()
            .enumerate()
            .map(|(index, topic)| (self.keys.partition(topic), index))
            .collect();
        let mixes = conn.mixes_slots();
        if !mixes {
            order.sort_unstable();
        }
        let mut heads = vec![Position::default(); topics.len()];
        let of_a_slot = order.chunk_by(|one, next| mixes || one.0 == next.0);
        for some in of_a_slot.flat_map(|same| same.chunks(HEADS)) {
            let head = &self.scripts.head;
            let call = head.call_each(&mut conn, some.len(), |at, call| {
                let (k, index) = some[at];
                let topic = topics[index];
                call.arg(2)
                    .arg(self.keys.position(k, topic))
                    .arg(self.keys.history(k, topic))
                    .arg(fresh_epoch());
                seen_arguments(call, self.seen.topic(topic));
                call.arg(UNPUBLISHED_LIFE_MILLIS);
            });
            let replies = session.ask(call).await?;
            for ((_, index), reply) in some.iter().zip(replies) {
                let head = parse_position(reply).ok_or_else(unexpected)?;
                self.seen.saw_topic(topics[*index], head);
                heads[*index] = head;
            }
        }
        Ok(heads)
    }

    /// Where in a topic's history what follows a partition's sequence begins, and whether the history
    /// reaches back that far.
    pub(super) async fn since(
        &self,
        session: &Session,
        topic: &Topic,
        sequence: u64,
    ) -> Result<(Position, bool), Fault> {
        let k = self.keys.partition(topic);
        let mut conn = session.commands();
        let call = self.scripts.since.call(&mut conn, |call| {
            call.arg(2)
                .arg(self.keys.position(k, topic))
                .arg(self.keys.history(k, topic))
                .arg(sequence);
        });
        let reply = session.ask(call).await?;
        let (epoch, offset, reaches): (u32, u64, u8) =
            redis::from_redis_value(reply).map_err(|_| unexpected())?;
        Ok((Position { epoch, offset }, reaches == 1))
    }
}

/// A script answered what it never answers.
pub(super) fn unexpected() -> Fault {
    Fault::Refused("not what the script answers".to_owned())
}

fn parse_position(reply: Value) -> Option<Position> {
    let (epoch, offset) = redis::from_redis_value(reply).ok()?;
    Some(Position { epoch, offset })
}

fn parse_kept(topic: &Topic, reply: Value) -> Option<Kept> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let mut parts = parts.into_iter();
    let head = Position {
        epoch: redis::from_redis_value(parts.next()?).ok()?,
        offset: redis::from_redis_value(parts.next()?).ok()?,
    };
    let mut entries = Vec::with_capacity(parts.len() / 2);
    while let (Some(id), Some(payload)) = (parts.next(), parts.next()) {
        let (Value::BulkString(id), Value::BulkString(payload)) = (id, payload) else {
            return None;
        };
        let (offset, sequence) = std::str::from_utf8(&id).ok()?.split_once('-')?;
        let at = Position {
            offset: offset.parse().ok()?,
            ..head
        };
        let publication = Publication {
            topic: topic.clone(),
            position: Some(at),
            payload: payload.into(),
        };
        entries.push((publication, at, sequence.parse().ok()?));
    }
    Some(Kept { head, entries })
}
