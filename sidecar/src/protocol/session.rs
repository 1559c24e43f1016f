//! One session: what it does with a message and when it is time for something. Pure: time is an
//! argument, and what it wants done goes to [`Effects`].

mod answer;

use std::time::{Duration, Instant, SystemTime};

use super::code;
use super::frame;
use super::inbound::Malformed;
use super::leaving::Leaving;
use super::meter::{Meter, Verdict};
use super::metrics::Outcome;
use super::text;
use crate::config::Limits;
use crate::hub::{Change, ConnectionId};
use crate::reactor::Kind;

/// A client is told of the same kind of mistake at most this often.
const COMPLAINT: Duration = Duration::from_secs(1);

/// What a session wants done.
pub(super) trait Effects {
    /// Send a text message.
    fn send(&mut self, write: impl FnOnce(&mut Vec<u8>));

    /// Close. Nothing more is wanted after it.
    fn close(&mut self, code: u16, reason: &str);

    /// Change subscriptions.
    fn change(&mut self, change: Change);

    /// Count a message.
    fn count(&mut self, outcome: Outcome);

    /// Count a warning.
    fn count_warning(&mut self);

    /// The time for people.
    fn wall(&self) -> SystemTime;
}

/// The state of one session.
#[derive(Debug)]
pub(super) struct Session {
    id: ConnectionId,
    last_message: Instant,
    next_ping: Instant,
    expires: Option<Instant>,
    leaving: Option<Leaving>,
    /// It was closed for abuse; the rest of a batch is not looked at.
    is_over: bool,
    /// The reactor does not read from it because it does not read.
    is_paused: bool,
    meter: Meter,
    complained: Option<Instant>,
    limited: Option<Instant>,
    warned: Option<Instant>,
}

impl Session {
    /// A session of a client that is let in. `spread` is a random number below 1: it spreads the
    /// pings of clients that came together.
    pub(super) fn new(
        id: ConnectionId,
        expires_at: Option<SystemTime>,
        spread: f64,
        (now, wall): (Instant, SystemTime),
        limits: &Limits,
    ) -> Self {
        let expires = expires_at.and_then(|at| {
            let left = at.duration_since(wall).unwrap_or_default();
            now.checked_add(left)
        });
        Self {
            id,
            last_message: now,
            next_ping: now + ping_period(limits).mul_f64(0.5 + spread / 2.0),
            expires,
            leaving: None,
            is_over: false,
            is_paused: false,
            meter: Meter::new(),
            complained: None,
            limited: None,
            warned: None,
        }
    }

    /// A whole message has come.
    pub(super) fn message(
        &mut self,
        kind: Kind,
        payload: &[u8],
        now: Instant,
        limits: &Limits,
        fx: &mut impl Effects,
    ) {
        self.last_message = now;
        if !self.admit(payload.len(), now, limits, fx) {
            return;
        }
        match kind {
            // What nearly all of them are.
            Kind::Text if payload.first() == Some(&b'{') => self.read(payload, now, limits, fx),
            Kind::Binary if frame::is_encoded(payload) => {
                fx.count(Outcome::Unsupported);
                let told = (
                    "PROTOCOL_ERROR",
                    "compressed, MessagePack and encrypted frames are not supported: send JSON",
                );
                self.complain(told, now, fx);
            }
            Kind::Binary if std::str::from_utf8(payload).is_err() => {
                fx.count(Outcome::Malformed);
                self.complain(Malformed::Json.told(), now, fx);
            }
            Kind::Text if let Some(answer) = frame::heartbeat(payload) => {
                fx.count(Outcome::Handled);
                if let Some((prefix, stamp)) = answer {
                    fx.send(|out| text::legacy_pong(out, prefix, stamp));
                }
            }
            Kind::Binary | Kind::Text => {
                self.read(frame::without_prefix(payload), now, limits, fx);
            }
        }
    }

    /// The alarm went off: does what is due, and returns when it is to go off again.
    pub(super) fn alarm(
        &mut self,
        now: Instant,
        limits: &Limits,
        fx: &mut impl Effects,
    ) -> Option<Instant> {
        let is_due = |at: Instant| at <= now;
        // At the deadline too it is asked: a moment at the end of a window that ends there comes late by a
        // tick. Who does not answer is ended by the reactor.
        if let Some(leaving) = self.leaving
            && is_due(leaving.due())
        {
            fx.close(code::GO_AWAY, leaving.reason());
            return None;
        }
        if self.expires.is_some_and(is_due) {
            fx.close(code::UNAUTHENTICATED, "Token expired");
            return None;
        }
        if is_due(self.last_message + idle_period(limits)) {
            // What a client sends while nothing is read from it cannot be known.
            if self.is_paused {
                fx.close(code::SLOW, "slow consumer");
            } else {
                fx.close(code::IDLE, "idle timeout");
            }
            return None;
        }
        if is_due(self.next_ping) {
            let wall = fx.wall();
            fx.send(|out| text::ping(out, wall));
            self.next_ping = now + ping_period(limits);
        }
        Some(self.next_alarm(now, limits))
    }

    /// When the alarm is to go off. Asked again after a reload, after [`Session::leave`] and
    /// [`Session::stay`].
    pub(super) fn next_alarm(&mut self, now: Instant, limits: &Limits) -> Instant {
        self.next_ping = self.next_ping.min(now + ping_period(limits));
        let leaves = self.leaving.map(|leaving| leaving.due());
        [Some(self.next_ping), leaves, self.expires]
            .into_iter()
            .flatten()
            .fold(self.last_message + idle_period(limits), Instant::min)
    }

    /// Other limits are in force. A shorter idleness counts from now: a client that is quiet has answered
    /// the pings of the longer one.
    pub(super) fn reload(&mut self, before: &Limits, limits: &Limits, now: Instant) {
        if idle_period(limits) < idle_period(before) {
            self.last_message = now;
        }
    }

    /// The session is to leave.
    pub(super) fn leave(&mut self, leaving: Leaving) {
        self.leaving = Some(leaving);
    }

    /// Whether it is to leave.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// The session may stay.
    pub(super) fn stay(&mut self) {
        self.leaving = None;
    }

    /// The reactor stops or begins to read from it.
    pub(super) fn pause(&mut self, is_paused: bool, now: Instant) {
        self.is_paused = is_paused;
        self.last_message = now;
    }

    /// Whether a message of so many bytes may be looked at.
    fn admit(
        &mut self,
        bytes: usize,
        now: Instant,
        limits: &Limits,
        fx: &mut impl Effects,
    ) -> bool {
        match self.meter.take(bytes, now, limits) {
            Verdict::Fine => true,
            verdict => self.judge(verdict, now, fx),
        }
    }

    /// Frames came that are no messages.
    pub(super) fn overhead(
        &mut self,
        frames: u32,
        now: Instant,
        limits: &Limits,
        fx: &mut impl Effects,
    ) {
        if !self.is_over {
            let verdict = self.meter.take_overhead(frames, now, limits);
            self.judge(verdict, now, fx);
        }
    }

    /// Tells the client what the meter says; whether what was metered may be looked at.
    fn judge(&mut self, verdict: Verdict, now: Instant, fx: &mut impl Effects) -> bool {
        match verdict {
            Verdict::Fine => true,
            Verdict::Low { remaining, limit } => {
                if is_time(&mut self.warned, now) {
                    fx.count_warning();
                    fx.send(|out| text::rate_limit_warning(out, remaining, limit));
                }
                true
            }
            Verdict::Over { retry_after } => {
                fx.count(Outcome::RateLimited);
                if is_time(&mut self.limited, now) {
                    let wall = fx.wall();
                    fx.send(|out| text::rate_limited(out, retry_after, wall));
                }
                false
            }
            Verdict::Abuse => {
                fx.count(Outcome::RateLimited);
                self.is_over = true;
                fx.close(code::RATE_LIMITED, "rate limit exceeded");
                false
            }
        }
    }

    /// Tells the client of a mistake.
    fn complain(&mut self, (code, message): (&str, &str), now: Instant, fx: &mut impl Effects) {
        if is_time(&mut self.complained, now) {
            let wall = fx.wall();
            fx.send(|out| text::error(out, code, message, wall));
        }
    }
}

/// Whether something was not done within the last second, and notes that it is done now.
fn is_time(last: &mut Option<Instant>, now: Instant) -> bool {
    if last.is_some_and(|last| now.duration_since(last) < COMPLAINT) {
        return false;
    }
    *last = Some(now);
    true
}

fn ping_period(limits: &Limits) -> Duration {
    Duration::from_secs(limits.ping_seconds.max(1).into())
}

fn idle_period(limits: &Limits) -> Duration {
    Duration::from_secs(limits.idle_seconds.max(1).into())
}

#[cfg(test)]
mod tests;
