//! What a crew does for a cell.

use wse_e2e::client::Dial;
use wse_e2e::raw::Dialect;

use super::dimension::Dimension;
use super::level::{Level, OPERATIONS_EACH};
use super::run::Stress;
use crate::connection::CHANGED;
use crate::crew::Job;
use crate::worker::plan::{Content, Fan, Flood, Publisher, Until, Work};

/// Of one message, as the tests have it; and of one that is compressed, whose text is what a quote for a
/// dozen symbols takes.
const BYTES: usize = 194;
const DEFLATED_BYTES: usize = 1_024;
/// Frames between two pings, the same at every level: what comes of them is compared. Two lots of questions
/// are under way, which are as many as our gateway keeps of a client.
const MESSAGES: usize = 64;
const QUESTIONS: usize = 32;
/// Handshakes under way at once in each worker.
const CONCURRENCY: usize = 500;
/// Messages and deliveries a second at which the server's own compression is looked at: each is inflated.
const SAMPLES_PER_SECOND: f64 = 50.0;
const SAMPLE_DELIVERIES: f64 = 20_000.0;

impl Stress<'_> {
    pub(super) fn job(&self, level: &Level, dimension: Dimension) -> Result<Job, String> {
        let work = match dimension {
            Dimension::Connections => Work::Storms(Until {
                each: 0,
                ..self.until()
            }),
            Dimension::Messages => self.flood(Content::Messages { bytes: BYTES }, MESSAGES),
            Dimension::Subscriptions => self.flood(Content::Changes, QUESTIONS),
            Dimension::Permissions => self.flood(Content::Checks, QUESTIONS),
            Dimension::Compression => {
                let bytes = DEFLATED_BYTES;
                self.flood(Content::Deflated { bytes }, MESSAGES)
            }
            Dimension::Broadcast => {
                let publications = level.operations().div_ceil(level.subscribers as u64);
                let until = Until {
                    each: publications,
                    ..self.until()
                };
                let publisher = self.publisher(until, None, BYTES);
                Work::Fan(Fan {
                    subscribers: Some(level.subscribers),
                    ..Fan::of(publisher)
                })
            }
        };
        self.job_of(level.connections, work)
    }

    /// Broadcasts to clients that inflate, few enough that all are. None: nobody publishes.
    ///
    /// # Errors
    /// As [`Stress::doors`].
    pub(super) fn samples(&self, level: &Level) -> Result<Option<Job>, String> {
        let most = SAMPLE_DELIVERIES / level.subscribers as f64;
        let per_second = Some(SAMPLES_PER_SECOND.min(most).max(1.0));
        let Some(publisher) = self.publisher(Until::seconds(1.0), per_second, DEFLATED_BYTES)
        else {
            return Ok(None);
        };
        let work = Work::Fan(Fan {
            deflates: true,
            ..Fan::of(Some(publisher))
        });
        self.job_of(level.subscribers, work).map(Some)
    }

    /// How long the work should take.
    pub(super) fn seconds(&self, job: &Job) -> f64 {
        match &job.work {
            Work::Fan(fan) => fan.warm_seconds + self.until().seconds,
            _ => self.until().seconds,
        }
    }

    /// When a level has been measured for long enough. The last holds for slow servers.
    fn until(&self) -> Until {
        let (seconds, most_seconds) = match self.arguments.quick {
            true => (1.0, 5.0),
            false => (3.0, 20.0),
        };
        Until {
            seconds,
            each: OPERATIONS_EACH,
            most_seconds,
        }
    }

    fn flood(&self, content: Content, frames: usize) -> Work {
        Work::Flood(Flood {
            content,
            frames: Some(frames),
            until: self.until(),
        })
    }

    fn publisher(&self, until: Until, per_second: Option<f64>, bytes: usize) -> Option<Publisher> {
        let backend = &self.arguments.backend;
        self.api
            .map(|address| backend.publisher(address, per_second, until, bytes))
    }

    fn job_of(&self, connections: usize, work: Work) -> Result<Job, String> {
        let topic = self.arguments.backend.topic.as_str();
        let publishes = matches!(&work, Work::Fan(fan) if fan.publisher.is_some());
        Ok(Job {
            doors: self.doors()?,
            ca: self.target.ca.clone(),
            dialect: Dialect::Wse,
            connections,
            workers: self.arguments.workers,
            rate: None,
            at_once: true,
            concurrency: CONCURRENCY,
            topics: match publishes {
                true => vec![topic.to_owned()],
                false => Vec::new(),
            },
            work,
        })
    }

    /// The one door, for who may subscribe to the topics of broadcasts and of changes.
    ///
    /// # Errors
    /// When `--ca` cannot be read.
    pub(super) fn doors(&self) -> Result<Vec<Dial>, String> {
        let topic = self.arguments.backend.topic.as_str();
        let changed = format!("{CHANGED}*");
        self.target.doors(&[self.target.port], &[topic, &changed])
    }
}
