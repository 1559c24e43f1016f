//! How much a client may send: two token buckets, for messages and for bytes.

use std::time::{Duration, Instant};

use crate::config::Limits;

/// Below this share of a bucket the client is warned.
const LOW: f64 = 0.2;

/// A client whose messages are dropped for this long, never two seconds without, is closed.
const ABUSE: Duration = Duration::from_secs(10);

/// Longer than this without a dropped message, and the client counts as well-behaved again.
const PARDON: Duration = Duration::from_secs(2);

/// What one client has sent lately.
#[derive(Debug)]
pub(super) struct Meter {
    messages: Bucket,
    bytes: Bucket,
    /// When the buckets were refilled. None: not yet, and they are full.
    at: Option<Instant>,
    dropped_since: Option<Instant>,
    last_dropped: Option<Instant>,
}

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Drop the message and close the session.
    Abuse,
    /// Take it.
    Fine,
    /// Take it and warn: few tokens are left of so many.
    Low {
        /// Left in the bucket.
        remaining: u64,
        /// The bucket's size, and what it gains a second.
        limit: u64,
    },
    /// Drop it; the next one passes after so many seconds.
    Over {
        /// Seconds.
        retry_after: f64,
    },
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            messages: Bucket::FULL,
            bytes: Bucket::FULL,
            at: None,
            dropped_since: None,
            last_dropped: None,
        }
    }

    /// A message of so many bytes has come. The messages of a `batch` count one by one, and their
    /// bytes once with the batch.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize, now: Instant, limits: &Limits) -> Verdict {
        self.refill(now, limits);
        let messages = self.messages.level - 1.0;
        let left = self.bytes.level - bytes as f64;
        if is_much(messages, limits.messages_per_second) && is_much(left, limits.bytes_per_second) {
            self.messages.level = messages;
            self.bytes.level = left;
            return Verdict::Fine;
        }
        self.take_of_few(bytes, now, limits)
    }

    /// The same where a bucket is low, or is by then.
    fn take_of_few(&mut self, bytes: usize, now: Instant, limits: &Limits) -> Verdict {
        let message_rate = limits.messages_per_second;
        let byte_rate = limits.bytes_per_second;
        let wait = self
            .messages
            .wait(message_rate, 1.0)
            // A message may be larger than the bucket: it needs one token and takes them all.
            .max(
                self.bytes
                    .wait(byte_rate, if bytes == 0 { 0.0 } else { 1.0 }),
            );
        if wait > 0.0 {
            return self.drop(wait, now);
        }
        self.messages.level -= 1.0;
        self.bytes.level -= bytes as f64;
        let (bucket, rate) = if is_much(self.messages.level, message_rate) {
            (&self.bytes, byte_rate)
        } else {
            (&self.messages, message_rate)
        };
        Verdict::Low {
            remaining: bucket.level.max(0.0) as u64,
            limit: rate.into(),
        }
    }

    /// So many frames have come that are no messages: pings, pongs, fragments but the last. Each costs as
    /// much as a message; the debt is one second's messages at most.
    pub(super) fn take_overhead(&mut self, frames: u32, now: Instant, limits: &Limits) -> Verdict {
        let rate = limits.messages_per_second;
        self.refill(now, limits);
        let wait = self.messages.wait(rate, 1.0);
        self.messages.level = (self.messages.level - f64::from(frames)).max(-f64::from(rate));
        if wait > 0.0 {
            return self.drop(wait, now);
        }
        Verdict::Fine
    }

    /// Once for all that comes in one turn of the reactor, which has one time.
    #[inline]
    fn refill(&mut self, now: Instant, limits: &Limits) {
        if self.at == Some(now) {
            return;
        }
        let since = self.at.replace(now).unwrap_or(now);
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        self.messages.refill(limits.messages_per_second, seconds);
        self.bytes.refill(limits.bytes_per_second, seconds);
    }

    fn drop(&mut self, retry_after: f64, now: Instant) -> Verdict {
        let is_new = |last: Instant| now.duration_since(last) > PARDON;
        if self.last_dropped.is_none_or(is_new) {
            self.dropped_since = Some(now);
        }
        self.last_dropped = Some(now);
        let since = self.dropped_since.unwrap_or(now);
        if now.duration_since(since) >= ABUSE {
            return Verdict::Abuse;
        }
        Verdict::Over { retry_after }
    }
}

/// Whether a bucket with so many tokens is not low.
fn is_much(level: f64, rate: u32) -> bool {
    rate == 0 || level >= f64::from(rate) * LOW
}

/// Gains `rate` tokens a second up to `rate`. A rate of 0 is off.
#[derive(Debug)]
struct Bucket {
    level: f64,
}

impl Bucket {
    /// Cut to its size by the first refill.
    const FULL: Self = Self { level: f64::MAX };

    fn refill(&mut self, rate: u32, seconds: f64) {
        let rate = f64::from(rate);
        self.level = (self.level + seconds * rate).min(rate);
    }

    /// Seconds until there are so many tokens.
    fn wait(&self, rate: u32, tokens: f64) -> f64 {
        if rate == 0 || self.level >= tokens {
            return 0.0;
        }
        // A bucket of one token must not wait for rounding errors.
        ((tokens - self.level - 1e-9) / f64::from(rate)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(messages: u32, bytes: u32) -> Limits {
        Limits {
            messages_per_second: messages,
            bytes_per_second: bytes,
            ..Limits::default()
        }
    }

    #[test]
    fn a_burst_passes_with_a_warning_at_its_end_and_then_nothing_until_refilled() {
        let now = Instant::now();
        let limits = limits(10, 0);
        let mut meter = Meter::new();
        for sent in 1..=8 {
            assert_eq!(meter.take(1, now, &limits), Verdict::Fine, "{sent}");
        }
        for remaining in [1, 0] {
            let low = Verdict::Low {
                remaining,
                limit: 10,
            };
            assert_eq!(meter.take(1, now, &limits), low);
        }
        let Verdict::Over { retry_after } = meter.take(1, now, &limits) else {
            panic!("the eleventh message passed");
        };
        assert!((0.09..=0.1).contains(&retry_after), "{retry_after}");
        let later = now + Duration::from_millis(100);
        assert!(matches!(meter.take(1, later, &limits), Verdict::Low { .. }));
    }

    #[test]
    fn a_message_larger_than_the_byte_bucket_passes_and_is_paid_for() {
        let now = Instant::now();
        let limits = limits(0, 100);
        let mut meter = Meter::new();
        assert!(matches!(
            meter.take(250, now, &limits),
            Verdict::Low { remaining: 0, .. }
        ));
        for (millis, passes) in [(0, false), (1_000, false), (1_600, true)] {
            let at = now + Duration::from_millis(millis);
            let verdict = meter.take(1, at, &limits);
            assert_eq!(!matches!(verdict, Verdict::Over { .. }), passes, "{millis}");
        }
    }

    #[test]
    fn both_limits_at_0_are_off() {
        let now = Instant::now();
        let mut meter = Meter::new();
        for _ in 0..10_000 {
            assert_eq!(meter.take(1 << 20, now, &limits(0, 0)), Verdict::Fine);
        }
    }

    #[test]
    fn a_flood_of_pings_and_fragments_is_abuse_and_a_few_are_nothing() {
        let start = Instant::now();
        let limits = limits(10, 0);
        for (frames, expected) in [(2, Verdict::Fine), (1_000_000, Verdict::Abuse)] {
            let mut meter = Meter::new();
            let verdicts = (0..15).map(|second| {
                meter.take_overhead(frames, start + Duration::from_secs(second), &limits)
            });
            assert_eq!(verdicts.last(), Some(expected), "{frames}");
        }
    }

    #[test]
    fn ten_seconds_of_dropped_messages_are_abuse_and_a_pause_forgives() {
        let start = Instant::now();
        let limits = limits(1, 0);
        for (pause_at, abusive) in [(None, true), (Some(5), false)] {
            let mut meter = Meter::new();
            let mut now = start;
            let mut verdict = Verdict::Fine;
            for second in 0..11 {
                if pause_at == Some(second) {
                    now += Duration::from_secs(3);
                }
                for _ in 0..5 {
                    verdict = meter.take(1, now, &limits);
                }
                now += Duration::from_secs(1);
            }
            assert_eq!(verdict == Verdict::Abuse, abusive, "{pause_at:?}");
        }
    }
}
