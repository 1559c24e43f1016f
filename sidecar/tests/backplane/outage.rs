//! Redis goes away and comes back; connections are cut.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::sleep;
use wse_sidecar::backplane::{Error, Position, Publish, State};
use wse_sidecar::config::RedisBackplane;

use super::pod::{Pod, config, publish, until};
use super::proxy::Proxy;
use super::server::Server;

/// What became of a publish, by payload.
type Outcomes = HashMap<String, Result<Position, Error>>;

/// Publishes on four topics from 16 tasks until told to stop.
struct Publishers {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Outcomes>,
}

impl Publishers {
    fn start(pod: &Arc<Pod>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for publisher in 0..16 {
            let (pod, stop) = (Arc::clone(pod), Arc::clone(&stop));
            tasks.spawn(async move {
                let mut outcomes = Outcomes::new();
                let mut number = 0;
                while !stop.load(Ordering::SeqCst) {
                    let payload = format!("{publisher}-{number}");
                    let topic = format!("chat.{}", number % 4);
                    let outcome = pod.publish(&topic, &payload).await;
                    outcomes.insert(payload, outcome);
                    number += 1;
                    sleep(Duration::from_millis(1)).await;
                }
                outcomes
            });
        }
        Self { stop, tasks }
    }

    async fn stop(self) -> Outcomes {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// A fleet of three: one publishes, one has the topics, one a pattern.
struct Fleet {
    publisher: Arc<Pod>,
    receivers: [Pod; 2],
}

impl Fleet {
    async fn join(config: &RedisBackplane) -> Self {
        let publisher = Arc::new(Pod::join(config, "publisher").await);
        let topics = Pod::join(config, "topics").await;
        for topic in 0..4 {
            topics.subscribe(&format!("chat.{topic}")).await;
        }
        let pattern = Pod::join(config, "pattern").await;
        pattern.subscribe_pattern("chat.*").await;
        Self {
            publisher,
            receivers: [topics, pattern],
        }
    }

    /// Cuts the receivers off and keeps them away: each has taken one publication of `chat.0`, and is
    /// stuck in taking a second one.
    async fn cut_in_a_delivery(&self, server: &Server, make: impl Fn(&str, &str) -> Publish) {
        let publisher = &self.publisher.backplane;
        publisher.publish(make("chat.0", "arrives")).await.unwrap();
        for pod in &self.receivers {
            pod.received(1).await;
            pod.log.shut.store(true, Ordering::SeqCst);
        }
        publisher.publish(make("chat.0", "is held")).await.unwrap();
        for pod in &self.receivers {
            until("the sink is asked", || pod.log.waited() > 0).await;
        }
        let _: () = server.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        for pod in &self.receivers {
            pod.degraded().await;
        }
    }

    /// Every outcome holds at every receiver; in `dead`, an epoch whose Redis was killed, what was
    /// still in that Redis's own buffers may be missing at the end.
    async fn check(&self, outcomes: &Outcomes, dead: &[u32]) {
        let expected: usize = outcomes
            .values()
            .filter(|outcome| matches!(outcome, Ok(at) if !dead.contains(&at.epoch)))
            .count();
        assert!(expected > 0);
        for pod in &self.receivers {
            let living = || {
                let all = pod.log.all();
                let alive = |position: &Position| !dead.contains(&position.epoch);
                all.iter().filter(|one| alive(&one.1.unwrap())).count()
            };
            until("what was acknowledged has arrived", || living() >= expected).await;
            pod.log.is_in_order();
            let mut arrived: HashMap<String, Position> = HashMap::new();
            for (_, position, payload) in pod.log.all() {
                let before = arrived.insert(payload.clone(), position.unwrap());
                assert_eq!(before, None, "{payload} arrived twice");
            }
            for (payload, outcome) in outcomes {
                match outcome {
                    Ok(at) if dead.contains(&at.epoch) => {
                        assert!(arrived.get(payload).is_none_or(|arrived| arrived == at));
                    }
                    Ok(at) => assert_eq!(arrived.get(payload), Some(at), "{payload}"),
                    Err(Error::Uncertain) => {}
                    Err(error) => assert_eq!(arrived.get(payload), None, "{payload}: {error}"),
                }
            }
            assert_eq!(pod.metric("wse_backplane_lost_total"), 0.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_killed_and_restarted_empty() {
    let mut server = Server::start().await;
    let fleet = Fleet::join(&config(server.url())).await;
    let publishers = Publishers::start(&fleet.publisher);
    fleet.receivers[0].received(500).await;
    server.kill();
    for pod in &fleet.receivers {
        pod.degraded().await;
    }
    sleep(Duration::from_secs(2)).await;
    let before = fleet.receivers[0].log.positions();
    let dead: Vec<u32> = before.values().flatten().map(|at| at.epoch).collect();
    server.restart().await;
    for pod in &fleet.receivers {
        pod.connected().await;
    }
    fleet.publisher.connected().await;
    sleep(Duration::from_millis(500)).await;
    let outcomes = publishers.stop().await;
    fleet.check(&outcomes, &dead).await;
    for pod in &fleet.receivers {
        let states = pod.log.states();
        let expected = [
            State::Degraded,
            State::Connected,
            State::Degraded,
            State::Connected,
        ];
        assert_eq!(states, expected);
    }
    let uncertain = outcomes.values().filter(|outcome| outcome.is_err()).count();
    assert!(uncertain <= 16, "only what was in flight may be uncertain");
}

/// Nothing was in Redis's hands when it died, so everything must arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_redis_is_dead_arrives_once() {
    let mut server = Server::start().await;
    let fleet = Fleet::join(&config(server.url())).await;
    for number in 0..50 {
        let topic = format!("chat.{}", number % 4);
        fleet
            .publisher
            .publish(&topic, &format!("before-{number}"))
            .await
            .unwrap();
    }
    for pod in &fleet.receivers {
        pod.received(50).await;
    }
    server.kill();
    fleet.publisher.degraded().await;
    let publishers = Publishers::start(&fleet.publisher);
    sleep(Duration::from_millis(1500)).await;
    assert!(fleet.publisher.metric("wse_backplane_held_bytes") > 0.0);
    server.restart().await;
    fleet.publisher.connected().await;
    sleep(Duration::from_millis(300)).await;
    let outcomes = publishers.stop().await;
    assert!(outcomes.values().all(Result::is_ok));
    fleet.check(&outcomes, &[]).await;
    assert_eq!(fleet.publisher.metric("wse_backplane_held_bytes"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_stopped_and_continued() {
    let server = Server::start().await;
    let mut config = config(server.url());
    config.hold_millis = 20_000;
    let fleet = Fleet::join(&config).await;
    let publishers = Publishers::start(&fleet.publisher);
    fleet.receivers[0].received(500).await;
    server.signal(Signal::STOP);
    fleet.publisher.degraded().await;
    sleep(Duration::from_secs(1)).await;
    server.signal(Signal::CONT);
    for pod in &fleet.receivers {
        pod.connected().await;
    }
    fleet.publisher.connected().await;
    sleep(Duration::from_millis(300)).await;
    let outcomes = publishers.stop().await;
    for (payload, outcome) in &outcomes {
        assert!(outcome.is_ok(), "{payload} {outcome:?}");
    }
    fleet.check(&outcomes, &[]).await;
}

/// What waits in a stopped server's sockets is not published after its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_that_failed_is_never_delivered_later() {
    let server = Server::start().await;
    let mut config = config(server.url());
    config.hold_millis = 1500;
    let fleet = Fleet::join(&config).await;
    fleet.publisher.publish("chat.0", "before").await.unwrap();
    server.signal(Signal::STOP);
    let mut sent = JoinSet::new();
    for number in 0..50 {
        let pod = Arc::clone(&fleet.publisher);
        sent.spawn(async move { pod.publish("chat.0", &format!("stopped-{number}")).await });
    }
    for outcome in sent.join_all().await {
        assert!(matches!(outcome, Err(Error::Uncertain)), "{outcome:?}");
    }
    server.signal(Signal::CONT);
    fleet.publisher.connected().await;
    for pod in &fleet.receivers {
        pod.connected().await;
    }
    fleet.publisher.publish("chat.0", "after").await.unwrap();
    for pod in &fleet.receivers {
        pod.received(2).await;
        assert_eq!(pod.log.payloads("chat.0"), ["before", "after"]);
    }
}

/// The publish has run and its answer is on its way when the connection breaks.
async fn publish_without_an_answer(pod: &Arc<Pod>, proxy: &Proxy, receiver: &Pod) -> Answer {
    receiver.subscribe("t").await;
    pod.publish("t", "first").await.unwrap();
    receiver.received(1).await;
    proxy.keep_back(true);
    let publishing = Arc::clone(pod);
    let answer = tokio::spawn(async move { publishing.publish("t", "in hand").await });
    receiver.received(2).await;
    answer
}

type Answer = tokio::task::JoinHandle<Result<Position, Error>>;

#[tokio::test]
async fn an_answer_that_got_lost_is_found_again() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let receiver = Pod::join(&config(server.url()), "receiver").await;
    let pod = Arc::new(Pod::join(&config(proxy.url()), "publisher").await);
    let answer = publish_without_an_answer(&pod, &proxy, &receiver).await;
    proxy.cut();
    proxy.keep_back(false);
    assert_eq!(answer.await.unwrap().unwrap().offset, 2);
    assert_eq!(pod.publish("t", "last").await.unwrap().offset, 3);
    receiver.received(3).await;
    assert_eq!(receiver.log.payloads("t"), ["first", "in hand", "last"]);
}

#[tokio::test]
async fn an_answer_that_died_with_redis_is_uncertain_and_not_made_up() {
    let mut server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let receiver = Pod::join(&config(server.url()), "receiver").await;
    let pod = Arc::new(Pod::join(&config(proxy.url()), "publisher").await);
    let answer = publish_without_an_answer(&pod, &proxy, &receiver).await;
    server.kill();
    proxy.cut();
    proxy.keep_back(false);
    receiver.degraded().await;
    server.restart().await;
    let answer = answer.await.unwrap();
    assert!(matches!(answer, Err(Error::Uncertain)), "{answer:?}");
    receiver.connected().await;
    assert_eq!(pod.publish("t", "last").await.unwrap().offset, 1);
    receiver.received(3).await;
    assert_eq!(receiver.log.payloads("t"), ["first", "in hand", "last"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_while_publishing() {
    let server = Server::start().await;
    let fleet = Fleet::join(&config(server.url())).await;
    let publishers = Publishers::start(&fleet.publisher);
    for kind in ["pubsub", "normal", "pubsub", "normal"] {
        let before = fleet.receivers[0].log.len();
        fleet.receivers[0].received(before + 200).await;
        let _: () = server
            .run(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"])
            .await;
    }
    let before = fleet.receivers[0].log.len();
    fleet.receivers[0].received(before + 200).await;
    let outcomes = publishers.stop().await;
    for (payload, outcome) in &outcomes {
        assert!(outcome.is_ok(), "{payload} {outcome:?}");
    }
    fleet.check(&outcomes, &[]).await;
    for pod in &fleet.receivers {
        assert!(pod.metric("wse_backplane_reconnects_total") >= 2.0);
    }
}

/// Quiet after the cut: nothing live tells of what was missed.
#[tokio::test]
async fn what_was_missed_is_read_from_the_history() {
    let server = Server::start().await;
    let fleet = Fleet::join(&config(server.url())).await;
    fleet.cut_in_a_delivery(&server, publish).await;
    for number in 0..300 {
        let topic = format!("chat.{}", number % 3);
        let payload = format!("missed-{number}");
        fleet.publisher.publish(&topic, &payload).await.unwrap();
    }
    for pod in &fleet.receivers {
        assert_eq!(pod.log.len(), 1);
        pod.log.shut.store(false, Ordering::SeqCst);
        pod.received(302).await;
        pod.log.is_in_order();
        assert_eq!(pod.log.len(), 302);
        assert_eq!(pod.metric("wse_backplane_lost_total"), 0.0);
        assert_eq!(pod.metric("wse_backplane_gap_publications_total"), 300.0);
    }
}

/// The connection is lost again and again while the pod reads what it missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catching_up_goes_on_where_it_was_cut_off() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let publisher = Pod::join(&config(server.url()), "publisher").await;
    let pod = Pod::join(&config(proxy.url()), "a").await;
    pod.subscribe_pattern("p*").await;
    pod.subscribe("t").await;
    pod.log.shut.store(true, Ordering::SeqCst);
    publisher.publish("t", "is held").await.unwrap();
    until("the sink is asked", || pod.log.waited() > 0).await;
    proxy.cut();
    pod.degraded().await;
    let payload = "x".repeat(60 << 10);
    for number in 0..50 {
        for topic in ["p1", "p2", "p3", "p4", "p5", "t"] {
            let payload = format!("{number} {payload}");
            publisher.publish(topic, &payload).await.unwrap();
        }
    }
    pod.log.shut.store(false, Ordering::SeqCst);
    pod.received(1).await;
    for _ in 0..4 {
        let before = pod.log.len();
        until("it goes on", || pod.log.len() > before).await;
        proxy.cut();
    }
    pod.received(301).await;
    pod.connected().await;
    pod.log.is_in_order();
    assert_eq!(pod.log.len(), 301);
    assert_eq!(pod.metric("wse_backplane_lost_total"), 0.0);
}

/// A push that got lost while the connection stayed: the next one shows the gap.
#[tokio::test]
async fn a_gap_is_filled_from_the_history() {
    let server = Server::start().await;
    let mut config = config(server.url());
    config.partitions = 1;
    let fleet = Fleet::join(&config).await;
    fleet.publisher.publish("chat.0", "1").await.unwrap();
    let key = |end: &str| format!("wse:{{test/fleet:p0}}:{end}");
    let silently: [&[&str]; 4] = [
        &["XADD", &key("h:chat.0"), "2-2", "p", "2"],
        &["HSET", &key("m:chat.0"), "o", "2"],
        &["HSET", &key("p"), "s", "2"],
        &["ZADD", &key("r"), "2", "chat.0"],
    ];
    for command in silently {
        let _: redis::Value = server.run(command).await;
    }
    fleet.publisher.publish("chat.0", "3").await.unwrap();
    // Lost, and its successor not kept: nothing to fill the gap with.
    let _: () = server.run(&["HSET", &key("m:chat.0"), "o", "7"]).await;
    let _: () = server.run(&["HSET", &key("p"), "s", "7"]).await;
    fleet.publisher.publish("chat.0", "8").await.unwrap();
    for pod in &fleet.receivers {
        pod.received(4).await;
        assert_eq!(pod.log.payloads("chat.0"), ["1", "2", "3", "8"]);
    }
    let lost = |pod: &Pod| pod.metric("wse_backplane_lost_total");
    assert_eq!(fleet.receivers.each_ref().map(lost)[0], 4.0);
}

#[tokio::test]
async fn what_no_history_has_is_counted() {
    let server = Server::start().await;
    let fleet = Fleet::join(&config(server.url())).await;
    let bare = |topic: &str, payload: &str| {
        let mut publish = publish(topic, payload);
        publish.history.size = 0;
        publish
    };
    fleet.cut_in_a_delivery(&server, bare).await;
    let publisher = &fleet.publisher.backplane;
    for number in 0..5 {
        let lost = bare("chat.0", &format!("lost-{number}"));
        publisher.publish(lost).await.unwrap();
    }
    for pod in &fleet.receivers {
        pod.log.shut.store(false, Ordering::SeqCst);
        pod.connected().await;
    }
    let again = bare("chat.0", "arrives again");
    publisher.publish(again).await.unwrap();
    for pod in &fleet.receivers {
        pod.received(3).await;
        let payloads = pod.log.payloads("chat.0");
        assert_eq!(payloads, ["arrives", "is held", "arrives again"]);
    }
    // By name the number is known; a pattern counts topics.
    let lost = |pod: &Pod| pod.metric("wse_backplane_lost_total");
    assert_eq!(fleet.receivers.each_ref().map(lost), [5.0, 1.0]);
}
