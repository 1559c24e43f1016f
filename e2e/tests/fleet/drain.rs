//! How a gateway empties itself, and what does not make it.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use wse_e2e::Error;
use wse_e2e::client::{Client, Dial};
use wse_e2e::fleet::config::{Algorithm, Drain, Key, TopicPolicy};
use wse_e2e::fleet::{Gateway, Setup};
use wse_e2e::redis::{Keeps, Redis};

use crate::bystander::Bystander;
use crate::{Outcome, alone, growth, has_grown, until};

/// 1,000 clients of gateway A, which ends; each comes back to gateway B as the published clients do.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_spreads_the_clients_over_the_window() -> Outcome {
    const CLIENTS: usize = 1_000;
    const DRAIN: Drain = Drain {
        wait_seconds: 2,
        window_seconds: 10,
        deadline_seconds: 30,
    };
    let _machine = alone().await;
    let redis = Redis::start(Keeps::Nothing).await?;
    let setup = Setup::over_redis(&redis.url())?;
    let mut config = setup.config("a");
    config.drain = DRAIN;
    let mut a = Gateway::start(&setup, config).await?;
    let b = Gateway::start(&setup, setup.config("b")).await?;
    let token = setup.token("user", &["chat.*"]);

    let mut clients = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let mut client = Client::connect(&Dial::new(&a.url(), &token)).await?;
        client.subscribe(&["chat.general"]).await?;
        clients.push(client);
    }
    let before = b.metrics().await?;
    let began = Instant::now();
    a.terminate();
    let mut leaving = JoinSet::new();
    for mut client in clients {
        let there = Dial::new(&b.url(), &token);
        leaving.spawn(async move {
            let end = client.last_words().await;
            let after = began.elapsed();
            drop(client);
            (end, after, Client::connect(&there).await)
        });
    }
    // Still accepting while load balancers follow; a client that comes now has to leave like the rest.
    until("the drain to be announced", async || {
        Ok(a.admin("/ready").await?.status == 503)
    })
    .await?;
    let late = Client::connect(&Dial::new(&a.url(), &token)).await;
    if began.elapsed() < Duration::from_secs(DRAIN.wait_seconds.into()) {
        late?;
    }

    let mut moments = Vec::with_capacity(CLIENTS);
    let mut moved = Vec::with_capacity(CLIENTS);
    for (end, after, there) in leaving.join_all().await {
        match end {
            Error::Closed { code: 4300, .. } => moments.push(after),
            other => return Err(other),
        }
        moved.push(there?);
    }
    let status = a.ended().await?;
    assert_eq!(status.code(), Some(0), "{status}");

    moments.sort_unstable();
    let (first, last) = (moments[0], moments[CLIENTS - 1]);
    let mut buckets = [0; 10];
    for &moment in &moments {
        let share = (moment - first).as_secs_f64() / (last - first).as_secs_f64();
        buckets[((share * 10.0) as usize).min(9)] += 1;
    }
    println!("the first left after {first:.2?}, the last after {last:.2?}, in tenths: {buckets:?}");
    assert!(
        first >= Duration::from_secs(DRAIN.wait_seconds.into()),
        "{first:?} is early"
    );
    assert!(
        last - first >= Duration::from_secs(u64::from(DRAIN.window_seconds) / 2),
        "{buckets:?}"
    );
    assert!(
        buckets.iter().filter(|&&left| left > 0).count() >= 5,
        "{buckets:?}"
    );

    // Once each: they are all on B now, and B has closed none.
    let sessions = b.load().await?["connections"].as_u64();
    assert_eq!(sessions, Some(CLIENTS as u64));
    assert_eq!(
        growth(&b, &before, "wse_sessions_closed_total", &[]).await?,
        0.0
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_taken_back_takes_clients_again() -> Outcome {
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.drain.window_seconds = 2;
    let gateway = Gateway::start(&setup, config).await?;
    let dial = Dial::new(&gateway.url(), &setup.token("user", &["chat.*"]));
    let mut client = Client::connect(&dial).await?;

    let begun = gateway.drain().await?;
    assert_eq!(begun.status, 200, "{}", begun.body);
    match client.last_words().await {
        Error::Closed { code: 4300, .. } => {}
        other => return Err(other),
    }
    match Client::connect(&dial).await {
        Err(Error::Upgrade {
            status: 503,
            retry_after: Some(_),
        }) => {}
        other => {
            panic!("a draining gateway took a client, or did not say when to return: {other:?}")
        }
    }
    assert_eq!(gateway.admin("/ready").await?.status, 503);
    assert_eq!(gateway.admin("/live").await?.status, 200);

    let ended = gateway.undrain().await?;
    assert_eq!(ended.status, 200, "{}", ended.body);
    until("the gateway to be ready again", async || {
        Ok(gateway.admin("/ready").await?.status == 200)
    })
    .await?;
    let bystander = Bystander::arrive(&setup, &gateway).await?;
    assert!(bystander.leave().await? > 0);
    Ok(())
}

/// A flash crowd cancels a scale-in: who has not been asked to leave yet is not asked any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_taken_back_keeps_who_has_not_left() -> Outcome {
    const CLIENTS: usize = 100;
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.drain.window_seconds = 60;
    config.drain.deadline_seconds = 90;
    let gateway = Gateway::start(&setup, config).await?;
    let dial = Dial::new(&gateway.url(), &setup.token("user", &["chat.*"]));
    let mut waiting = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(&dial).await?;
        client.subscribe(&["chat.general"]).await?;
        waiting.spawn(async move { client.next().await });
    }
    let before = gateway.metrics().await?;
    gateway.drain().await?;
    let closed = [("code", "4300")];
    has_grown(&gateway, &before, "wse_sessions_closed_total", &closed, 1.0).await?;
    gateway.undrain().await?;
    let message = json!({ "t": "stay", "p": {} });
    gateway
        .api()
        .publish("chat.general", &message, None)
        .await?;

    let (mut left, mut stayed) = (0, 0);
    for end in waiting.join_all().await {
        match end {
            Ok(event) if event.t == "stay" => stayed += 1,
            Err(Error::Closed { code: 4300, .. }) => left += 1,
            other => panic!("{other:?}"),
        }
    }
    println!("{left} left, {stayed} stayed");
    assert!(left > 0 && stayed > 0, "{left} left, {stayed} stayed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_needs_the_clusters_token() -> Outcome {
    let setup = Setup::new()?;
    let other = Setup::new()?;
    let mut config = setup.config("a");
    config.admin.token_file = Some(other.file("other.token", "another token entirely")?);
    let gateway = Gateway::start(&setup, config).await?;
    assert_eq!(gateway.drain().await?.status, 401);
    assert_eq!(gateway.admin("/ready").await?.status, 200);
    Ok(())
}

/// Limits, topic policies and keys change in the file; nobody notices but who uses the new key.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_configuration_reconnects_nobody() -> Outcome {
    const CLIENTS: usize = 100;
    let setup = Setup::new()?;
    let mut gateway = Gateway::start(&setup, setup.config("a")).await?;
    let dial = Dial::new(&gateway.url(), &setup.token("user", &["chat.*"]));
    let mut clients = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let mut client = Client::connect(&dial).await?;
        client.subscribe(&["chat.general"]).await?;
        clients.push(client);
    }
    let new_secret = [b'n'; 48];
    let new_token = setup.claims("newcomer", &["chat.*"]).sign(&new_secret);
    let new_dial = Dial::new(&gateway.url(), &new_token);
    match Client::connect(&new_dial).await {
        Err(Error::Refused { .. }) => {}
        other => panic!("a key that is not configured was accepted: {other:?}"),
    }
    let before = gateway.metrics().await?;

    let mut config = gateway.config().clone();
    config.limits.subscriptions = 2;
    config.limits.outbound_bytes *= 2;
    let policy = r#"{"pattern":"chat.*","slowConsumer":"DropNewest"}"#;
    let policy: TopicPolicy = serde_json::from_str(policy).expect("a policy");
    config.topics = vec![policy];
    config.auth.keys.push(Key {
        algorithm: Algorithm::HS256,
        file: setup.file("new.secret", &String::from_utf8_lossy(&new_secret))?,
        kid: None,
    });
    gateway.configure(config)?;
    let applied = [("outcome", "applied")];
    has_grown(&gateway, &before, "wse_config_reloads_total", &applied, 1.0).await?;

    let mut newcomer = Client::connect(&new_dial).await?;
    let ack = newcomer.subscribe(&["chat.a", "chat.b", "chat.c"]).await?;
    assert_eq!(
        ack.failed_topics.len(),
        1,
        "the new limit of subscriptions: {ack:?}"
    );
    let message = json!({ "t": "news", "p": {} });
    gateway
        .api()
        .publish("chat.general", &message, None)
        .await?;
    for client in &mut clients {
        assert_eq!(client.next().await?.t, "news");
    }
    assert_eq!(
        growth(&gateway, &before, "wse_sessions_closed_total", &[]).await?,
        0.0
    );
    Ok(())
}
