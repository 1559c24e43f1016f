//! One call of the publish script: what it is given, and what its answer means.

use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;

use super::session::{Fault, Session};
use super::window::Place;
use super::{Core, PARTITION_LIFE_MILLIS, POSITION_LIFE_MILLIS, fresh_epoch};
use crate::backplane::{Position, Publish};
use crate::config::Durability;

/// Time for a replica to confirm.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(1);

/// How a publish went well.
pub(super) enum Done {
    /// An earlier publish had its idempotency key.
    Duplicate(Position),
    /// By this pod alone.
    Local,
    Published(Position),
}

/// What the script, or the way to it, answered.
pub(super) enum Answer {
    Done(Done),
    /// The script did not run, and has not run before.
    Expired,
    Fault(Fault),
    Unreplicated,
    /// Whether an earlier attempt ran cannot be known any more.
    Unsure,
}

impl Core {
    /// One call of the script. Before `deadline` it runs, or not at all.
    pub(super) async fn attempt(
        &self,
        session: &Session,
        publish: &Publish,
        k: u16,
        place: &Place<'_>,
        in_hand: Option<u32>,
        deadline: Instant,
    ) -> Answer {
        let Some(clock) = session.clock(k) else {
            return Answer::Fault(Fault::Later("the server's clock is not known".to_owned()));
        };
        let arguments = |call: &mut Cmd| {
            self.arguments(call, publish, k, place, in_hand, clock.at(deadline));
        };
        let script = &self.scripts.publish;
        let (reply, replicas) = match publish.durability {
            Durability::Primary => {
                let mut conn = session.commands();
                (script.call(&mut conn, arguments).await, 1)
            }
            Durability::Replicated => {
                let Ok(mut conn) = session.replicated().await else {
                    let why = "no connection for replicated publishes";
                    return Answer::Fault(Fault::Later(why.to_owned()));
                };
                let left = deadline.saturating_duration_since(Instant::now());
                let wait = left.min(REPLICA_TIMEOUT).as_millis().max(1);
                let wait = u64::try_from(wait).unwrap_or(u64::MAX);
                match script.call_and_wait(&mut conn, wait, arguments).await {
                    Ok((reply, replicas)) => (Ok(reply), replicas),
                    Err(error) => (Err(error), 0),
                }
            }
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => return Answer::Fault(error.into()),
        };
        match self.answer(publish, k, reply) {
            Answer::Done(_) if replicas == 0 => Answer::Unreplicated,
            answer => answer,
        }
    }

    fn arguments(
        &self,
        call: &mut Cmd,
        publish: &Publish,
        k: u16,
        place: &Place<'_>,
        in_hand: Option<u32>,
        deadline_millis: u64,
    ) {
        let topic = &publish.topic;
        let keys = &self.keys;
        call.arg(7 + usize::from(publish.idempotency_key.is_some()))
            .arg(keys.position(k, topic))
            .arg(keys.history(k, topic))
            .arg(keys.partition_position(k))
            .arg(keys.recent(k))
            .arg(keys.window(k, &self.instance))
            .arg(keys.topic_channel(k, topic))
            .arg(keys.firehose(k));
        if let Some(key) = &publish.idempotency_key {
            call.arg(keys.idempotency(k, topic, key));
        }
        call.arg(topic.as_str())
            .arg(&publish.payload[..])
            .arg(place.index)
            .arg(place.using)
            .arg(deadline_millis)
            .arg(fresh_epoch());
        seen_arguments(call, self.seen.topic(topic));
        match in_hand {
            Some(epoch) => call.arg(epoch),
            None => call.arg(""),
        };
        seen_arguments(call, self.seen.partition(k));
        let life = publish.history.ttl_seconds.max(1).saturating_mul(1000);
        // A call is refused after its deadline, so the window is of no use for longer than that.
        let window_life = self.config.hold_millis.saturating_mul(2) + 60_000;
        call.arg(publish.history.size)
            .arg(life)
            .arg(life.max(POSITION_LIFE_MILLIS))
            .arg(window_life)
            .arg(PARTITION_LIFE_MILLIS);
    }

    fn answer(&self, publish: &Publish, k: u16, reply: Value) -> Answer {
        let refused = || Answer::Fault(Fault::Refused("not what the script answers".to_owned()));
        let Value::Array(parts) = reply else {
            return refused();
        };
        let mut parts = parts.into_iter();
        let what: Option<String> = parts
            .next()
            .and_then(|part| redis::from_redis_value(part).ok());
        let numbers: Vec<u64> = parts
            .filter_map(|part| redis::from_redis_value(part).ok())
            .collect();
        let position = |at: usize| {
            Some(Position {
                epoch: u32::try_from(*numbers.get(at)?).ok()?,
                offset: *numbers.get(at + 1)?,
            })
        };
        match (what.as_deref(), position(0)) {
            (Some("published"), Some(at)) => {
                self.seen.saw_topic(&publish.topic, at);
                if let Some(place) = position(2) {
                    self.seen.saw_partition(k, place);
                }
                Answer::Done(Done::Published(at))
            }
            (Some("again"), Some(at)) => Answer::Done(Done::Published(at)),
            (Some("duplicate"), Some(at)) => Answer::Done(Done::Duplicate(at)),
            (Some("expired"), _) => Answer::Expired,
            (Some("unsure"), _) => Answer::Unsure,
            _ => refused(),
        }
    }
}

/// Epoch and offset as the scripts take them; two empty arguments when nothing is known.
pub(super) fn seen_arguments(call: &mut Cmd, seen: Option<Position>) {
    match seen {
        Some(seen) => call.arg(seen.epoch).arg(seen.offset),
        None => call.arg("").arg(""),
    };
}
