//! How many reactors there are, and their figures as metrics.

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

/// Brings the sum up to date when scraped. What the protocol counts by itself, such as messages from
/// clients by what became of them and sessions by their close code, is not here again.
pub(super) struct Figures {
    /// One scrape at a time: two would both add what the counters have grown since the last.
    scraping: Mutex<()>,
    sum: Sum,
    bytes: IntCounterVec,
    compressed_sessions: IntCounter,
    compression_bytes: IntCounterVec,
    history_bytes: IntGauge,
    inflated_oversize: IntCounter,
    messages_out: IntCounter,
    partial_bytes: IntGauge,
    queued_bytes: IntGauge,
    sessions: IntGauge,
}

impl Figures {
    pub(super) fn new(sum: Sum) -> prometheus::Result<Self> {
        Ok(Self {
            scraping: Mutex::default(),
            sum,
            bytes: IntCounterVec::new(
                Opts::new(
                    "wse_socket_bytes_total",
                    "Bytes of clients' sockets, read (in) and taken by the kernel (out).",
                ),
                &["direction"],
            )?,
            compressed_sessions: IntCounter::new(
                "wse_compressed_sessions_total",
                "Sessions that agreed on compression.",
            )?,
            compression_bytes: IntCounterVec::new(
                Opts::new(
                    "wse_compression_bytes_total",
                    "Compressed messages from clients (in) and to each of their receivers (out), in bytes \
                     as they went (compressed) and as they would have gone (plain).",
                ),
                &["direction", "form"],
            )?,
            history_bytes: IntGauge::new(
                "wse_compression_history_bytes",
                "Bytes of earlier messages kept for clients whose next ones may refer to them.",
            )?,
            inflated_oversize: IntCounter::new(
                "wse_inflated_oversize_total",
                "Compressed messages from clients refused with 1009 because they would have become too big.",
            )?,
            messages_out: IntCounter::new(
                "wse_outbound_messages_total",
                "Messages queued or written for clients.",
            )?,
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

    fn parts(&self) -> [&dyn Collector; 9] {
        [
            &self.bytes,
            &self.compressed_sessions,
            &self.compression_bytes,
            &self.history_bytes,
            &self.inflated_oversize,
            &self.messages_out,
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
        raise(&self.bytes.with_label_values(&["in"]), now.bytes_in);
        raise(&self.bytes.with_label_values(&["out"]), now.bytes_out);
        raise(&self.compressed_sessions, now.sessions_deflated);
        for (labels, total) in [
            (["in", "compressed"], now.inflated_bytes),
            (["in", "plain"], now.inflated_plain_bytes),
            (["out", "compressed"], now.deflated_bytes),
            (["out", "plain"], now.deflated_plain_bytes),
        ] {
            raise(&self.compression_bytes.with_label_values(&labels), total);
        }
        raise(&self.inflated_oversize, now.inflated_oversize);
        raise(&self.messages_out, now.messages_out);
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.history_bytes.set(gauge(now.history_bytes));
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
