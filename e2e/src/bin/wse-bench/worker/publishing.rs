//! The backend of a fan-out: publishes numbered messages by `POST /publish/batch`, on a schedule, or as
//! many as are delivered.

use std::fmt::Write;
use std::time::{Duration, Instant};

use mio::Poll;
use wse_e2e::raw::{Api, Caller};

use super::block::quotes;
use super::now_us;
use super::parent::say;
use super::plan::{Publisher, Said};

/// A call has at most so many publications, and about so many bytes.
const BATCH: u64 = 250;
const BATCH_BYTES: u64 = 128 << 10;
/// Bytes that have been published and not delivered: enough to keep the server busy, and less than makes
/// it take a client for one that does not read.
const WINDOW_BYTES: u64 = 1 << 20;
/// Between two looks at what is due.
const REST_LEAST: Duration = Duration::from_micros(200);
const REST_MOST: Duration = Duration::from_millis(20);

pub(super) struct Publishing<'a> {
    plan: &'a Publisher,
    topic: String,
    text: String,
    caller: Caller,
    begin: Instant,
    begin_us: u64,
    /// Messages that were sent, which is the number of the next.
    next: u64,
    is_told: bool,
}

impl<'a> Publishing<'a> {
    /// Connects; events of the socket have this number.
    pub(super) fn begin(
        plan: &'a Publisher,
        topic: &str,
        number: usize,
        poll: &Poll,
    ) -> Result<Self, String> {
        let api = api(plan);
        let caller = Caller::connect(&api, number, poll).map_err(|error| error.to_string())?;
        Ok(Self {
            plan,
            topic: serde_json::to_string(topic).map_err(|error| error.to_string())?,
            text: quotes(text_bytes(plan)),
            caller,
            begin: Instant::now(),
            begin_us: now_us(),
            next: 0,
            is_told: false,
        })
    }

    /// Publishes what is due, if so many have been delivered to each; says once that all has been.
    pub(super) fn publish(&mut self, delivered: u64) -> Result<(), String> {
        let bytes = self.plan.bytes.max(1) as u64;
        let batch = (BATCH_BYTES / bytes).clamp(1, BATCH);
        let (until, elapsed) = (&self.plan.until, self.begin.elapsed());
        let is_over = until.is_over(elapsed, self.next, 1);
        match self.plan.per_second {
            Some(rate) => {
                // The first is due at once.
                let due = (elapsed.as_secs_f64() * rate) as u64 + 1;
                let due = due.min((until.seconds * rate) as u64);
                while self.next < due {
                    self.call((due - self.next).min(batch))?;
                }
            }
            None => {
                while !is_over && (self.next.saturating_sub(delivered)) * bytes < WINDOW_BYTES {
                    self.call(batch)?;
                }
            }
        }
        if is_over && self.caller.is_idle() && !self.is_told {
            self.is_told = true;
            say(&Said::Published(self.next))?;
        }
        Ok(())
    }

    /// How long there is nothing to do. Not less than a moment: each call costs the server something.
    pub(super) fn rest(&self) -> Duration {
        let rest = self.plan.per_second.map_or(REST_MOST, |rate| {
            let due = Duration::from_secs_f64(self.next as f64 / rate);
            due.saturating_sub(self.begin.elapsed())
        });
        rest.clamp(REST_LEAST, REST_MOST)
    }

    /// Its socket can be read or written.
    pub(super) fn heard(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        let read = self.caller.read_answers(buffer);
        read.and_then(|()| self.caller.flush())
            .map_err(|error| error.to_string())
    }

    pub(super) fn published(&self) -> u64 {
        self.next
    }

    fn call(&mut self, messages: u64) -> Result<(), String> {
        let mut body = String::from(r#"{"publications":["#);
        for number in self.next..self.next + messages {
            let due_us = match self.plan.per_second {
                Some(rate) => self.begin_us + (number as f64 / rate * 1e6) as u64,
                None => now_us(),
            };
            let comma = if number == self.next { "" } else { "," };
            let (topic, message) = (&self.topic, message(number, due_us, &self.text));
            let _ = write!(body, r#"{comma}{{"topic":{topic},"message":{message}}}"#);
        }
        body.push_str("]}");
        self.next += messages;
        let call = api(self.plan).call("/publish/batch", &body);
        self.caller.call(&call).map_err(|error| error.to_string())
    }
}

/// Bytes of the text in a message, which has as many as it should have.
pub(super) fn text_bytes(plan: &Publisher) -> usize {
    let envelope = message(0, now_us(), "").len();
    plan.bytes.saturating_sub(envelope)
}

fn api(plan: &Publisher) -> Api<'_> {
    Api {
        address: plan.address,
        key: &plan.key,
    }
}

fn message(number: u64, due_us: u64, text: &str) -> String {
    format!(r#"{{"c":"U","t":"bench","p":{{"seq":{number},"ts_us":{due_us},"text":"{text}"}}}}"#)
}
