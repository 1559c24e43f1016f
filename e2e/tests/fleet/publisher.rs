//! A backend that publishes numbered messages at a steady rate, whatever becomes of each.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval};
use wse_e2e::Error;
use wse_e2e::api::Api;

/// Between two messages: 50 a second.
const APART: Duration = Duration::from_millis(20);

pub(crate) struct Publisher {
    stop: oneshot::Sender<()>,
    running: JoinHandle<Published>,
}

/// What became of the messages.
#[derive(Default)]
pub(crate) struct Published {
    /// When each was acknowledged.
    pub(crate) acknowledged: BTreeMap<u64, Instant>,
    /// How many were not, by why.
    pub(crate) refused: BTreeMap<String, u64>,
    /// The number that comes next.
    pub(crate) next: u64,
}

impl Publisher {
    /// Begins with number `first`.
    pub(crate) fn start(api: Api, topic: &'static str, first: u64) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop,
            running: tokio::spawn(publish(api, topic, first, stopped)),
        }
    }

    /// Stops, and waits until every call is answered.
    pub(crate) async fn stop(self) -> Result<Published, Error> {
        // It runs until it is told.
        let _ = self.stop.send(());
        let published = self.running.await;
        published.map_err(|error| Error::Process(format!("the publisher: {error}")))
    }
}

impl Published {
    pub(crate) fn extend(&mut self, later: Self) {
        self.acknowledged.extend(later.acknowledged);
        for (why, count) in later.refused {
            *self.refused.entry(why).or_default() += count;
        }
        self.next = later.next;
    }

    /// How many were acknowledged after a moment.
    pub(crate) fn after(&self, moment: Instant) -> usize {
        let times = self.acknowledged.values();
        times.filter(|&&when| when > moment).count()
    }
}

async fn publish(
    api: Api,
    topic: &'static str,
    first: u64,
    mut stopped: oneshot::Receiver<()>,
) -> Published {
    let mut published = Published {
        next: first,
        ..Published::default()
    };
    let mut calls = JoinSet::new();
    let mut ticks = interval(APART);
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            _ = ticks.tick() => {}
        }
        let (api, number) = (api.clone(), published.next);
        published.next += 1;
        calls.spawn(async move {
            let message = json!({ "t": "numbered", "p": { "number": number } });
            let answer = api.publish(topic, &message, None).await;
            (number, answer, Instant::now())
        });
    }
    for (number, answer, when) in calls.join_all().await {
        match answer {
            Ok(_) => {
                published.acknowledged.insert(number, when);
            }
            Err(error) => *published.refused.entry(error.to_string()).or_default() += 1,
        }
    }
    published
}
