//! Redis goes away for ten seconds while a backend publishes, in three ways. Topics keep the history that
//! they have by default, much less than what is published meanwhile.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wse_e2e::Error;
use wse_e2e::client::{Client, Dial};
use wse_e2e::fleet::{Gateway, Setup};
use wse_e2e::redis::{Keeps, Redis};

use crate::listener::Listener;
use crate::publisher::{Published, Publisher};
use crate::{Outcome, until};

const AWAY: Duration = Duration::from_secs(10);
const TOPIC: &str = "orders.new";

/// How it goes away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum How {
    /// It hangs: connections stay open, nothing answers, and then everything does.
    Frozen,
    /// It is killed, and comes back with what it had.
    Killed,
    /// It is killed, and comes back empty.
    Lost,
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_hangs_for_ten_seconds() -> Outcome {
    survive(How::Frozen).await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_killed_and_comes_back_after_ten_seconds() -> Outcome {
    survive(How::Killed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_killed_and_comes_back_empty_after_ten_seconds() -> Outcome {
    survive(How::Lost).await
}

async fn survive(how: How) -> Outcome {
    let keeps = match how {
        How::Frozen | How::Lost => Keeps::Nothing,
        How::Killed => Keeps::Everything,
    };
    let mut redis = Redis::start(keeps).await?;
    let setup = Setup::over_redis(&redis.url())?;
    let a = Gateway::start(&setup, setup.config("a")).await?;
    let b = Gateway::start(&setup, setup.config("b")).await?;
    let mut listeners = Vec::new();
    for gateway in [&a, &a, &b] {
        let dial = Dial::new(&gateway.url(), &setup.token("user", &["orders.*"]));
        let mut client = Client::connect(&dial).await?;
        client.subscribe(&[TOPIC]).await?;
        listeners.push(Listener::start(client));
    }
    let mut publisher = Publisher::start(b.api(), TOPIC, 0);
    sleep(Duration::from_secs(2)).await;

    let mut published = Published::default();
    match how {
        How::Frozen => redis.freeze(),
        How::Killed => redis.kill(),
        How::Lost => {
            // What an empty Redis has forgotten it cannot keep from being published twice: an answer
            // that the kill destroys is not part of this test.
            published = publisher.stop().await?;
            redis.kill();
            publisher = Publisher::start(b.api(), TOPIC, published.next);
        }
    }
    let gone = Instant::now();
    for gateway in [&a, &b] {
        is_degraded(gateway, true).await?;
        assert_eq!(gateway.admin("/live").await?.status, 200);
    }
    while gone.elapsed() < AWAY {
        for gateway in [&a, &b] {
            assert_eq!(gateway.admin("/live").await?.status, 200);
        }
        sleep(Duration::from_millis(200)).await;
    }
    match how {
        How::Frozen => redis.thaw(),
        How::Killed | How::Lost => redis.start_again().await?,
    }
    for gateway in [&a, &b] {
        is_degraded(gateway, false).await?;
    }
    sleep(Duration::from_secs(2)).await;

    published.extend(publisher.stop().await?);
    // By itself: what is published now arrives, and everything before it has.
    let last = json!({ "t": "last", "p": {} });
    b.api().publish(TOPIC, &last, None).await?;
    let acknowledged = published.acknowledged.len();
    println!(
        "{how:?}: {acknowledged} acknowledged, refused: {:?}",
        published.refused
    );
    assert!(
        published.after(gone + AWAY) > 0,
        "nothing was acknowledged after the return"
    );
    for listener in listeners {
        let mut received = listener.finish().await?;
        for number in published.acknowledged.keys() {
            let times = received.remove(number).unwrap_or(0);
            assert_eq!(
                times, 1,
                "{number} was acknowledged and arrived {times} times"
            );
        }
        for (number, times) in received {
            assert!(
                times <= 1,
                "{number} was not acknowledged and arrived {times} times"
            );
        }
    }
    Ok(())
}

/// What readiness says in its detail, and what the metric says; the status stays 200.
async fn is_degraded(gateway: &Gateway, wanted: bool) -> Outcome {
    until(&format!("degraded to be {wanted}"), async || {
        let ready = gateway.admin("/ready").await?;
        assert_eq!(ready.status, 200, "{}", ready.body);
        let detail: Value = serde_json::from_str(&ready.body)
            .map_err(|error| Error::Protocol(format!("/ready answered {}: {error}", ready.body)))?;
        let connected = gateway.metrics().await?.sum("wse_backplane_connected", &[]);
        Ok(detail["degraded"] == wanted && connected == Some(f64::from(u8::from(!wanted))))
    })
    .await
}
