//! The main job: the published Python client, unmodified, receives through one gateway what a backend
//! publishes through another.

use serde_json::{Value, json};
use tokio::task::JoinSet;
use wse_e2e::Error;
use wse_e2e::api::Api;
use wse_e2e::fleet::{Gateway, Setup};
use wse_e2e::redis::{Keeps, Redis};
use wse_sidecar::config::{Compression, CompressionMode, Config, ContextTakeover};

use crate::script::Script;
use crate::{Outcome, alone};

const MESSAGES: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_arrive_in_order_and_once_through_the_other_gateway() -> Outcome {
    receive("orders.new", &["orders.new"], Compression::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_arrive_in_order_and_once_compressed() -> Outcome {
    for context_takeover in [ContextTakeover::Never, ContextTakeover::Allowed] {
        let compression = Compression {
            mode: CompressionMode::Deflate,
            context_takeover,
            min_bytes: 0,
            ..Compression::default()
        };
        receive("orders.new", &["orders.new"], compression).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_arrive_in_order_and_once_for_a_wildcard() -> Outcome {
    let topics: Vec<String> = (0..10).map(|number| format!("orders.{number}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    receive("orders.*", &topics, Compression::default()).await
}

/// Subscribes the Python client to `subscription` through gateway A and publishes 10,000 messages on
/// `topics`, all of which it covers, through gateway B: each topic's one after the other, the topics
/// side by side. Order is promised per topic.
async fn receive(subscription: &str, topics: &[&str], compression: Compression) -> Outcome {
    let _machine = alone().await;
    let redis = Redis::start(Keeps::Nothing).await?;
    let setup = Setup::over_redis(&redis.url())?;
    // The client's library offers compression by itself.
    let compressed = if compression.mode == CompressionMode::Deflate {
        1.0
    } else {
        0.0
    };
    let config = Config {
        compression,
        ..setup.config("a")
    };
    let a = Gateway::start(&setup, config).await?;
    let b = Gateway::start(&setup, setup.config("b")).await?;

    let token = setup.token("python", &["orders.*"]);
    let (url, expected) = (a.url(), MESSAGES.to_string());
    let mut script = Script::start("receive.py", &token, &[&url, subscription, &expected])?;
    probe(&mut script, &b.api(), topics[0]).await?;

    let each = MESSAGES / topics.len();
    let mut publishers = JoinSet::new();
    for &topic in topics {
        publishers.spawn(publish(b.api(), topic.to_owned(), each));
    }
    while let Some(published) = publishers.join_next().await {
        published.expect("a publisher does not panic")?;
    }

    let report = script.says().await?;
    let wanted: Vec<u64> = (0..each as u64).collect();
    for &topic in topics {
        let received: Vec<u64> = serde_json::from_value(report["numbers"][topic].clone())
            .map_err(|error| Error::Protocol(format!("{topic}: {error}")))?;
        println!("{topic}: {}", evidence(&received, each));
        assert_eq!(received, wanted, "{topic}: {}", evidence(&received, each));
    }
    assert_eq!(report["reconnects"], 0);
    let agreed = a.metrics().await?.sum("wse_compressed_sessions_total", &[]);
    assert_eq!(agreed, Some(compressed));
    Ok(())
}

/// Publishes probes until the script has seen one: from then on its subscription is in force, through
/// both gateways. What it receives of the topic later is ordered behind them.
async fn probe(script: &mut Script, api: &Api, topic: &str) -> Outcome {
    let probes = async {
        let probe = json!({ "t": "probe", "p": {} });
        loop {
            if let Err(error) = api.publish(topic, &probe, None).await {
                return error;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        said = script.says() => {
            assert_eq!(said?, json!({ "probe": true }));
            Ok(())
        }
        error = probes => Err(error),
    }
}

async fn publish(api: Api, topic: String, count: usize) -> Outcome {
    for number in 0..count {
        let payload: Value = json!({ "topic": topic, "number": number });
        let message = json!({ "t": "numbered", "p": payload });
        api.publish(&topic, &message, None).await?;
    }
    Ok(())
}

/// What went wrong, if anything, in one line.
fn evidence(received: &[u64], published: usize) -> String {
    let mut sorted = received.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let twice = received.len() - sorted.len();
    let lost = published - sorted.len();
    let swapped = received.windows(2).filter(|two| two[0] > two[1]).count();
    let all = received.len();
    format!(
        "{published} published, {all} received: {lost} lost, {twice} twice, {swapped} out of order"
    )
}
