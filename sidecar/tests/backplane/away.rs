//! What a pod does while Redis is away.

use std::sync::Arc;

use tokio::task::JoinSet;
use wse_sidecar::backplane::{Error, Interest, Publish, State};
use wse_sidecar::config::{RedisBackplane, WhenAway};
use wse_sidecar::topic::Topic;

use super::pod::{Pod, by_name, by_pattern, config, publish, until};
use super::server::Server;

#[tokio::test]
async fn holding_is_bounded_in_bytes_and_time() {
    let mut server = Server::start().await;
    let mut config = config(server.url());
    config.hold_bytes = 1000;
    config.hold_millis = 1000;
    let pod = Arc::new(Pod::join(&config, "a").await);
    pod.subscribe("t").await;
    server.kill();
    pod.degraded().await;
    let mut held = JoinSet::new();
    for _ in 0..9 {
        let pod = Arc::clone(&pod);
        held.spawn(async move { pod.publish("t", &"x".repeat(100)).await });
    }
    until("they are held", || {
        pod.metric("wse_backplane_held_bytes") > 900.0
    })
    .await;
    let over = pod.publish("t", &"x".repeat(100)).await;
    assert!(
        matches!(&over, Err(Error::Away(why)) if why.contains("too many")),
        "{over:?}"
    );
    for outcome in held.join_all().await {
        assert!(matches!(outcome, Err(Error::Away(_))), "{outcome:?}");
    }
    assert_eq!(pod.metric("wse_backplane_held_bytes"), 0.0);
    server.restart().await;
    pod.connected().await;
    pod.publish("t", "after").await.unwrap();
    pod.received(1).await;
    assert_eq!(pod.log.payloads("t"), ["after"]);
}

#[tokio::test]
async fn local_delivery_while_away_is_never_replayed() {
    let mut server = Server::start().await;
    let config = config(server.url());
    let (a, b) = (Pod::join(&config, "a").await, Pod::join(&config, "b").await);
    for pod in [&a, &b] {
        pod.subscribe("t").await;
    }
    server.kill();
    a.degraded().await;
    let local = Publish {
        when_away: WhenAway::Local,
        ..publish("t", "here")
    };
    assert_eq!(a.backplane.publish(local).await.unwrap(), None);
    assert_eq!(a.log.all(), [("t".to_owned(), None, "here".to_owned())]);
    server.restart().await;
    for pod in [&a, &b] {
        pod.connected().await;
    }
    a.publish("t", "everywhere").await.unwrap();
    a.received(2).await;
    b.received(1).await;
    assert_eq!(a.log.payloads("t"), ["here", "everywhere"]);
    assert_eq!(b.log.payloads("t"), ["everywhere"]);
}

#[tokio::test]
async fn interest_without_redis_is_kept_and_takes_effect() {
    let mut server = Server::prepare(&[]);
    let config = config(server.url());
    let pod = Pod::begin(&config, "a").await;
    let ask = |interest: Interest| pod.backplane.subscribe(vec![interest]);
    for interest in [by_name("t"), by_name("u"), by_pattern("chat.*")] {
        assert!(matches!(ask(interest).await, Err(Error::Away(_))));
    }
    pod.backplane.unsubscribe(vec![by_name("u")]).await;
    let read = pod.backplane.read(&Topic::trusted("t"), None, 1).await;
    assert!(matches!(read, Err(Error::Away(_))));
    server.restart().await;
    pod.connected().await;
    for topic in ["u", "t", "chat.a"] {
        pod.publish(topic, "x").await.unwrap();
    }
    pod.received(2).await;
    assert_eq!(pod.log.len(), 2);
    assert!(pod.log.payloads("u").is_empty());
}

#[tokio::test]
async fn a_server_that_is_no_primary_any_more_counts_as_away() {
    let server = Server::start().await;
    let pod = Arc::new(Pod::join(&config(server.url()), "a").await);
    pod.subscribe("t").await;
    pod.publish("t", "before").await.unwrap();
    let _: () = server.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let held = {
        let pod = Arc::clone(&pod);
        tokio::spawn(async move { pod.publish("t", "held").await })
    };
    pod.degraded().await;
    let _: () = server.run(&["REPLICAOF", "NO", "ONE"]).await;
    pod.connected().await;
    assert_eq!(held.await.unwrap().unwrap().offset, 2);
    pod.received(2).await;
    assert_eq!(pod.log.payloads("t"), ["before", "held"]);
}

#[tokio::test]
async fn the_file_with_the_url_is_read_for_every_connection() {
    let server = Server::start().await;
    let set = ["CONFIG", "SET", "requirepass", "right"];
    let _: () = server.run(&set).await;
    let path = std::env::temp_dir().join(format!("wse-backplane-url-{}", server.port));
    let url = |password: &str| format!(" redis://:{password}@127.0.0.1:{}\n", server.port);
    std::fs::write(&path, url("wrong")).unwrap();
    let config = RedisBackplane {
        url_file: Some(path.clone()),
        ..config(String::new())
    };
    let pod = Pod::begin(&config, "a").await;
    until("it tries again", || {
        pod.metric("wse_backplane_reconnects_total") > 1.0
    })
    .await;
    assert_eq!(pod.backplane.state(), State::Degraded);
    std::fs::write(&path, url("right")).unwrap();
    pod.connected().await;
    std::fs::remove_file(&path).unwrap();
}
