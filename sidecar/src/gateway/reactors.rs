//! The reactors' figures as metrics.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

use crate::config::Config;
use crate::protocol::Gateway;
use crate::reactor::Counters;

/// How many reactors to run: as configured, or one for each core that the process may use.
pub(super) fn count(config: &Config) -> usize {
    match config.reactors {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        configured => configured.into(),
    }
}

/// Reads the sum over all reactors.
pub(super) type Sum = Arc<dyn Fn() -> Counters + Send + Sync>;

/// The sum over the reactors of a gateway.
pub(super) fn sum(gateway: Arc<Gateway>) -> Sum {
    Arc::new(move || {
        let mut sum = Counters::default();
        for reactor in gateway.reactors() {
            sum += reactor.counters();
        }
        sum
    })
}

/// Brings the sum up to date when scraped.
pub(super) struct Figures {
    /// One scrape at a time: two would both add what the counters have grown since the last.
    scraping: Mutex<()>,
    sum: Sum,
    bytes: IntCounterVec,
    closed: IntCounterVec,
    dropped: IntCounter,
    messages: IntCounterVec,
    opened: IntCounter,
    partial_bytes: IntGauge,
    queued_bytes: IntGauge,
    sessions: IntGauge,
}

impl Figures {
    pub(super) fn new(sum: Sum) -> prometheus::Result<Self> {
        let by = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label])
        };
        Ok(Self {
            scraping: Mutex::default(),
            sum,
            bytes: by(
                "wse_bytes_total",
                "Bytes of clients' sockets, read (in) and taken by the kernel (out).",
                "direction",
            )?,
            closed: by(
                "wse_sessions_closed_total",
                "Sessions that ended, by how.",
                "how",
            )?,
            dropped: IntCounter::new(
                "wse_frames_dropped_total",
                "Publications that a slow session did not get: by its topic's policy, or closed for it.",
            )?,
            messages: by(
                "wse_messages_total",
                "Messages from clients (in) and for clients (out).",
                "direction",
            )?,
            opened: IntCounter::new("wse_sessions_opened_total", "Sessions that began.")?,
            partial_bytes: IntGauge::new(
                "wse_partial_bytes",
                "Bytes held for frames and messages that are not complete.",
            )?,
            queued_bytes: IntGauge::new(
                "wse_outbound_queued_bytes",
                "Bytes queued for clients and not yet taken by the kernel.",
            )?,
            sessions: IntGauge::new("wse_sessions", "Sessions in this pod.")?,
        })
    }

    fn parts(&self) -> [&dyn Collector; 8] {
        [
            &self.bytes,
            &self.closed,
            &self.dropped,
            &self.messages,
            &self.opened,
            &self.partial_bytes,
            &self.queued_bytes,
            &self.sessions,
        ]
    }
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _alone = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.sum)();
        let labelled = |counters: &IntCounterVec, label: &str, value: u64| {
            raise(&counters.with_label_values(&[label]), value);
        };
        labelled(&self.bytes, "in", now.bytes_in);
        labelled(&self.bytes, "out", now.bytes_out);
        labelled(&self.messages, "in", now.messages_in);
        labelled(&self.messages, "out", now.messages_out);
        for (how, value) in [
            ("by_client", now.closed_by_client),
            ("lost", now.closed_lost),
            ("other", now.closed_other),
            ("oversize", now.closed_oversize),
            ("protocol", now.closed_protocol),
            ("slow", now.closed_slow),
            ("utf8", now.closed_utf8),
        ] {
            labelled(&self.closed, how, value);
        }
        raise(&self.opened, now.sessions_opened);
        raise(&self.dropped, now.frames_dropped);
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.partial_bytes.set(gauge(now.partial_bytes));
        self.queued_bytes.set(gauge(now.queued_bytes));
        let open = now.sessions_opened.saturating_sub(now.sessions_closed);
        self.sessions.set(gauge(open));
        self.parts()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}

fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
