//! Publish, subscribe and read while all is well.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;
use wse_sidecar::backplane::{Error, Position, Publish, State, To};
use wse_sidecar::config::Durability;
use wse_sidecar::topic::Topic;

use super::pod::{Pod, by_name, by_pattern, config, publish, until};
use super::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_from_two_pods_arrive_in_order_once() {
    let server = Server::start().await;
    let config = config(server.url());
    let pods = [
        Arc::new(Pod::join(&config, "a").await),
        Arc::new(Pod::join(&config, "b").await),
    ];
    for pod in &pods {
        for topic in 0..10 {
            assert_eq!(pod.subscribe(&format!("t{topic}")).await.offset, 0);
        }
    }
    let mut publishers = JoinSet::new();
    for publisher in 0..20 {
        let pod = Arc::clone(&pods[publisher % 2]);
        publishers.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0..500 {
                let topic = format!("t{}", (publisher + number) % 10);
                let payload = format!("{publisher}-{number}");
                let at = pod.publish(&topic, &payload).await.unwrap();
                acknowledged.push((topic, Some(at), payload));
            }
            acknowledged
        });
    }
    let acknowledged: HashSet<_> = publishers.join_all().await.into_iter().flatten().collect();
    assert_eq!(acknowledged.len(), 10_000);
    for pod in &pods {
        pod.received(10_000).await;
        pod.log.is_in_order();
        let all = pod.log.all();
        assert_eq!(all.len(), 10_000);
        assert_eq!(all.into_iter().collect::<HashSet<_>>(), acknowledged);
        assert_eq!(pod.metric("wse_backplane_lost_total"), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_after_the_head_arrives() {
    let server = Server::start().await;
    let config = config(server.url());
    let publisher = Arc::new(Pod::join(&config, "a").await);
    let subscriber = Pod::join(&config, "b").await;
    let mut publishing = JoinSet::new();
    for topic in 0..20 {
        let publisher = Arc::clone(&publisher);
        publishing.spawn(async move {
            for number in 0..100 {
                let topic = format!("t{topic}");
                publisher
                    .publish(&topic, &number.to_string())
                    .await
                    .unwrap();
            }
        });
    }
    let mut heads = Vec::new();
    for topic in 0..20 {
        let topic = format!("t{topic}");
        heads.push((topic.clone(), subscriber.subscribe(&topic).await));
    }
    publishing.join_all().await;
    for (topic, head) in heads {
        let offsets = || -> Vec<u64> {
            let positions = subscriber.log.positions().remove(&topic);
            let positions = positions.unwrap_or_default();
            positions.iter().map(|position| position.offset).collect()
        };
        if head.offset < 100 {
            until("the last has arrived", || offsets().last() == Some(&100)).await;
            assert!(offsets()[0] <= head.offset + 1, "{topic} {head:?}");
        }
    }
    subscriber.log.is_in_order();
}

#[tokio::test]
async fn patterns_and_topics_together_deliver_once() {
    let server = Server::start().await;
    let config = config(server.url());
    let both = Pod::join(&config, "both").await;
    let pattern = Pod::join(&config, "pattern").await;
    both.subscribe("chat.a").await;
    both.subscribe_pattern("chat.*").await;
    both.subscribe_pattern("*.a").await;
    pattern.subscribe_pattern("chat.*").await;
    for number in 0..50 {
        for topic in ["chat.a", "chat.b", "other.a", "other.b"] {
            let at = both.publish(topic, &number.to_string()).await.unwrap();
            assert_eq!(at.offset, number + 1);
        }
    }
    both.received(150).await;
    pattern.received(100).await;
    for pod in [&both, &pattern] {
        pod.log.is_in_order();
        assert_eq!(pod.log.payloads("chat.a").len(), 50);
        assert_eq!(pod.log.payloads("chat.b").len(), 50);
    }

    // What only the pattern wanted goes with it; the topic stays, and nothing comes twice.
    both.backplane
        .unsubscribe(vec![by_pattern("chat.*"), by_pattern("*.a")])
        .await;
    pattern
        .backplane
        .unsubscribe(vec![by_pattern("chat.*")])
        .await;
    pattern.subscribe("chat.b").await;
    for topic in ["chat.a", "chat.b"] {
        both.publish(topic, "last").await.unwrap();
    }
    both.received(151).await;
    pattern.received(101).await;
    both.subscribe_pattern("chat.*").await;
    both.backplane.unsubscribe(vec![by_name("chat.a")]).await;
    both.publish("chat.a", "by pattern").await.unwrap();
    both.received(152).await;
    assert_eq!(both.log.len(), 152);
    assert_eq!(pattern.log.len(), 101);
    both.log.is_in_order();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_has_no_hole_while_a_name_that_it_matches_comes_and_goes() {
    let server = Server::start().await;
    let config = config(server.url());
    let publisher = Arc::new(Pod::join(&config, "a").await);
    let pod = Pod::join(&config, "b").await;
    pod.subscribe_pattern("chat.*").await;
    let publishing = tokio::spawn(async move {
        for number in 0..2_000 {
            let topic = if number % 4 == 0 { "chat.b" } else { "chat.a" };
            publisher.publish(topic, "x").await.unwrap();
        }
    });
    let mut rounds = 0;
    while !publishing.is_finished() {
        pod.subscribe("chat.a").await;
        // Another pattern, so that the firehoses' interest changes as well.
        pod.subscribe_pattern("*.b").await;
        pod.backplane.unsubscribe(vec![by_name("chat.a")]).await;
        pod.backplane.unsubscribe(vec![by_pattern("*.b")]).await;
        rounds += 1;
    }
    assert!(rounds > 1);
    publishing.await.unwrap();
    pod.received(2_000).await;
    pod.log.is_in_order();
    assert_eq!(pod.log.payloads("chat.a").len(), 1_500);
    assert_eq!(pod.log.len(), 2_000);
}

#[tokio::test]
async fn a_pattern_is_answered_behind_what_arrived_before() {
    let server = Server::start().await;
    let pod = Arc::new(Pod::join(&config(server.url()), "a").await);
    pod.subscribe("chat.a").await;
    pod.log.shut.store(true, Ordering::SeqCst);
    for number in 0..10 {
        pod.publish("chat.a", &number.to_string()).await.unwrap();
    }
    let answered = tokio::spawn({
        let pod = Arc::clone(&pod);
        async move {
            pod.subscribe_pattern("chat.*").await;
            pod.log.len()
        }
    });
    until("the first waits for the sink", || pod.log.waited() > 0).await;
    // The request behind it is answered: a topic has a head, and waits for nobody.
    pod.subscribe("chat.b").await;
    pod.log.shut.store(false, Ordering::SeqCst);
    assert_eq!(answered.await.unwrap(), 10);
    pod.log.is_in_order();
}

#[tokio::test]
async fn one_pod_needs_no_redis() {
    let pod = Pod::alone("a").await;
    let log = Arc::clone(&pod.log);
    let verbs = tokio::spawn(async move {
        assert_eq!(pod.subscribe("t").await.offset, 0);
        pod.subscribe_pattern("u*").await;
        for topic in ["t", "u", "v"] {
            assert_eq!(pod.publish(topic, "x").await.unwrap().offset, 1);
        }
        let backplane = pod.backplane;
        backplane.unsubscribe(vec![by_name("t")]).await;
        let time = std::time::Duration::from_secs(1);
        let replies = backplane.control(To::All, "hello".into(), time).await;
        assert_eq!(replies.unwrap().answered[0].1, "a heard hello");
        assert_eq!(backplane.nodes().await.unwrap().len(), 1);
        let past = backplane.read(&Topic::trusted("v"), None, 9).await;
        assert_eq!(past.unwrap().publications.len(), 1);
        assert_eq!(backplane.state(), State::Connected);
        backplane.leave().await;
    });
    verbs.await.unwrap();
    assert_eq!((log.payloads("t").len(), log.payloads("u").len()), (1, 1));
    assert_eq!((log.len(), log.states()), (2, vec![State::Connected]));
}

#[tokio::test]
async fn a_key_publishes_once() {
    let server = Server::start().await;
    let config = config(server.url());
    let (a, b) = (Pod::join(&config, "a").await, Pod::join(&config, "b").await);
    a.subscribe("t").await;
    let keyed = |payload| Publish {
        idempotency_key: Some("order 7".to_owned()),
        ..publish("t", payload)
    };
    let first = a.backplane.publish(keyed("first")).await.unwrap();
    a.publish("t", "between").await.unwrap();
    let (x, y) = tokio::join!(
        a.backplane.publish(keyed("again")),
        b.backplane.publish(keyed("again, elsewhere"))
    );
    assert_eq!((x.unwrap(), y.unwrap()), (first, first));
    a.publish("t", "last").await.unwrap();
    a.received(3).await;
    assert_eq!(a.log.payloads("t"), ["first", "between", "last"]);
}

#[tokio::test]
async fn the_past_can_be_read() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    let topic = Topic::trusted("t");
    let none = pod.backplane.read(&topic, None, 9).await.unwrap();
    assert_eq!(none.head, Position::default());
    assert!(none.publications.is_empty());

    let subscribed = pod.subscribe("t").await;
    let small = |payload: &str| {
        let mut publish = publish("t", payload);
        publish.history.size = 100;
        publish
    };
    for number in 1..=1000 {
        let at = pod.backplane.publish(small(&number.to_string())).await;
        assert_eq!(at.unwrap().unwrap().offset, number);
    }
    let at = |offset| {
        Some(Position {
            offset,
            ..subscribed
        })
    };
    for (since, limit, complete, first, count) in [
        (at(1000), 9, true, 0, 0),
        (at(999), 9, true, 1000, 1),
        (at(950), 20, true, 951, 20),
        (at(950), 100, true, 951, 50),
        (at(1001), 9, false, 0, 0),
        (at(5), 1, false, 0, 1),
        (None, 1, false, 0, 1),
    ] {
        let past = pod.backplane.read(&topic, since, limit).await.unwrap();
        assert_eq!(past.head, at(1000).unwrap());
        assert_eq!(past.complete, complete, "{since:?}");
        assert_eq!(past.publications.len(), count, "{since:?}");
        for (offset, publication) in (first..).zip(&past.publications) {
            if first > 0 {
                assert_eq!(publication.position, at(offset));
                assert_eq!(publication.payload, offset.to_string());
            }
        }
    }
    let other = Position {
        epoch: !subscribed.epoch,
        offset: 1000,
    };
    let past = pod.backplane.read(&topic, Some(other), 9).await.unwrap();
    assert!(!past.complete);

    // Trimming is by whole nodes of a stream, so somewhat more than asked for may be kept.
    let kept: usize = server.run(&["XLEN", &stream_of(&server).await]).await;
    assert!((100..300).contains(&kept), "{kept}");
    let forever: Vec<String> = server.run(&["KEYS", "*"]).await;
    for key in forever {
        let left: i64 = server.run(&["PTTL", &key]).await;
        assert!(left > 0, "{key} lives for ever");
    }
}

async fn stream_of(server: &Server) -> String {
    let keys: Vec<String> = server.run(&["KEYS", "*:h:t"]).await;
    keys[0].clone()
}

#[tokio::test]
async fn without_history_publications_arrive_and_nothing_is_kept() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    pod.subscribe("t").await;
    pod.publish("t", "kept").await.unwrap();
    let mut bare = publish("t", "not kept");
    bare.history.size = 0;
    pod.backplane.publish(bare).await.unwrap();
    pod.received(2).await;
    let past = pod.backplane.read(&Topic::trusted("t"), None, 9).await;
    let past = past.unwrap();
    assert!(past.publications.is_empty() && !past.complete);
    assert_eq!(past.head.offset, 2);
}

#[tokio::test]
async fn a_replicated_publish_waits_for_a_replica() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    pod.subscribe("t").await;
    let replicated = |payload| Publish {
        durability: Durability::Replicated,
        ..publish("t", payload)
    };
    let alone = pod.backplane.publish(replicated("alone")).await;
    assert!(matches!(alone, Err(Error::Unreplicated)), "{alone:?}");

    let of = server.port.to_string();
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &of]).await;
    for _ in 0..500 {
        let info: String = server.run(&["INFO", "replication"]).await;
        if info.contains("state=online") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let both = pod.backplane.publish(replicated("both")).await;
    assert_eq!(both.unwrap().unwrap().offset, 2);
    pod.received(2).await;
    let keys: Vec<String> = replica.run(&["KEYS", "*:h:t"]).await;
    assert_eq!(keys.len(), 1);
}

#[tokio::test]
async fn scripts_that_were_flushed_are_sent_again() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    pod.subscribe("t").await;
    let _: () = server.run(&["SCRIPT", "FLUSH", "SYNC"]).await;
    pod.subscribe("u").await;
    let _: () = server.run(&["SCRIPT", "FLUSH", "SYNC"]).await;
    assert_eq!(pod.publish("t", "x").await.unwrap().offset, 1);
    let _: () = server.run(&["SCRIPT", "FLUSH", "SYNC"]).await;
    let mut replicated = publish("t", "y");
    replicated.durability = Durability::Replicated;
    let alone = pod.backplane.publish(replicated).await;
    assert!(matches!(alone, Err(Error::Unreplicated)), "{alone:?}");
    pod.received(2).await;
    pod.log.is_in_order();
}

#[tokio::test]
async fn a_head_that_went_back_starts_a_new_epoch() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    pod.subscribe("t").await;
    for number in 0..5 {
        pod.publish("t", &number.to_string()).await.unwrap();
    }
    pod.received(5).await;
    let keys: Vec<String> = server.run(&["KEYS", "*:m:t"]).await;
    let _: () = server.run(&["HSET", &keys[0], "o", "3"]).await;
    let next = pod.publish("t", "after a failover").await.unwrap();
    assert_eq!(next.offset, 1);
    let _: () = server.run(&["DEL", &keys[0]]).await;
    let next = pod.publish("t", "after a loss").await.unwrap();
    assert_eq!(next.offset, 1);
    pod.received(7).await;
    pod.log.is_in_order();
    let past = pod
        .backplane
        .read(&Topic::trusted("t"), None, 9)
        .await
        .unwrap();
    assert_eq!((past.publications.len(), past.complete), (1, true));
}
