//! Leaving, staying, and reloading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wse_sidecar::config::{Config, Limits};
use wse_sidecar::hub::Settings;

use crate::client::Client;
use crate::pod::Pod;

#[tokio::test(flavor = "multi_thread")]
async fn every_session_leaves_once_with_4300_spread_over_the_window() {
    let pod = Pod::start(&Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(Client::ready(&pod, "").await);
    }
    let window = Duration::from_secs(2);
    let begin = Instant::now();
    pod.fleet.leave(window, Duration::from_secs(60));
    pod.fleet.leave(Duration::ZERO, Duration::ZERO);
    let leaving = clients
        .into_iter()
        .map(|mut client| tokio::spawn(async move { (client.closed().await, begin.elapsed()) }));
    let mut moments = Vec::new();
    for left in leaving.collect::<Vec<_>>() {
        let (closed, after) = left.await.unwrap();
        assert_eq!(closed, (4300, "draining".into()));
        moments.push(after);
    }
    moments.sort();
    // Forty moments that all fall into one half of the window: one chance in 2^39.
    assert!(moments[0] < window / 2, "{moments:?}");
    assert!(moments[39] >= window / 2, "{moments:?}");

    // A client that still arrives leaves as well.
    let mut late = Client::ready(&pod, "").await;
    assert_eq!(late.closed().await, (4300, "draining".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_left_may_stay() {
    let pod = Pod::start(&Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::ready(&pod, "").await);
    }
    let hour = Duration::from_secs(3_600);
    pod.fleet.leave(hour, hour * 2);
    pod.fleet.stay();
    // A drain that began anew would end these at once; the one taken back does not.
    for client in &mut clients {
        client.nothing_came().await;
    }
    pod.fleet.leave(Duration::ZERO, hour);
    for client in &mut clients {
        assert_eq!(client.closed().await, (4300, "draining".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_deadline_what_is_left_is_cut_off() {
    let pod = Pod::start(&Config::default()).await;
    let mut client = Client::ready(&pod, "").await;
    let hour = Duration::from_secs(3_600);
    pod.fleet.leave(hour, Duration::ZERO);
    // Its own moment and the deadline are the same: either way it is gone.
    client.gone().await;
    let empty = async {
        while pod.fleet.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), empty).await;
    in_time.expect("the session is still counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_limits_and_disturbs_nobody() {
    let pod = Pod::start(&Config::default()).await;
    let mut client = Client::ready(&pod, "").await;
    client.subscribe(&["chat.1"]).await;
    let config = Config {
        limits: Limits {
            ping_seconds: 1,
            subscriptions: 1,
            ..Limits::default()
        },
        ..Config::default()
    };
    pod.gateway
        .reload(Arc::new(Settings::new(&config).unwrap()));
    // The next ping would have come after 12 seconds at the earliest.
    assert_eq!(client.json().await["t"], "ping");
    assert_eq!(client.subscribe(&["chat.2"]).await["success"], false);
    pod.publish("chat.1", 1).await;
    loop {
        let message = client.json().await;
        if message["t"] == "note" {
            break;
        }
        assert!(
            message["t"] == "ping" || message["t"] == "error",
            "{message}"
        );
    }
}
