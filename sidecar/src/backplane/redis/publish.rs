//! The verb publish: one script call, repeated over lost connections until it has an answer or its
//! time is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::session::{Fault, Session};
use super::window::Place;
use super::{Core, PARTITION_LIFE_MILLIS, POSITION_LIFE_MILLIS, Redis, fresh_epoch, left};
use crate::backplane::{Error, Position, Publication, Publish};
use crate::config::{Durability, WhenAway};

/// An answer may still be on its way when the deadline has passed in the server.
const GRACE: Duration = Duration::from_millis(250);

/// Between attempts while the server says that it cannot do it now.
const RETRY: Duration = Duration::from_millis(50);

/// Time for a replica to confirm.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(1);

/// How a publish went well.
enum Done {
    /// An earlier publish had its idempotency key.
    Duplicate(Position),
    /// By this pod alone.
    Local,
    Published(Position),
}

/// What the script, or the way to it, answered.
enum Answer {
    Done(Done),
    /// The script did not run, and has not run before.
    Expired,
    Fault(Fault),
    Unreplicated,
    /// Whether an earlier attempt ran cannot be known any more.
    Unsure,
}

/// Bytes that wait for a session, until it is dropped.
struct Held<'a>(&'a Core, usize);

impl Redis {
    pub(in crate::backplane) async fn publish(
        &self,
        publish: Publish,
    ) -> Result<Option<Position>, Error> {
        let begun = Instant::now();
        let result = self.core.publish(publish, begun).await;
        let outcome = match &result {
            Ok(Done::Duplicate(_)) => Ok("duplicate"),
            Ok(Done::Local) => Ok("local"),
            Ok(Done::Published(_)) => Ok("published"),
            Err(error) => Err(error),
        };
        let seconds = begun.elapsed().as_secs_f64();
        self.core.metrics.published(outcome, seconds);
        result.map(|done| match done {
            Done::Duplicate(position) | Done::Published(position) => Some(position),
            Done::Local => None,
        })
    }
}

impl Core {
    async fn publish(&self, publish: Publish, begun: Instant) -> Result<Done, Error> {
        if u16::try_from(publish.topic.as_str().len()).is_err() {
            return Err(Error::Refused("the topic's name is too long".to_owned()));
        }
        let deadline = begun + Duration::from_millis(self.config.hold_millis);
        let k = self.keys.partition(&publish.topic);
        let mut sessions = self.session.subscribe();
        let mut place = None;
        // The partition's epoch when the publish was first in Redis's hands with its fate unknown.
        let mut in_hand: Option<u32> = None;
        let mut reason = "Redis cannot be reached".to_owned();
        loop {
            let give_up = |reason: String| match in_hand {
                Some(_) => Error::Uncertain,
                None => Error::Away(reason),
            };
            let present = sessions.borrow_and_update().clone();
            let session = match present {
                Some(session) => session,
                None if publish.when_away == WhenAway::Local && in_hand.is_none() => {
                    return Ok(self.deliver_here(publish).await);
                }
                None => {
                    let Some(_held) = self.hold(&publish) else {
                        return Err(give_up("too many publishes wait for Redis".to_owned()));
                    };
                    match timeout_at(deadline, next(&mut sessions)).await {
                        Ok(Some(())) => continue,
                        Ok(None) => return Err(left()),
                        Err(_) => return Err(give_up(reason)),
                    }
                }
            };
            if place.is_none() {
                let Ok(free) = timeout_at(deadline, self.windows[usize::from(k)].place()).await
                else {
                    return Err(give_up("too many publishes are under way".to_owned()));
                };
                place = Some(free);
            }
            let place = place.as_ref().expect("taken just before");
            let attempt = self.attempt(&session, &publish, k, place, in_hand, deadline);
            let before = self.seen.partition(k).map(|seen| seen.epoch);
            let answer = tokio::select! {
                biased;
                answer = timeout_at(deadline + GRACE, attempt) => answer,
                () = session.closed() => Ok(Answer::Fault(Fault::Lost)),
            };
            match answer {
                Ok(Answer::Done(done)) => return Ok(done),
                Ok(Answer::Expired) => return Err(Error::Away(reason)),
                Ok(Answer::Unreplicated) => return Err(Error::Unreplicated),
                Ok(Answer::Unsure) | Err(_) => return Err(Error::Uncertain),
                Ok(Answer::Fault(Fault::Refused(reason))) => {
                    return Err(match in_hand {
                        Some(_) => Error::Uncertain,
                        None => Error::Refused(reason),
                    });
                }
                Ok(Answer::Fault(Fault::Later(why))) => {
                    if Instant::now() + RETRY >= deadline {
                        return Err(give_up(why));
                    }
                    reason = why;
                    sleep(RETRY).await;
                }
                Ok(Answer::Fault(Fault::Lost)) => {
                    session.close();
                    in_hand = in_hand.or(before).or(Some(0));
                    // The link takes the session away; what is left of it is no use.
                    let gone = sessions.wait_for(|present| {
                        let other = |present: &Arc<Session>| !Arc::ptr_eq(present, &session);
                        present.as_ref().is_none_or(other)
                    });
                    match timeout_at(deadline + GRACE, gone).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(_)) | Err(_) => return Err(Error::Uncertain),
                    }
                }
            }
        }
    }

    /// One call of the script. Before `deadline` it runs, or never.
    async fn attempt(
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

    async fn deliver_here(&self, publish: Publish) -> Done {
        let publication = Publication {
            topic: publish.topic,
            position: None,
            payload: publish.payload,
        };
        self.sink.deliver(vec![publication]).await;
        Done::Local
    }

    /// None when too much is held already.
    fn hold(&self, publish: &Publish) -> Option<Held<'_>> {
        let bytes = publish.payload.len() + publish.topic.as_str().len();
        let before = self.held_bytes.fetch_add(bytes, Ordering::AcqRel);
        let held = Held(self, bytes);
        held.gauge(before + bytes);
        (before + bytes <= self.config.hold_bytes).then_some(held)
    }
}

impl Held<'_> {
    fn gauge(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.0.metrics.held_bytes.set(bytes);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let before = self.0.held_bytes.fetch_sub(self.1, Ordering::AcqRel);
        self.gauge(before - self.1);
    }
}

/// Epoch and offset as the scripts take them; two empty arguments when nothing is known.
pub(super) fn seen_arguments(call: &mut Cmd, seen: Option<Position>) {
    match seen {
        Some(seen) => call.arg(seen.epoch).arg(seen.offset),
        None => call.arg("").arg(""),
    };
}

/// Waits for a session. None when there will be none.
async fn next(sessions: &mut watch::Receiver<Option<Arc<Session>>>) -> Option<()> {
    sessions.wait_for(Option::is_some).await.ok().map(|_| ())
}
