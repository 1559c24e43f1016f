//! What a crew is to do for a round of a test.

use wse_e2e::raw::Dialect;

use super::run::Suite;
use super::test::Test;
use crate::connection::CHANGED;
use crate::crew::Job;
use crate::worker::plan::{Ask, Fan, Flood, Turns, Until, Work};

/// Questions of each connection in a round, as WSE's own client has them, and questions a second of all:
/// the generator has to keep up.
const QUESTIONS: f64 = 50.0;
const QUESTIONS_PER_SECOND: f64 = 10_000.0;
/// Of the size matrix, as WSE's own client has it.
const BURST_SECONDS: f64 = 5.0;
/// Of sustained-hold, at the least, and between its pings.
const HOLD_SECONDS: u64 = 30;
const PING_SECONDS: u64 = 5;
/// That connections have to stay when the limit is looked for, as WSE's own client has it.
const LIMIT_SECONDS: f64 = 3.0;

impl Suite<'_> {
    /// How long the work should take. 0: not known.
    pub(super) fn seconds(&self, test: Test, work: &Work) -> f64 {
        match work {
            Work::Hold { .. } => match test {
                Test::SustainedHold => self.arguments.duration.max(HOLD_SECONDS) as f64,
                Test::ConnectionLimit => LIMIT_SECONDS,
                _ => 0.0,
            },
            Work::Reconnect | Work::Ramp { .. } => 0.0,
            Work::Turns(turns) => (turns.every() * turns.each).as_secs_f64(),
            Work::Flood(Flood { until, .. }) | Work::Storms(until) => until.seconds,
            Work::Fan(fan) => match &fan.publisher {
                Some(publisher) => publisher.until.seconds,
                None => fan.warm_seconds + self.arguments.duration as f64,
            },
        }
    }

    pub(super) fn work(&self, test: Test, size: Option<usize>, tier: usize) -> Work {
        let seconds = self.arguments.duration as f64;
        let bytes = size.unwrap_or(self.arguments.size);
        let turns = |ask| {
            let apart = (seconds / QUESTIONS).max(tier as f64 / QUESTIONS_PER_SECOND);
            Work::Turns(Turns {
                ask,
                each: (seconds / apart).ceil().max(1.0) as u32,
                every_us: (apart * 1e6) as u64,
            })
        };
        match test {
            Test::ConnectionStorm | Test::ConnectionLimit => Work::Hold {
                ping_seconds: 0,
                reconnect: false,
            },
            Test::SustainedHold => Work::Hold {
                ping_seconds: PING_SECONDS,
                reconnect: false,
            },
            Test::PingLatency => turns(Ask::Ping),
            Test::SubscriptionChurn => turns(Ask::Change),
            Test::ReconnectStorm => Work::Reconnect,
            Test::Throughput => Work::Flood(Flood::of_messages(bytes, seconds)),
            Test::SizeMatrix => {
                let seconds = seconds.min(BURST_SECONDS);
                Work::Flood(Flood::of_messages(bytes, seconds))
            }
            Test::FanoutBroadcast | Test::FanoutCluster => self.fan(None, seconds),
        }
    }

    pub(super) fn fan(&self, per_second: Option<f64>, seconds: f64) -> Work {
        let publisher = self.api.map(|address| {
            let (until, bytes) = (Until::seconds(seconds), self.arguments.size);
            let backend = &self.arguments.backend;
            backend.publisher(address, per_second, until, bytes)
        });
        Work::Fan(Fan::of(publisher))
    }

    pub(super) fn job(&self, test: Test, tier: usize, work: Work) -> Result<Job, String> {
        let mut ports = vec![self.target.port];
        ports.extend(self.arguments.port2.filter(|_| test == Test::FanoutCluster));
        let topic = self.arguments.backend.topic.as_str();
        let publishes = matches!(&work, Work::Fan(fan) if fan.publisher.is_some());
        let globs = [topic, &format!("{CHANGED}*")];
        Ok(Job {
            doors: self.target.doors(&ports, &globs)?,
            ca: self.target.ca.clone(),
            dialect: Dialect::Wse,
            connections: tier,
            workers: self.arguments.workers,
            rate: None,
            at_once: true,
            concurrency: self.arguments.batch_size,
            topics: if publishes {
                vec![topic.to_owned()]
            } else {
                Vec::new()
            },
            work,
        })
    }
}
