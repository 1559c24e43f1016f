//! A fleet that `wse-operator up` runs and whose size follows the load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use wse_e2e::Error;
use wse_e2e::client::Dial;
use wse_e2e::fleet::{Shown, ShownPod, Up};
use wse_e2e::token::Claims;

use crate::crowd::{Crowd, LAST};
use crate::{Outcome, alone, until};

const TOPIC: &str = "crowd";
const API_KEY: &str = "an-api-key-of-this-test";
const SECRET: &str = "a-secret-of-this-test-alone-32-bytes-long";

/// A pod takes 600 and is meant for 420: with about 400 in each, chance alone does not bring one to 1.2
/// times the mean. Each asks for more of a processor than it can use, so that gateways without
/// optimisation are scaled by their clients alone.
const FLEET: &str = r#"
apiVersion: wse.dev/v1alpha1
kind: WseCluster
metadata: {name: crowd}
spec:
  capacity: {tier: Low}
  scaling:
    mode: Autoscale
    minReplicas: 1
    maxReplicas: 6
    autoscale: {scaleDown: {stabilizationWindowSeconds: 5}}
  limits: {connections: 600}
  drain: {windowSeconds: 1, deadlineSeconds: 10}
  backplane: {type: Redis, redis: {url: "redis://redis:6379"}}
  auth:
    keys: [{algorithm: HS256, secretKeyRef: {name: jwt, key: secret}}]
    issuers: [test]
    audiences: [test]
  api: {keys: [{secretKeyRef: {name: api, key: key}}]}
  podTemplate:
    spec:
      containers: [{name: gateway, resources: {requests: {cpu: 8}}}]
---
apiVersion: v1
kind: Secret
metadata: {name: jwt}
stringData: {secret: a-secret-of-this-test-alone-32-bytes-long}
---
apiVersion: v1
kind: Secret
metadata: {name: api}
stringData: {key: an-api-key-of-this-test}
"#;

const MANY: usize = 1_200;
const FEW: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_gateways_follows_the_clients() -> Outcome {
    let _machine = alone().await;
    let mut up = Up::start(FLEET, &["--autoscale"]).await?;
    assert_eq!(up.shown().await?.pods.len(), 1);
    let token = Claims::new("user", "test", "test").allow(&[TOPIC]);
    let dial = Dial::new(&up.url, &token.sign(SECRET.as_bytes()));
    let mut crowd = Crowd::new(dial, TOPIC);
    let published = AtomicU64::new(0);
    crowd.grow(MANY);
    tokio::select! {
        day = day(&up, &crowd) => day?,
        end = publish(&up, &published) => return Err(end),
    }
    let last = json!({ "t": LAST, "p": {} });
    up.api(API_KEY).publish(TOPIC, &last, None).await?;
    let moves: u32 = crowd.finish().await?.into_iter().sum();
    let status = up.end().await?;
    println!("{}", up.said());
    println!("{published:?} published, {moves} moves of {MANY} clients");
    assert!(status.success(), "{status}");
    assert!(published.into_inner() > 0 && moves > 0);
    Ok(())
}

/// All come, are spread over the gateways that come for them, and most go again.
async fn day(up: &Up, crowd: &Crowd) -> Outcome {
    until("every client to be connected", async || {
        Ok(crowd.here() == MANY)
    })
    .await?;
    // At 420 a pod.
    until("three gateways", async || {
        Ok(ready(&up.shown().await?).len() >= 3)
    })
    .await?;
    until("clients to be spread evenly", async || {
        let shown = up.shown().await?;
        let pods = ready(&shown);
        let sessions: Vec<u32> = pods.iter().filter_map(|it| it.sessions).collect();
        let all: u32 = sessions.iter().sum();
        let most = sessions.iter().max().copied().unwrap_or_default();
        let even = f64::from(most) * sessions.len() as f64 <= 1.2 * f64::from(all);
        Ok(even && all as usize == MANY && holds(&shown, "Balanced"))
    })
    .await?;
    println!("even: {:?}", up.shown().await?.pods);

    crowd.shrink(FEW);
    until("one gateway", async || {
        let shown = up.shown().await?;
        let draining = shown.pods.iter().filter(|it| it.state == "draining");
        assert!(draining.count() <= 1, "one after the other: {shown:?}");
        Ok(shown.pods.len() == 1 && shown.pods[0].state == "ready" && crowd.here() == FEW)
    })
    .await
}

/// Publishes numbers, each until a gateway has taken it, and counts them. Ends only when none does.
async fn publish(up: &Up, published: &AtomicU64) -> Error {
    let mut refusals = 0..20;
    loop {
        let number = published.load(Ordering::Relaxed);
        let message = json!({ "t": "numbered", "p": { "number": number } });
        let key = number.to_string();
        let api = up.api(API_KEY);
        match api.publish(TOPIC, &message, Some(&key)).await {
            Ok(_) => {
                published.fetch_add(1, Ordering::Relaxed);
                refusals = 0..20;
            }
            // The gateway that was named last has left.
            Err(_) if refusals.next().is_some() => {}
            Err(error) => return error,
        }
        sleep(Duration::from_millis(250)).await;
    }
}

fn ready(shown: &Shown) -> Vec<&ShownPod> {
    shown.pods.iter().filter(|it| it.state == "ready").collect()
}

fn holds(shown: &Shown, condition: &str) -> bool {
    let found = shown.conditions.iter().find(|it| it.r#type == condition);
    found.is_some_and(|it| it.holds)
}
