//! What a pod that leaves does with publishes under way.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::sleep;
use wse_sidecar::backplane::Error;
use wse_sidecar::config::RedisBackplane;

use super::pod::{Pod, config, until};
use super::server::Server;

#[tokio::test]
async fn who_leaves_ends_what_waits() {
    let mut server = Server::start().await;
    let config = RedisBackplane {
        hold_millis: 600_000,
        ..config(server.url())
    };
    let pod = Arc::new(Pod::join(&config, "a").await);
    let other = Pod::join(&config, "b").await;
    other.subscribe("t").await;
    server.kill();
    for pod in [&*pod, &other] {
        pod.degraded().await;
    }
    let mut held = JoinSet::new();
    for number in 0..10 {
        let pod = Arc::clone(&pod);
        held.spawn(async move { pod.publish("t", &number.to_string()).await });
    }
    until("they are held", || {
        pod.metric("wse_backplane_held_bytes") >= 20.0
    })
    .await;
    pod.backplane.leave().await;
    assert_eq!(pod.metric("wse_backplane_held_bytes"), 0.0);
    for outcome in held.join_all().await {
        assert!(matches!(outcome, Err(Error::Away(_))), "{outcome:?}");
    }
    let late = pod.publish("t", "late").await;
    assert!(matches!(late, Err(Error::Away(_))), "{late:?}");
    server.restart().await;
    other.connected().await;
    other.publish("t", "after").await.unwrap();
    other.received(1).await;
    assert_eq!(other.log.payloads("t"), ["after"]);
}

/// It was sent, so nobody knows; and it does not run after its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_stopped_redis_says_that_it_is_uncertain() {
    let server = Server::start().await;
    let config = RedisBackplane {
        hold_millis: 600_000,
        ..config(server.url())
    };
    let pod = Arc::new(Pod::join(&config, "a").await);
    pod.subscribe("t").await;
    server.signal(Signal::STOP);
    let sent = {
        let pod = Arc::clone(&pod);
        tokio::spawn(async move { pod.publish("t", "sent").await })
    };
    sleep(Duration::from_millis(100)).await;
    pod.backplane.leave().await;
    let sent = sent.await.unwrap();
    assert!(matches!(sent, Err(Error::Uncertain)), "{sent:?}");
    server.signal(Signal::CONT);
    let other = Pod::join(&config, "b").await;
    other.subscribe("t").await;
    assert_eq!(other.publish("t", "after").await.unwrap().offset, 1);
}
