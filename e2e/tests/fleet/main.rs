//! Whole fleets: gateway processes, a redis-server and clients that are not ours, looked at only from
//! the outside. `bystander` is a client that must not notice what is done to others, `crowd` many that
//! come back when they are asked to move, `listener` one that counts what it receives, `publisher` a
//! backend, `raw` speaks WebSocket wrongly, `script` runs the published Python client; the rest are the
//! tests.

mod autoscale;
mod bench;
mod bystander;
mod crowd;
mod drain;
mod flood;
mod listener;
mod publisher;
mod python;
mod raw;
mod redis_away;
mod refusals;
mod script;
mod slow;
mod tls;

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;
use wse_e2e::Error;
use wse_e2e::fleet::Gateway;
use wse_e2e::metrics::Metrics;

type Outcome = Result<(), Error>;

/// Tests that keep the processors busy take turns: this machine may have two.
async fn alone() -> SemaphorePermit<'static> {
    static MACHINE: Semaphore = Semaphore::const_new(1);
    MACHINE.acquire().await.expect("nobody closes it")
}

/// Waits until something is so. It gives up after a minute, which no test should need.
async fn until<F>(what: &str, mut is_so: impl FnMut() -> F) -> Outcome
where
    F: Future<Output = Result<bool, Error>>,
{
    for _ in 0..600 {
        if is_so().await? {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(Error::Timeout(what.to_owned()))
}

/// How much a counter has grown since an earlier scrape.
async fn growth(
    gateway: &Gateway,
    before: &Metrics,
    name: &str,
    labels: &[(&str, &str)],
) -> Result<f64, Error> {
    let now = gateway.metrics().await?.sum(name, labels);
    Ok(now.unwrap_or(0.0) - before.sum(name, labels).unwrap_or(0.0))
}

/// Waits until a counter has grown by at least so much: a gateway may show a thing after its client
/// has seen it.
async fn has_grown(
    gateway: &Gateway,
    before: &Metrics,
    name: &str,
    labels: &[(&str, &str)],
    by: f64,
) -> Outcome {
    until(&format!("{name}{labels:?} to grow by {by}"), async || {
        Ok(growth(gateway, before, name, labels).await? >= by)
    })
    .await
}
