//! The verb publish: one script call, repeated over lost connections until it has an answer or its
//! time is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::attempt::{Answer, Done};
use super::session::{Fault, Session};
use super::{Core, Redis, left};
use crate::backplane::{Error, Position, Publication, Publish};
use crate::config::WhenAway;

/// An answer may still be on its way when the deadline has passed in the server.
const GRACE: Duration = Duration::from_millis(250);

/// A publish has at least this long while Redis is there, however short publishes are held.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// Larger payloads are refused: the server would close the connection of everybody over one of 512
/// MiB, and disconnects subscribers over 32 MB, who then read it from the history.
const PAYLOAD_BYTES: usize = 64 << 20;

/// Between attempts while the server says that it cannot do it now.
const RETRY: Duration = Duration::from_millis(50);

/// Bytes that wait for a session, until it is dropped.
struct Held<'a> {
    core: &'a Core,
    bytes: usize,
    /// With those that waited before it.
    all: usize,
}

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
        if publish.payload.len() > PAYLOAD_BYTES {
            return Err(Error::Refused(format!(
                "a payload has at most {PAYLOAD_BYTES} bytes"
            )));
        }
        let hold = Duration::from_millis(self.config.hold_millis);
        let (held_until, deadline) = (begun + hold, begun + hold.max(LEAST_TIME));
        let k = self.keys.partition(&publish.topic);
        let mut sessions = self.session.subscribe();
        let mut place = None;
        // The partition's epoch when the publish was first in Redis's hands with its fate unknown.
        let mut in_hand: Option<u32> = None;
        let mut reason = "Redis cannot be reached".to_owned();
        loop {
            let give_up = async |error: Error| {
                if in_hand.is_none() {
                    return Err(error);
                }
                // A call that waits somewhere may still run until then, and must not after the answer.
                sleep_until(deadline).await;
                Err(Error::Uncertain)
            };
            let present = sessions.borrow_and_update().clone();
            let session = match present {
                Some(session) => session,
                None if publish.when_away == WhenAway::Local && in_hand.is_none() => {
                    return Ok(self.deliver_here(publish).await);
                }
                None => {
                    let held = self.hold(&publish);
                    if held.is_too_much() && in_hand.is_none() {
                        let why = "too many publishes wait for Redis";
                        return Err(Error::Away(why.to_owned()));
                    }
                    match timeout_at(held_until, next(&mut sessions)).await {
                        Ok(Some(())) => continue,
                        Ok(None) => return give_up(left()).await,
                        Err(_) => return give_up(Error::Away(reason)).await,
                    }
                }
            };
            if place.is_none() {
                let Ok(free) = timeout_at(deadline, self.windows[usize::from(k)].place()).await
                else {
                    let why = "too many publishes are under way";
                    return Err(Error::Away(why.to_owned()));
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
                // Its clock jumped; it will be read again.
                Ok(Answer::Expired) if Instant::now() + RETRY < deadline => sleep(RETRY).await,
                Ok(Answer::Expired) => return Err(Error::Away(reason)),
                Ok(Answer::Unreplicated) => return Err(Error::Unreplicated),
                Ok(Answer::Unsure) | Err(_) => return Err(Error::Uncertain),
                Ok(Answer::Fault(Fault::Refused(reason))) => {
                    return give_up(Error::Refused(reason)).await;
                }
                Ok(Answer::Fault(Fault::Later(why))) => {
                    if Instant::now() + RETRY >= deadline {
                        return give_up(Error::Away(why)).await;
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

    async fn deliver_here(&self, publish: Publish) -> Done {
        let publication = Publication {
            topic: publish.topic,
            position: None,
            payload: publish.payload,
        };
        self.sink.deliver(vec![publication]).await;
        Done::Local
    }

    fn hold(&self, publish: &Publish) -> Held<'_> {
        let bytes = publish.payload.len() + publish.topic.as_str().len();
        let before = self.held_bytes.fetch_add(bytes, Ordering::AcqRel);
        let held = Held {
            core: self,
            bytes,
            all: before + bytes,
        };
        held.gauge(held.all);
        held
    }
}

impl Held<'_> {
    fn is_too_much(&self) -> bool {
        self.all > self.core.config.hold_bytes
    }

    fn gauge(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.core.metrics.held_bytes.set(bytes);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let before = self.core.held_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.gauge(before - self.bytes);
    }
}

/// Waits for a session. None when there will be none.
async fn next(sessions: &mut watch::Receiver<Option<Arc<Session>>>) -> Option<()> {
    sessions.wait_for(Option::is_some).await.ok().map(|_| ())
}
