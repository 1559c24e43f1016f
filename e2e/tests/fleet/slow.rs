//! A subscriber that stops reading costs the gateway its outbound bound, and costs other subscribers
//! nothing, whatever the topic's policy.

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wse_e2e::Error;
use wse_e2e::client::{Client, Dial};
use wse_e2e::fleet::config::{Durability, History, SlowConsumer, TopicPolicy, WhenAway};
use wse_e2e::fleet::{Gateway, Setup};

use crate::raw::{self, FIN, Raw, TEXT};
use crate::{Outcome, alone, growth, has_grown};

const TOPIC: &str = "flow";
/// Subscribers that do not read.
const SLOW: usize = 4;
/// What may be queued for each of them.
const BOUND: usize = 1 << 20;
const MESSAGE_BYTES: usize = 16 << 10;
const BATCH: usize = 8;
/// 48 MiB: more than the kernel takes for a connection, all that the slow ones may cost, and the slack.
const BATCHES: usize = 384;
/// Batches on their way to the subscriber that reads: half of the bound, as a whole block of a topic may
/// be queued for who has read half.
const AHEAD: usize = 4;
/// What the gateway needs beside their queues: bodies of calls, the topic's history, the queue of the
/// one that reads.
const SLACK_BYTES: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_stops_reading_is_closed_and_costs_its_bound() -> Outcome {
    let drops = stall(SlowConsumer::Close).await?;
    assert_eq!(drops.closed, SLOW as f64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_stops_reading_misses_the_newest_and_costs_its_bound() -> Outcome {
    let drops = stall(SlowConsumer::DropNewest).await?;
    assert_eq!(drops.closed, 0.0);
    assert!(drops.messages > 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_stops_reading_keeps_the_latest_and_costs_its_bound() -> Outcome {
    let drops = stall(SlowConsumer::LatestWins).await?;
    assert_eq!(drops.closed, 0.0);
    assert!(drops.messages > 0.0);
    Ok(())
}

/// What the policy did.
struct Drops {
    /// Sessions closed with 4508.
    closed: f64,
    /// Messages that somebody did not get.
    messages: f64,
}

/// Publishes as fast as the one subscriber that reads takes it, beside some that do not read.
async fn stall(slow_consumer: SlowConsumer) -> Result<Drops, Error> {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.limits.outbound_bytes = BOUND as u32;
    config.topics = vec![TopicPolicy {
        pattern: TOPIC.into(),
        slow_consumer,
        history: History::default(),
        durability: Durability::default(),
        when_away: WhenAway::default(),
    }];
    let gateway = Gateway::start(&setup, config).await?;
    let (received, reading) = read_all(&setup, &gateway).await?;
    let mut stalled = Vec::new();
    for _ in 0..SLOW {
        stalled.push(subscribe(&setup, &gateway).await?);
    }
    let subscribers = || async { gateway.api().ask(&format!("/topics/{TOPIC}")).await };
    crate::until("all to be subscribed", async || {
        Ok(subscribers().await?["subscribers"] == SLOW + 1)
    })
    .await?;

    let before = gateway.metrics().await?;
    let idle_bytes = gateway.peak_memory_bytes()?;
    let most = publish_all(&gateway, received).await?;
    reading
        .await
        .map_err(|error| Error::Process(error.to_string()))??;
    let grown_bytes = gateway.peak_memory_bytes()? - idle_bytes;
    println!(
        "{slow_consumer:?}: {} KiB queued for one at most, memory grew by {} MiB",
        most >> 10,
        grown_bytes >> 20
    );
    assert!(most <= BOUND as u64, "{most} bytes are queued");
    let allowed = SLOW * BOUND + SLACK_BYTES;
    assert!(grown_bytes <= allowed as u64, "{grown_bytes}");

    let (ended, code) = ("wse_sessions_closed_total", [("code", "4508")]);
    if slow_consumer == SlowConsumer::Close {
        has_grown(&gateway, &before, ended, &code, SLOW as f64).await?;
    }
    drop(stalled);
    Ok(Drops {
        closed: growth(&gateway, &before, ended, &code).await?,
        messages: growth(&gateway, &before, "wse_slow_consumer_drops_total", &[]).await?,
    })
}

/// The most that was ever seen queued for one of those that do not read.
async fn publish_all(
    gateway: &Gateway,
    mut received: watch::Receiver<usize>,
) -> Result<u64, Error> {
    let filling = "x".repeat(MESSAGE_BYTES);
    let api = gateway.api();
    let mut most = 0;
    for batch in 0..BATCHES {
        let first = batch * BATCH;
        let publications: Vec<Value> = (first..first + BATCH)
            .map(|number| {
                let p = json!({"number": number, "filling": filling});
                json!({"topic": TOPIC, "message": {"t": "numbered", "p": p}})
            })
            .collect();
        let body = json!({ "publications": publications });
        let answer = api.post("/publish/batch", &body).await?;
        assert!(!answer.contains("error"), "{answer}");
        let connections = api.ask("/connections?user=slow").await?;
        let queued = connections["connections"].as_array().into_iter().flatten();
        let queued = queued.filter_map(|connection| connection["queuedBytes"].as_u64());
        most = queued.fold(most, u64::max);
        let all = gateway
            .metrics()
            .await?
            .sum("wse_outbound_queued_bytes", &[]);
        let allowed = SLOW * BOUND + BOUND;
        assert!(all.is_some_and(|all| all <= allowed as f64), "{all:?}");
        let enough = (first + BATCH).saturating_sub(AHEAD * BATCH);
        // An error says that who reads has ended, and its own says why.
        if received.wait_for(|count| *count >= enough).await.is_err() {
            break;
        }
    }
    assert!(most > BOUND as u64 / 2, "{most} bytes were queued at most");
    Ok(most)
}

/// A subscriber that takes every message, each once and in order, and shows how many it has.
async fn read_all(
    setup: &Setup,
    gateway: &Gateway,
) -> Result<(watch::Receiver<usize>, JoinHandle<Outcome>), Error> {
    let token = setup.token("quick", &[TOPIC]);
    let mut client = Client::connect(&Dial::new(&gateway.url(), &token)).await?;
    client.subscribe(&[TOPIC]).await?;
    let (count, received) = watch::channel(0);
    let reading = tokio::spawn(async move {
        for number in 0..BATCHES * BATCH {
            let event = client.next().await?;
            assert_eq!(event.p["number"], number, "another message came");
            count.send_replace(number + 1);
        }
        Ok(())
    });
    Ok((received, reading))
}

/// A subscriber that reads no more.
async fn subscribe(setup: &Setup, gateway: &Gateway) -> Result<Raw, Error> {
    let mut raw = Raw::open(gateway, &setup.token("slow", &[TOPIC])).await?;
    let payload = json!({"action": "subscribe", "topics": [TOPIC]});
    let message = json!({"c": "WSE", "t": "subscription_update", "p": payload}).to_string();
    raw.send(&raw::frame(FIN | TEXT, message.as_bytes()))
        .await?;
    Ok(raw)
}
