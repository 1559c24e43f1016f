//! Reading what was missed, while the connection is lost again.

use std::sync::atomic::Ordering;

use super::pod::{Pod, config, until};
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
