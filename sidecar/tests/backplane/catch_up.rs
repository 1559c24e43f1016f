//! Reading what was missed: when the connection is lost again meanwhile, and at a gap.

use std::sync::atomic::Ordering;

use wse_sidecar::config::RedisBackplane;

use super::pod::{Pod, by_name, config, until};
use super::proxy::Proxy;
use super::server::Server;

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
    let payload = "x".repeat(16 << 10);
    for number in 0..300 {
        for topic in ["p1", "p2", "t"] {
            let payload = format!("{number} {payload}");
            publisher.publish(topic, &payload).await.unwrap();
        }
    }
    pod.log.slow.store(true, Ordering::SeqCst);
    pod.log.shut.store(false, Ordering::SeqCst);
    pod.received(1).await;
    for _ in 0..4 {
        let before = pod.log.len();
        until("it goes on", || pod.log.len() > before).await;
        proxy.cut();
    }
    pod.received(901).await;
    pod.connected().await;
    pod.log.is_in_order();
    assert_eq!(pod.log.len(), 901);
    assert_eq!(pod.metric("wse_backplane_lost_total"), 0.0);
}

/// A publication that Redis has and that no live copy of reached the pod: all that `publish.lua` writes,
/// and nothing that it sends.
async fn publish_unheard(server: &Server, topic: &str, payload: &str) {
    let key = |rest: &str| format!("wse:{{test/fleet:p0}}:{rest}");
    let position = key(&format!("m:{topic}"));
    let offset: u64 = server.run(&["HINCRBY", &position, "o", "1"]).await;
    let sequence: u64 = server.run(&["HINCRBY", &key("p"), "s", "1"]).await;
    let (history, id) = (key(&format!("h:{topic}")), format!("{offset}-{sequence}"));
    let _: String = server.run(&["XADD", &history, &id, "p", payload]).await;
    let sequence = sequence.to_string();
    let _: u64 = server.run(&["ZADD", &key("r"), &sequence, topic]).await;
}

/// What a pattern is owed of a topic that somebody has by name as well must not wait for the topic's
/// next publication: the name may be dropped before it comes.
#[tokio::test]
async fn a_gap_of_a_partition_is_filled_for_topics_with_a_name_too() {
    let server = Server::start().await;
    let config = RedisBackplane {
        partitions: 1,
        ..config(server.url())
    };
    let pod = Pod::join(&config, "a").await;
    pod.subscribe("chat.a").await;
    pod.subscribe_pattern("chat.*").await;
    pod.publish("chat.a", "1").await.unwrap();
    pod.received(1).await;
    publish_unheard(&server, "chat.a", "2").await;
    pod.publish("chat.b", "shows the gap").await.unwrap();
    pod.received(2).await;
    pod.backplane.unsubscribe(vec![by_name("chat.a")]).await;
    pod.publish("chat.a", "3").await.unwrap();
    pod.received(4).await;
    assert_eq!(pod.log.payloads("chat.a"), ["1", "2", "3"]);
    pod.log.is_in_order();
    assert_eq!(pod.metric("wse_backplane_lost_total"), 0.0);
}

/// What filling the gap of a topic with a name could not read is counted, once for each.
#[tokio::test]
async fn what_the_history_has_no_more_is_counted_for_topics_with_a_name_too() {
    let server = Server::start().await;
    let config = RedisBackplane {
        partitions: 1,
        ..config(server.url())
    };
    let pod = Pod::join(&config, "a").await;
    pod.subscribe("chat.a").await;
    pod.subscribe_pattern("chat.*").await;
    pod.publish("chat.a", "1").await.unwrap();
    pod.received(1).await;
    for payload in ["2", "3", "4"] {
        publish_unheard(&server, "chat.a", payload).await;
    }
    let history = "wse:{test/fleet:p0}:h:chat.a";
    let _: u64 = server.run(&["XTRIM", history, "MAXLEN", "=", "1"]).await;
    pod.publish("chat.b", "shows the gap").await.unwrap();
    pod.received(3).await;
    pod.backplane.unsubscribe(vec![by_name("chat.a")]).await;
    pod.publish("chat.a", "5").await.unwrap();
    pod.received(4).await;
    assert_eq!(pod.log.payloads("chat.a"), ["1", "4", "5"]);
    assert_eq!(pod.metric("wse_backplane_lost_total"), 2.0);
}
