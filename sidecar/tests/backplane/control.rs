//! Asking other pods, and knowing which there are.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use wse_sidecar::backplane::{NodeId, Replies, To};
use wse_sidecar::config::RedisBackplane;

use super::pod::{Pod, config};
use super::server::Server;

fn names(replies: &Replies) -> (Vec<String>, Vec<String>) {
    let mut answered: Vec<String> = replies
        .answered
        .iter()
        .map(|(node, body)| {
            assert_eq!(*body, format!("{node} heard hello"));
            node.to_string()
        })
        .collect();
    let mut missing: Vec<String> = replies.missing.iter().map(NodeId::to_string).collect();
    answered.sort();
    missing.sort();
    (answered, missing)
}

async fn ask(pod: &Pod, to: To) -> (Vec<String>, Vec<String>) {
    let hello = Bytes::from("hello");
    let replies = pod.backplane.control(to, hello, Duration::from_millis(700));
    names(&replies.await.unwrap())
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_reach_one_or_all_and_the_dead_are_missing() {
    let server = Server::start().await;
    let config = RedisBackplane {
        lease_seconds: 2,
        ..config(server.url())
    };
    let a = Pod::join(&config, "a").await;
    let b = Pod::join(&config, "b").await;
    let c = Pod::join(&config, "c").await;
    let node = |name| To::Node(NodeId::new(name));

    assert_eq!(ask(&a, To::All).await, (strings(&["a", "b", "c"]), vec![]));
    assert_eq!(ask(&a, node("b")).await, (strings(&["b"]), vec![]));
    assert_eq!(ask(&a, node("a")).await, (strings(&["a"]), vec![]));
    assert_eq!(ask(&a, node("nobody")).await, (vec![], vec![]));

    // One that does not answer in time; one that died without a word; one that left.
    b.log.mute.store(true, Ordering::SeqCst);
    assert_eq!(ask(&a, node("b")).await, (vec![], strings(&["b"])));
    drop(c);
    let expected = (strings(&["a"]), strings(&["b", "c"]));
    assert_eq!(ask(&a, To::All).await, expected);
    b.backplane.leave().await;
    assert_eq!(ask(&a, To::All).await, (strings(&["a"]), strings(&["c"])));

    // The lease of the dead one ends.
    for _ in 0..200 {
        if a.backplane.nodes().await.unwrap().len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let nodes = a.backplane.nodes().await.unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].id, NodeId::new("a"));
    assert!(nodes[0].lease_left <= Duration::from_secs(2));
    assert_eq!(ask(&a, To::All).await, (strings(&["a"]), vec![]));
}

#[tokio::test]
async fn while_away_only_this_pod_can_be_asked() {
    let mut server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    server.kill();
    pod.degraded().await;
    assert_eq!(
        ask(&pod, To::Node(NodeId::new("a"))).await,
        (strings(&["a"]), vec![])
    );
    for to in [To::All, To::Node(NodeId::new("b"))] {
        let hello = Bytes::from("hello");
        let replies = pod.backplane.control(to, hello, Duration::from_secs(1));
        assert!(replies.await.is_err());
    }
    assert!(pod.backplane.nodes().await.is_err());
}
