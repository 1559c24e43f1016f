//! Sees that an installed operator works: it is ready, and a fleet of one gateway that is made for
//! this becomes so too. In come where to ask and where to make it; out goes a sentence. What it made
//! is gone afterwards, whatever came of it.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use crate::api::WseCluster;
use crate::random;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How long removing the fleet may take when the rest took all the time there was.
const FAREWELL: Duration = Duration::from_secs(10);

/// What to verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespace to make the fleet in.
    pub namespace: String,
    /// Where the operator answers, such as `http://wse-operator.wse-system:8080`.
    pub service: String,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// Verifies, and says what was seen.
///
/// # Errors
/// Says what does not work, and what was seen last.
pub async fn verify(options: &Options) -> Result<String, String> {
    let end = Instant::now() + options.timeout;
    ready(&options.service, end).await?;
    let client = Client::try_default()
        .await
        .map_err(|error| error.to_string())?;
    let fleets: Api<WseCluster> = Api::namespaced(client.clone(), &options.namespace);
    let fleet = fleet()?;
    let name = fleet.name_any();
    let place = format!("{}/{name}", options.namespace);
    let params = PostParams::default();
    let made = by(end, fleets.create(&params, &fleet)).await;
    let made = made.map_err(|error| format!("cannot make WseCluster {place}: {error}"))?;
    let seen = follow(&client, &fleets, &made, end).await;
    let params = DeleteParams::background();
    let end = end.max(Instant::now() + FAREWELL);
    let removed = by(end, fleets.delete(&name, &params)).await;
    seen?;
    removed.map_err(|error| format!("cannot remove WseCluster {place}: {error}"))?;
    Ok(format!(
        "the operator is ready, and WseCluster {place} became Ready and was removed"
    ))
}

/// What a call gives, if it answers in time.
async fn by<T>(end: Instant, call: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match timeout_at(end, call).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the API server does not answer".into()),
    }
}

async fn ready(service: &str, end: Instant) -> Result<(), String> {
    let url = format!("{}/ready", service.trim_end_matches('/'));
    let uri: hyper::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let http: Http<HttpConnector, Empty<Bytes>> = Http::builder(TokioExecutor::new()).build_http();
    let mut seen = "no answer".to_owned();
    loop {
        match timeout_at(end, http.get(uri.clone())).await {
            Ok(Ok(answer)) if answer.status().is_success() => return Ok(()),
            Ok(Ok(answer)) => {
                let status = answer.status();
                // It says what is missing.
                let body = answer.into_body().collect().await.map(|it| it.to_bytes());
                let text = String::from_utf8_lossy(&body.unwrap_or_default())
                    .trim()
                    .to_owned();
                seen = format!("{status}: {text}");
            }
            Ok(Err(error)) => seen = error.to_string(),
            Err(_) => return Err(format!("the operator is not ready: {url}: {seen}")),
        }
        sleep(LOOK).await;
    }
}

async fn follow(
    client: &Client,
    fleets: &Api<WseCluster>,
    made: &WseCluster,
    end: Instant,
) -> Result<(), String> {
    let name = made.name_any();
    let namespace = made.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let key = random::text().map_err(|error| error.to_string())?;
    let mut secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": name},
        "stringData": {"key": key},
    }))
    .map_err(|error| error.to_string())?;
    // It goes when the fleet goes.
    secret.metadata.owner_references = made.controller_owner_ref(&()).map(|owner| vec![owner]);
    let params = PostParams::default();
    let created = by(end, secrets.create(&params, &secret)).await;
    created.map_err(|error| format!("cannot make Secret {namespace}/{name}: {error}"))?;

    let mut seen = "it has no status".to_owned();
    loop {
        match timeout_at(end, fleets.get(&name)).await {
            Ok(Ok(fleet)) => {
                let conditions = fleet
                    .status
                    .map(|status| status.conditions)
                    .unwrap_or_default();
                match conditions.iter().find(|it| it.type_ == "Ready") {
                    Some(ready) if ready.status == "True" => return Ok(()),
                    Some(ready) => seen = format!("{}: {}", ready.reason, ready.message),
                    None => {}
                }
            }
            Ok(Err(error)) => seen = error.to_string(),
            Err(_) => {
                return Err(format!(
                    "WseCluster {namespace}/{name} did not become Ready: {seen}"
                ));
            }
        }
        sleep(LOOK).await;
    }
}

/// The smallest there is; nobody but holders of its random key can publish, and it lives for moments.
fn fleet() -> Result<WseCluster, String> {
    let suffix = random::text().map_err(|error| error.to_string())?;
    let name = format!("wse-verify-{}", &suffix[..8]);
    let fleet = json!({
        "apiVersion": WseCluster::api_version(&()),
        "kind": WseCluster::kind(&()),
        "metadata": {"name": name},
        "spec": {
            "capacity": {"tier": "Minimal"},
            "scaling": {"replicas": 1},
            "drain": {"propagationSeconds": 0, "windowSeconds": 0, "deadlineSeconds": 0},
            "auth": {"mode": "None", "allowAnonymous": true},
            "api": {"keys": [{"secretKeyRef": {"name": name, "key": "key"}}]},
        },
    });
    serde_json::from_value(fleet).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::check;

    #[test]
    fn its_fleet_keeps_the_rules() {
        assert_eq!(check(&fleet().unwrap()), []);
    }

    #[tokio::test]
    async fn an_operator_that_does_not_answer_is_named() {
        let options = Options {
            namespace: "default".into(),
            // Nobody listens on the discard port.
            service: "http://127.0.0.1:9/".into(),
            timeout: Duration::from_millis(1),
        };
        let error = verify(&options).await.unwrap_err();
        assert!(
            error.starts_with("the operator is not ready: http://127.0.0.1:9/ready: "),
            "{error}"
        );
    }
}
