//! After an outage publishes wait for the pods that were there before it: topics keep the history that
//! they have by default, and more than that is published meanwhile.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::sleep;
use wse_sidecar::backplane::{Error, Position, Publish};
use wse_sidecar::config::{History, RedisBackplane};

use super::pod::{Pod, config, publish, until};
use super::proxy::Proxy;
use super::server::Server;

/// Published while Redis is away: more than a stream that is cut at whole nodes may keep of 128.
const COUNT: usize = 400;

/// Counts pods that were not waited for any longer.
const ABSENT: &str = "wse_backplane_absent_total";

/// A pod that publishes, and two that come back when the test lets them.
struct Fleet {
    publisher: Arc<Pod>,
    proxy: Proxy,
    topic: Pod,
    pattern: Pod,
}

impl Fleet {
    async fn join(server: &Server, config: RedisBackplane) -> Self {
        let publisher = Arc::new(Pod::join(&config, "publisher").await);
        let proxy = Proxy::start(server.port).await;
        let behind = RedisBackplane {
            url: proxy.url(),
            ..config
        };
        let topic = Pod::join(&behind, "topic").await;
        topic.subscribe("t").await;
        let pattern = Pod::join(&behind, "pattern").await;
        pattern.subscribe_pattern("t*").await;
        let fleet = Self {
            publisher,
            proxy,
            topic,
            pattern,
        };
        fleet.publisher.backplane.publish(short("0")).await.unwrap();
        for pod in [&fleet.topic, &fleet.pattern] {
            pod.received(1).await;
        }
        fleet
    }

    fn publish(&self, count: usize) -> JoinSet<Result<Option<Position>, Error>> {
        let mut publishes = JoinSet::new();
        for number in 1..=count {
            let pod = Arc::clone(&self.publisher);
            let publish = short(&number.to_string());
            publishes.spawn(async move { pod.backplane.publish(publish).await });
        }
        publishes
    }

    async fn degraded(&self) {
        for pod in [&*self.publisher, &self.topic, &self.pattern] {
            pod.degraded().await;
        }
    }

    /// Redis is back; the publisher reads, and the others only later.
    async fn come_back(&self) {
        self.publisher.connected().await;
        // Time in which the publisher would do the wrong thing.
        sleep(Duration::from_millis(300)).await;
        assert!(self.publisher.metric("wse_backplane_held_bytes") > 0.0);
        self.proxy.keep_back(false);
    }

    async fn has_lost_nothing(&self, publishes: JoinSet<Result<Option<Position>, Error>>) {
        for outcome in publishes.join_all().await {
            assert!(outcome.is_ok(), "{outcome:?}");
        }
        for pod in [&self.topic, &self.pattern] {
            pod.received(COUNT + 1).await;
            pod.log.is_in_order();
            let mut payloads = pod.log.payloads("t");
            payloads.sort_unstable_by_key(|payload| payload.parse::<usize>().unwrap());
            let expected: Vec<String> = (0..=COUNT).map(|number| number.to_string()).collect();
            assert_eq!(payloads, expected);
            assert_eq!(pod.metric("wse_backplane_lost_total"), 0.0);
        }
        assert_eq!(self.publisher.metric("wse_backplane_held_bytes"), 0.0);
        assert_eq!(self.publisher.metric(ABSENT), 0.0);
    }
}

fn short(payload: &str) -> Publish {
    Publish {
        history: History::default(),
        ..publish("t", payload)
    }
}

/// A pod whose process ends without a word: it keeps its lease for a while.
async fn dies(config: &RedisBackplane) {
    drop(Pod::join(config, "dead").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_waits_for_the_others() {
    let mut server = Server::start().await;
    let fleet = Fleet::join(&server, config(server.url())).await;
    server.kill();
    fleet.degraded().await;
    fleet.proxy.keep_back(true);
    let publishes = fleet.publish(COUNT);
    server.restart().await;
    fleet.come_back().await;
    fleet.has_lost_nothing(publishes).await;
}

/// They were sent, and lie in the stopped server's sockets until it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_redis_was_sent_waits_for_the_others() {
    let server = Server::start().await;
    let config = RedisBackplane {
        hold_millis: 30_000,
        ..config(server.url())
    };
    let fleet = Fleet::join(&server, config).await;
    server.signal(Signal::STOP);
    let publishes = fleet.publish(COUNT);
    fleet.degraded().await;
    fleet.proxy.keep_back(true);
    sleep(Duration::from_secs(1)).await;
    server.signal(Signal::CONT);
    fleet.come_back().await;
    fleet.has_lost_nothing(publishes).await;
}

/// Only the publisher's connections break: the other answers where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_was_not_away_says_so() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let away = Pod::join(&config(proxy.url()), "away").await;
    let there = Pod::join(&config(server.url()), "there").await;
    there.subscribe("t").await;
    proxy.cut();
    away.degraded().await;
    away.publish("t", "held").await.unwrap();
    there.received(1).await;
    assert_eq!(away.metric(ABSENT), 0.0);
    assert_eq!(there.metric("wse_backplane_reconnects_total"), 0.0);
}

#[tokio::test]
async fn a_dead_pod_is_not_waited_for_without_end() {
    let mut server = Server::start().await;
    let config = config(server.url());
    dies(&config).await;
    let pod = Pod::join(&config, "a").await;
    pod.subscribe("t").await;
    server.kill();
    pod.degraded().await;
    server.restart().await;
    pod.connected().await;
    pod.publish("t", "held").await.unwrap();
    assert_eq!(pod.metric(ABSENT), 1.0);
    pod.received(1).await;
    assert_eq!(pod.log.payloads("t"), ["held"]);
}

#[tokio::test]
async fn waiting_for_others_refuses_nothing() {
    let mut server = Server::start().await;
    let config = RedisBackplane {
        hold_bytes: 100,
        // Shorter than others are waited for.
        hold_millis: 3000,
        ..config(server.url())
    };
    dies(&config).await;
    let pod = Arc::new(Pod::join(&config, "a").await);
    pod.subscribe("t").await;
    server.kill();
    pod.degraded().await;
    let held = {
        let pod = Arc::clone(&pod);
        tokio::spawn(async move { pod.publish("t", "held").await })
    };
    until("it is held", || {
        pod.metric("wse_backplane_held_bytes") > 0.0
    })
    .await;
    server.restart().await;
    pod.connected().await;
    // There is no room to hold it.
    let large = "x".repeat(200);
    pod.publish("t", &large).await.unwrap();
    assert_eq!(pod.metric(ABSENT), 0.0);
    // Waiting on would take more time than it has.
    held.await.unwrap().unwrap();
    pod.received(2).await;
}
