//! What the server says that it did, by its metrics (Prometheus), if they can be read.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use wse_e2e::metrics::{self, Metrics};
use wse_e2e::process::cpu_micros;

use crate::output::count;

/// A server that shows none takes the connection and does not answer, or refuses it.
const PATIENCE: Duration = Duration::from_secs(2);
/// A server may count a thing a little after its client has seen it.
const LATE: Duration = Duration::from_millis(300);

/// Counters that tell what became of connections and messages, and the label that they are split by.
/// First ours, then those of WSE's own server.
const COUNTERS: [(&str, &str); 16] = [
    ("wse_inbound_messages_total", "outcome"),
    ("wse_deliveries_total", ""),
    ("wse_subscriptions_refused_total", "reason"),
    ("wse_publications_missed_total", ""),
    ("wse_slow_consumer_drops_total", ""),
    ("wse_rate_limit_warnings_total", ""),
    ("wse_sessions_refused_total", ""),
    ("wse_sessions_closed_total", "code"),
    ("wse_auth_refusals_total", "reason"),
    ("wse_messages_received_total", ""),
    ("wse_messages_sent_total", ""),
    ("wse_inbound_dropped_total", ""),
    ("wse_cluster_messages_dropped_total", ""),
    ("wse_rate_limited_total", ""),
    ("wse_connections_rejected_total", ""),
    ("wse_auth_failures_total", ""),
];

/// Where the metrics are.
#[derive(Debug)]
pub(crate) struct Server {
    urls: Vec<String>,
    /// A process on this machine that is the server.
    process: Option<u32>,
}

/// What is read of a process, like a counter of its own: microseconds.
pub(crate) const CPU: &str = "process_cpu_us";

/// Counters at one moment.
pub(crate) type Counted = BTreeMap<(&'static str, String), f64>;

/// How much a counter grew.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Did {
    pub(crate) metric: &'static str,
    /// The label's value; empty for a counter without.
    pub(crate) label: String,
    pub(crate) count: u64,
}

impl Server {
    /// At these URLs, which must answer; if there is none, at those of the others that do.
    ///
    /// # Errors
    /// Which URL does not answer, and why.
    pub(crate) async fn find(named: &[String], others: Vec<String>) -> Result<Self, String> {
        for url in named {
            scrape(url)
                .await
                .map_err(|why| format!("no metrics: {why}"))?;
        }
        let mut urls = named.to_vec();
        for url in others {
            if named.is_empty() && scrape(&url).await.is_ok() {
                urls.push(url);
            }
        }
        Ok(Self {
            urls,
            process: None,
        })
    }

    /// A process, of which [`CPU`] is known, and nothing else.
    pub(crate) fn of_process(pid: u32) -> Self {
        Self {
            urls: Vec::new(),
            process: Some(pid),
        }
    }

    /// Counters of all gateways together. None: they cannot be read.
    pub(crate) async fn read(&self) -> Option<Counted> {
        let mut counted = Counted::new();
        if let Some(pid) = self.process {
            let micros = cpu_micros(pid).ok()?;
            counted.insert((CPU, String::new()), micros as f64);
        }
        for url in &self.urls {
            let scrape = scrape(url).await.ok()?;
            for (name, label) in COUNTERS {
                for (value, count) in scrape.split(name, label) {
                    *counted.entry((name, value)).or_default() += count;
                }
            }
        }
        let is_known = self.process.is_some() || !self.urls.is_empty();
        is_known.then_some(counted)
    }

    /// What it did since. None: it does not say.
    pub(crate) async fn did_since(&self, before: Option<Counted>) -> Option<Vec<Did>> {
        let before = before?;
        tokio::time::sleep(LATE).await;
        let after = self.read().await?;
        let grown = after.into_iter().filter_map(|((metric, label), count)| {
            let key = (metric, label);
            let count = count - before.get(&key).copied().unwrap_or(0.0);
            let (metric, label) = key;
            (count > 0.0).then_some(Did {
                metric,
                label,
                count: count as u64,
            })
        });
        Some(grown.collect())
    }
}

/// What it did, in words. None: nothing.
pub(crate) fn words(did: &[Did]) -> Option<String> {
    let each = did.iter().map(|did| {
        let label = match did.label.as_str() {
            "" => String::new(),
            label => format!(" {label}"),
        };
        format!("{}{label} {}", did.metric, count(did.count))
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| format!("the server's own count: {}", each.join(", ")))
}

async fn scrape(url: &str) -> Result<Metrics, String> {
    let scrape = timeout(PATIENCE, metrics::scrape(url)).await;
    let scrape = scrape.map_err(|_| format!("{url} does not answer"))?;
    scrape.map_err(|error| error.to_string())
}
