//! A pod of a fleet: a backplane and a sink that remembers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use tokio::time::{sleep, timeout};
use wse_sidecar::backplane::{
    Backplane, BoxFuture, Error, Interest, Metrics, NodeId, Position, Publication, Publish, Sink,
    State,
};
use wse_sidecar::config::{self, Durability, History, RedisBackplane, WhenAway};
use wse_sidecar::topic::{Pattern, Topic};

/// Longest wait for anything; a test that waits this long fails.
const PATIENCE: Duration = Duration::from_secs(40);

/// A member of the fleet `test/fleet`.
pub(crate) struct Pod {
    pub(crate) backplane: Backplane,
    pub(crate) registry: Registry,
    pub(crate) log: Arc<Log>,
}

/// What a sink was given.
#[derive(Default)]
pub(crate) struct Log {
    publications: Mutex<Vec<Publication>>,
    states: Mutex<Vec<State>>,
    /// While true nothing is taken.
    pub(crate) shut: AtomicBool,
    /// While true no control request is answered.
    pub(crate) mute: AtomicBool,
    /// Times that something was given while it was not taking.
    waited: AtomicU64,
}

struct LogSink(NodeId, Arc<Log>);

impl Sink for LogSink {
    fn deliver(&self, publications: Vec<Publication>) -> BoxFuture<()> {
        let log = Arc::clone(&self.1);
        Box::pin(async move {
            while log.shut.load(Ordering::SeqCst) {
                log.waited.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(2)).await;
            }
            log.publications.lock().unwrap().extend(publications);
        })
    }

    fn control(&self, request: Bytes) -> BoxFuture<Bytes> {
        let (node, log) = (self.0.clone(), Arc::clone(&self.1));
        Box::pin(async move {
            while log.mute.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(2)).await;
            }
            let text = String::from_utf8_lossy(&request);
            format!("{node} heard {text}").into()
        })
    }

    fn state(&self, state: State) {
        self.1.states.lock().unwrap().push(state);
    }
}

/// A sink that nobody looks at.
pub(crate) fn sink() -> Arc<dyn Sink> {
    Arc::new(LogSink(NodeId::new("nobody"), Arc::default()))
}

/// A fleet's configuration with short times.
pub(crate) fn config(url: String) -> RedisBackplane {
    RedisBackplane {
        url,
        partitions: 4,
        hold_millis: 10_000,
        lease_seconds: 3,
        ..RedisBackplane::default()
    }
}

impl Pod {
    /// Joins and waits until it is connected.
    pub(crate) async fn join(config: &RedisBackplane, name: &str) -> Self {
        let pod = Self::begin(config, name).await;
        pod.connected().await;
        pod
    }

    /// Joins and does not wait.
    pub(crate) async fn begin(config: &RedisBackplane, name: &str) -> Self {
        Self::over(&config::Backplane::Redis(config.clone()), name).await
    }

    /// A fleet of one, in memory.
    pub(crate) async fn alone(name: &str) -> Self {
        Self::over(&config::Backplane::Memory, name).await
    }

    async fn over(config: &config::Backplane, name: &str) -> Self {
        let registry = Registry::new();
        let log = Arc::new(Log::default());
        let node = NodeId::new(name);
        let backplane = Backplane::join(
            config,
            "test/fleet",
            node.clone(),
            Arc::new(LogSink(node, Arc::clone(&log))),
            Metrics::new(&registry).unwrap(),
        );
        Self {
            backplane: backplane.await.unwrap(),
            registry,
            log,
        }
    }

    pub(crate) async fn connected(&self) {
        let connected = || self.backplane.state() == State::Connected;
        until("the pod is connected", connected).await;
    }

    pub(crate) async fn degraded(&self) {
        let degraded = || self.backplane.state() == State::Degraded;
        until("the pod is degraded", degraded).await;
    }

    pub(crate) async fn subscribe(&self, topic: &str) -> Position {
        let heads = self.backplane.subscribe(vec![by_name(topic)]).await;
        heads.unwrap()[0].unwrap()
    }

    pub(crate) async fn subscribe_pattern(&self, glob: &str) {
        let heads = self.backplane.subscribe(vec![by_pattern(glob)]).await;
        assert_eq!(heads.unwrap(), [None]);
    }

    pub(crate) async fn publish(&self, topic: &str, payload: &str) -> Result<Position, Error> {
        let position = self.backplane.publish(publish(topic, payload)).await;
        position.map(|position| position.expect("connected"))
    }

    /// Waits until so many publications have arrived.
    pub(crate) async fn received(&self, count: usize) {
        let what = format!("{count} publications have arrived");
        until(&what, || self.log.len() >= count).await;
    }

    /// A counter's or a gauge's value; of a labelled one the sum.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map_or(&[][..], |family| family.get_metric());
        metrics
            .iter()
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }
}

impl Log {
    pub(crate) fn len(&self) -> usize {
        self.publications.lock().unwrap().len()
    }

    pub(crate) fn waited(&self) -> u64 {
        self.waited.load(Ordering::SeqCst)
    }

    pub(crate) fn states(&self) -> Vec<State> {
        self.states.lock().unwrap().clone()
    }

    /// Topic, position and payload of everything, in the order of arrival.
    pub(crate) fn all(&self) -> Vec<(String, Option<Position>, String)> {
        let text = |payload: &Bytes| String::from_utf8_lossy(payload).into_owned();
        let publications = self.publications.lock().unwrap();
        publications
            .iter()
            .map(|one| (one.topic.to_string(), one.position, text(&one.payload)))
            .collect()
    }

    /// Payloads of a topic, in the order of arrival.
    pub(crate) fn payloads(&self, topic: &str) -> Vec<String> {
        let all = self.all().into_iter();
        all.filter(|(name, ..)| name == topic)
            .map(|(.., payload)| payload)
            .collect()
    }

    /// Positions by topic, in the order of arrival.
    pub(crate) fn positions(&self) -> HashMap<String, Vec<Position>> {
        let mut positions: HashMap<String, Vec<Position>> = HashMap::new();
        for (topic, position, _) in self.all() {
            positions.entry(topic).or_default().push(position.unwrap());
        }
        positions
    }

    /// Every topic's offsets follow each other without a hole within an epoch, every epoch is one run,
    /// and all but the first begin at 1.
    pub(crate) fn is_in_order(&self) {
        for (topic, positions) in self.positions() {
            let mut epochs = std::collections::HashSet::new();
            for (index, run) in positions.chunk_by(|a, b| a.epoch == b.epoch).enumerate() {
                assert!(epochs.insert(run[0].epoch), "{topic}: an epoch came back");
                assert!(index == 0 || run[0].offset == 1, "{topic}: {:?}", run[0]);
                for pair in run.windows(2) {
                    assert_eq!(pair[0].offset + 1, pair[1].offset, "{topic}: {pair:?}");
                }
            }
        }
    }
}

pub(crate) fn by_name(topic: &str) -> Interest {
    Interest::Topic(Topic::trusted(topic))
}

pub(crate) fn by_pattern(glob: &str) -> Interest {
    Interest::Pattern(Pattern::parse(glob, 255).unwrap())
}

pub(crate) fn publish(topic: &str, payload: &str) -> Publish {
    Publish {
        topic: Topic::trusted(topic),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        idempotency_key: None,
        history: History {
            size: 20_000,
            ttl_seconds: 300,
        },
        durability: Durability::Primary,
        when_away: WhenAway::Hold,
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "not: {what}");
}
