//! The verb publish: one script call, repeated over lost connections until it has an answer or its
//! time is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::attempt::{Answer, Done};
use super::session::{Fault, Session};
use super::{Access, Core, Redis, left};
use crate::backplane::{Error, Position, Publication, Publish};
use crate::config::WhenAway;

/// An answer may still be on its way when the deadline has passed in the server.
const GRACE: Duration = Duration::from_millis(250);

/// A publish has at least this long while Redis is there, however short publishes are held.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// A call that Redis has not begun after this time is not carried out: what waits in the sockets of a
/// server that was stopped must not all run when it goes on, before other pods are back to hear it. A
/// call that only came late is made again.
pub(super) const ATTEMPT: Duration = Duration::from_secs(3);

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
        // Waiting for other pods leaves time to publish: it must not end in a refusal.
        let settles_until = begun + hold * 3 / 4;
        let k = self.keys.partition(&publish.topic);
        let mut access = self.access.subscribe();
        let mut place = None;
        // The partition's epoch when the publish was first in Redis's hands with its fate unknown.
        let mut in_hand: Option<u32> = None;
        // Until when it may still run there.
        let mut runs_until = begun;
        let mut reason = "Redis cannot be reached".to_owned();
        loop {
            let give_up = async |error: Error| {
                if in_hand.is_none() {
                    return Err(error);
                }
                // It must not after the answer.
                sleep_until(runs_until).await;
                Err(Error::Uncertain)
            };
            let now = access.borrow_and_update().clone();
            let session = match now {
                Access::Open(session) => session,
                Access::Settling(session) => {
                    let held = self.hold(&publish);
                    let waits = publish.when_away == WhenAway::Hold && !held.is_too_much();
                    if waits && timeout_at(settles_until, access.changed()).await.is_ok() {
                        continue;
                    }
                    session
                }
                Access::Left => return give_up(left()).await,
                Access::Away if publish.when_away == WhenAway::Local && in_hand.is_none() => {
                    return Ok(self.deliver_here(publish).await);
                }
                Access::Away => {
                    let held = self.hold(&publish);
                    if held.is_too_much() && in_hand.is_none() {
                        let why = "too many publishes wait for Redis";
                        return Err(Error::Away(why.to_owned()));
                    }
                    match timeout_at(held_until, access.changed()).await {
                        Ok(_) => continue,
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
                // That may have taken its time.
                if access.has_changed().unwrap_or(true) {
                    continue;
                }
            }
            let place = place.as_ref().expect("taken just before");
            let until = deadline.min(Instant::now() + ATTEMPT);
            let attempt = self.attempt(&session, &publish, k, place, in_hand, until);
            let before = self.seen.partition(k).map(|seen| seen.epoch);
            let answer = tokio::select! {
                biased;
                answer = timeout_at(deadline + GRACE, attempt) => answer.ok(),
                () = session.closed() => Some(Answer::Fault(Fault::Lost)),
                () = left_and_after(until + GRACE, &mut access) => None,
            };
            match answer {
                Some(Answer::Done(done)) => return Ok(done),
                // It came late, or the clock jumped, which will be read again.
                Some(Answer::Expired) if Instant::now() + RETRY < deadline => sleep(RETRY).await,
                Some(Answer::Expired) => return Err(Error::Away(reason)),
                Some(Answer::Unreplicated) => return Err(Error::Unreplicated),
                Some(Answer::Unsure) | None => return Err(Error::Uncertain),
                Some(Answer::Fault(Fault::Refused(reason))) => {
                    return give_up(Error::Refused(reason)).await;
                }
                Some(Answer::Fault(Fault::Later(why))) => {
                    if Instant::now() + RETRY >= deadline {
                        return give_up(Error::Away(why)).await;
                    }
                    reason = why;
                    sleep(RETRY).await;
                }
                Some(Answer::Fault(Fault::Lost)) => {
                    session.close();
                    in_hand = in_hand.or(before).or(Some(0));
                    runs_until = until;
                    // The link takes the session away; what is left of it is no use.
                    let gone = access.wait_for(|now| {
                        let other = |present: &Arc<Session>| !Arc::ptr_eq(present, &session);
                        now.session().is_none_or(other)
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

/// Ends when this pod leaves the fleet, and not before `when`.
async fn left_and_after(when: Instant, access: &mut watch::Receiver<Access>) {
    // The sender lives as long as the publish.
    let _ = access
        .wait_for(|access| matches!(access, Access::Left))
        .await;
    sleep_until(when).await;
}
