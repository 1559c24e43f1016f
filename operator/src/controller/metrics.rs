//! What can be counted about the operator.

use prometheus::{
    Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// All of it. Never labelled by a cluster's name: there may be a thousand.
#[derive(Clone)]
pub(super) struct Metrics {
    registry: Registry,
    /// Passes by how they ended.
    pub(super) passes: IntCounterVec,
    pub(super) pass_seconds: Histogram,
    /// Passes that were not finished, by reason.
    pub(super) errors: IntCounterVec,
    /// Questions to pods, by how they ended.
    pub(super) pod_questions: IntCounterVec,
    /// Calls that write, by kind of object.
    pub(super) writes: IntCounterVec,
    pub(super) leads: IntGauge,
    /// WseClusters by namespace; the empty one stands for all.
    pub(super) clusters: IntGaugeVec,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let counter = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label]).expect("names are constants")
        };
        let gauge =
            |name: &str, help: &str| IntGauge::new(name, help).expect("names are constants");
        let seconds = HistogramOpts::new(
            "wse_operator_pass_duration_seconds",
            "Time that one pass over one WseCluster took.",
        )
        .buckets(vec![0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let metrics = Self {
            registry: Registry::new(),
            passes: counter(
                "wse_operator_passes_total",
                "Passes over a WseCluster, by result: done, refused (a person has to put something right), failed.",
                "result",
            ),
            pass_seconds: Histogram::with_opts(seconds).expect("names are constants"),
            errors: counter(
                "wse_operator_errors_total",
                "What kept passes from being finished, by reason.",
                "reason",
            ),
            pod_questions: counter(
                "wse_operator_pod_questions_total",
                "Questions to pods how they are, by outcome: answered, timeout, refused (nothing takes the question, or it is turned down), nonsense (the answer is none).",
                "outcome",
            ),
            writes: counter(
                "wse_operator_writes_total",
                "Calls to the API server that write, by kind of object.",
                "kind",
            ),
            leads: gauge(
                "wse_operator_leader",
                "1 while this process holds the Lease and acts.",
            ),
            clusters: IntGaugeVec::new(
                Opts::new(
                    "wse_operator_clusters",
                    "WseClusters, by the namespace that is served; empty: all.",
                ),
                &["namespace"],
            )
            .expect("names are constants"),
        };
        metrics.register();
        metrics
    }

    /// Everything, in Prometheus' text format.
    pub(super) fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn register(&self) {
        let all: [Box<dyn prometheus::core::Collector>; 7] = [
            Box::new(self.passes.clone()),
            Box::new(self.pass_seconds.clone()),
            Box::new(self.errors.clone()),
            Box::new(self.pod_questions.clone()),
            Box::new(self.writes.clone()),
            Box::new(self.leads.clone()),
            Box::new(self.clusters.clone()),
        ];
        for collector in all {
            self.registry
                .register(collector)
                .expect("every name is registered once");
        }
    }
}
