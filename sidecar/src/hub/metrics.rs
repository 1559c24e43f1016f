//! What the hub counts.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Counters of all reactors together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Publications that reached a reactor with interest.
    pub(super) publications: IntCounter,
    /// Messages queued for sessions.
    pub(super) deliveries: IntCounter,
    /// Publications that the numbering says were lost between the fleet and this pod.
    pub(super) missing: IntCounter,
    /// Sessions closed because a pending subscription held too much.
    pub(super) overflowed: IntCounter,
    /// Subscriptions refused.
    pub(super) refused: IntCounterVec,
    /// Times that a delivery waited for a reactor with a full inbox.
    pub(super) waits: IntCounter,
    /// Questions that a reactor with a full inbox did not take.
    pub(super) questions_refused: IntCounter,
}

impl Metrics {
    /// Registers the hub's metrics.
    ///
    /// # Panics
    /// When they are registered twice.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("the name is valid");
            register(registry, counter)
        };
        let refused = Opts::new(
            "wse_subscriptions_refused_total",
            "Topics and patterns that a client asked for and did not get",
        );
        let refused = IntCounterVec::new(refused, &["reason"]).expect("the name is valid");
        Self {
            publications: counter(
                "wse_publications_received_total",
                "Publications that reached a reactor with subscribers",
            ),
            deliveries: counter(
                "wse_deliveries_total",
                "Messages queued for sessions; those that were replaced before they were sent are also in wse_slow_consumer_drops_total",
            ),
            missing: counter(
                "wse_publications_missed_total",
                "Publications that the numbering of a topic shows did not reach this pod",
            ),
            overflowed: counter(
                "wse_subscriptions_overflowed_total",
                "Sessions closed because more was published while a subscription waited for the backplane than may be held",
            ),
            refused: register(registry, refused),
            waits: counter(
                "wse_delivery_waits_total",
                "Times that the backplane's reader waited for a reactor with a full inbox",
            ),
            questions_refused: counter(
                "wse_questions_refused_total",
                "Messages to one connection and questions about connections that a reactor with a full inbox did not take",
            ),
        }
    }
}

/// Registers a metric and hands it back.
fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    registry
        .register(Box::new(metric.clone()))
        .expect("each metric is registered once");
    metric
}
