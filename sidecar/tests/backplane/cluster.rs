//! The same over two servers that share the hash slots: a script or a pipeline that touches two slots
//! fails there, and only there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use wse_sidecar::backplane::{Publish, To};
use wse_sidecar::config::RedisBackplane;
use wse_sidecar::topic::Topic;

use super::pod::{Pod, by_name, config, publish};
use super::server::Cluster;

fn spread(url: String) -> RedisBackplane {
    RedisBackplane {
        partitions: 16,
        ..config(url)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_verbs_over_a_cluster() {
    let cluster = Cluster::start().await;
    let a = Arc::new(Pod::join(&spread(cluster.nodes[0].url()), "a").await);
    let b = Pod::join(&spread(cluster.nodes[1].url()), "b").await;
    let topics: Vec<String> = (0..40).map(|topic| format!("chat.{topic}")).collect();
    let interests = topics.iter().map(|topic| by_name(topic)).collect();
    let heads = a.backplane.subscribe(interests).await.unwrap();
    assert!(heads.iter().all(|head| head.unwrap().offset == 0));
    b.subscribe_pattern("chat.*").await;
    b.subscribe("chat.7").await;

    let mut publishers = JoinSet::new();
    for publisher in 0..8 {
        let (pod, topics) = (Arc::clone(&a), topics.clone());
        publishers.spawn(async move {
            for number in 0..200 {
                let topic = &topics[(publisher + number) % topics.len()];
                let payload = format!("{publisher}-{number}");
                pod.publish(topic, &payload).await.unwrap();
            }
        });
    }
    publishers.join_all().await;
    for pod in [&*a, &b] {
        pod.received(1600).await;
        pod.log.is_in_order();
        assert_eq!(pod.log.len(), 1600);
        assert_eq!(pod.metric("wse_backplane_lost_total"), 0.0);
    }
    let keyed = || Publish {
        idempotency_key: Some("k".to_owned()),
        ..publish("chat.3", "keyed")
    };
    let first = b.backplane.publish(keyed()).await.unwrap();
    assert_eq!(a.backplane.publish(keyed()).await.unwrap(), first);
    for topic in &topics {
        let past = a.backplane.read(&Topic::trusted(topic), None, 9).await;
        let past = past.unwrap();
        assert!(past.complete && past.head.offset >= 40, "{topic} {past:?}");
    }
    let nodes = b.backplane.nodes().await.unwrap();
    assert_eq!(nodes.len(), 2);
    let hello = Bytes::from("hello");
    let replies = b.backplane.control(To::All, hello, Duration::from_secs(2));
    assert_eq!(replies.await.unwrap().answered.len(), 2);

    // Both servers took part, and a partition's keys lie together.
    let mut tags: Vec<HashSet<String>> = Vec::new();
    for node in &cluster.nodes {
        let keys: Vec<String> = node.run(&["KEYS", "wse:*"]).await;
        let tag = |key: &String| key[key.find('{').unwrap()..key.find('}').unwrap()].to_owned();
        tags.push(keys.iter().map(tag).collect());
    }
    assert!(tags.iter().all(|tags| tags.len() > 2), "{tags:?}");
    assert!(tags[0].is_disjoint(&tags[1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_in_a_cluster() {
    let cluster = Cluster::start().await;
    let a = Arc::new(Pod::join(&spread(cluster.nodes[0].url()), "a").await);
    let b = Pod::join(&spread(cluster.nodes[1].url()), "b").await;
    for topic in 0..4 {
        b.subscribe(&format!("t{topic}")).await;
    }
    b.subscribe_pattern("p*").await;
    for round in 0..3 {
        for number in 0..100 {
            for kind in ["t", "p"] {
                let topic = format!("{kind}{}", number % 4);
                let payload = format!("{round}-{number}");
                a.publish(&topic, &payload).await.unwrap();
            }
        }
        for node in &cluster.nodes {
            let _: () = node.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        }
    }
    b.received(600).await;
    b.log.is_in_order();
    assert_eq!(b.log.len(), 600);
    assert_eq!(b.metric("wse_backplane_lost_total"), 0.0);
}
