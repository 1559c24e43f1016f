//! A WseCluster: its status, its pods, and what each pod says when it is asked through the API server,
//! which reaches pods from wherever the user is. It needs `get` of wseclusters and of pods/proxy, and
//! `list` of pods.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::Request;
use k8s_openapi::api::core::v1::Pod as Object;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Pod, Seen, State};

/// On each pod of a cluster: the cluster's name.
const CLUSTER: &str = "wse.dev/cluster";
/// On a pod that was asked to drain.
const DRAINING: &str = "wse.dev/draining";
/// The gateway's container, and where it says what it carries, without a token.
const GATEWAY: &str = "gateway";
const ADMIN_PORT: u16 = 9090;
/// A pod that has not answered by then leaves a gap.
const PATIENCE: Duration = Duration::from_secs(2);

pub(in crate::fleet) struct Cluster {
    client: Client,
    namespace: String,
    name: String,
}

/// What is read of a WseCluster.
#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    tier: Option<String>,
    desired_replicas: Option<u32>,
}

/// What is read of a gateway's `/load`.
#[derive(Deserialize)]
struct Load {
    connections: u64,
}

impl Cluster {
    /// `[NAMESPACE/]NAME`, by the kubeconfig that kubectl would take, or a pod's service account.
    ///
    /// # Errors
    /// When there is no such configuration.
    pub(super) async fn find(
        name: &str,
        kubeconfig: Option<&Path>,
        context: Option<&str>,
    ) -> Result<Self, String> {
        let options = KubeConfigOptions {
            context: context.map(str::to_owned),
            ..KubeConfigOptions::default()
        };
        let config = match (kubeconfig, context) {
            (Some(path), _) => {
                let read = Kubeconfig::read_from(path);
                let read =
                    read.map_err(|error| format!("{}: {}", path.display(), words(&error)))?;
                Config::from_custom_kubeconfig(read, &options)
                    .await
                    .map_err(|error| words(&error))
            }
            (None, Some(_)) => Config::from_kubeconfig(&options)
                .await
                .map_err(|error| words(&error)),
            (None, None) => Config::infer().await.map_err(|error| words(&error)),
        };
        let config = config.map_err(|error| format!("no way to Kubernetes: {error}"))?;
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (namespace.to_owned(), name),
            None => (config.default_namespace.clone(), name),
        };
        let client = Client::try_from(config);
        Ok(Self {
            client: client.map_err(|error| format!("no way to Kubernetes: {}", words(&error)))?,
            namespace,
            name: name.to_owned(),
        })
    }

    pub(super) fn name(&self) -> String {
        format!("WseCluster {}/{}", self.namespace, self.name)
    }

    pub(super) async fn look(&self) -> Result<Seen, String> {
        let failed = |error: kube::Error| format!("cannot read {}: {}", self.name(), words(&error));
        let (namespace, name) = (&self.namespace, &self.name);
        let path = format!("/apis/wse.dev/v1alpha1/namespaces/{namespace}/wseclusters/{name}");
        let whole: Whole = self.read(&path).await.map_err(failed)?;
        let pods = Api::<Object>::namespaced(self.client.clone(), namespace);
        let of_it = ListParams::default().labels(&format!("{CLUSTER}={name}"));
        let pods = pods.list(&of_it).await.map_err(failed)?;
        let mut pods = join_all(pods.iter().map(|pod| self.ask(pod))).await;
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Seen {
            tier: whole.status.tier,
            desired: whole.status.desired_replicas,
            pods,
        })
    }

    /// # Errors
    /// When no pod that runs says what it carries: that is not going to change.
    pub(super) fn may_ask(&self, seen: &Seen) -> Result<(), String> {
        let mut running = seen
            .pods
            .iter()
            .filter(|pod| pod.sessions != Err(None))
            .peekable();
        let Some(Pod {
            name,
            sessions: Err(Some(why)),
            ..
        }) = running.peek()
        else {
            return Ok(());
        };
        match running.all(|pod| pod.sessions.is_err()) {
            true => Err(format!(
                "cannot ask pod {name} of {} for its sessions: {why}",
                self.name()
            )),
            false => Ok(()),
        }
    }

    async fn ask(&self, pod: &Object) -> Pod {
        let (name, state) = (pod.name_any(), state(pod));
        let path = format!(
            "/api/v1/namespaces/{}/pods/{name}:{ADMIN_PORT}/proxy/load",
            self.namespace
        );
        let sessions = match state {
            State::Down => Err(None),
            _ => match timeout(PATIENCE, self.read::<Load>(&path)).await {
                Ok(Ok(load)) => Ok(load.connections),
                // One that comes or goes need not answer.
                _ if matches!(state, State::Leaving | State::Starting) => Err(None),
                Ok(Err(error)) => Err(Some(words(&error))),
                Err(_) => Err(Some(format!("no answer for {} s", PATIENCE.as_secs()))),
            },
        };
        Pod {
            name,
            state,
            sessions,
        }
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, kube::Error> {
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

fn state(pod: &Object) -> State {
    if pod.metadata.deletion_timestamp.is_some() {
        return State::Leaving;
    }
    let status = pod.status.as_ref();
    let containers = status.and_then(|it| it.container_statuses.as_ref());
    let mut gateways = containers
        .into_iter()
        .flatten()
        .filter(|it| it.name == GATEWAY);
    let runs = gateways.any(|it| it.state.as_ref().is_some_and(|it| it.running.is_some()));
    let conditions = status.and_then(|it| it.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    match runs {
        false => State::Down,
        true if pod.annotations().contains_key(DRAINING) => State::Draining,
        true if conditions.any(|it| it.type_ == "Ready" && it.status == "True") => State::Ready,
        true => State::Starting,
    }
}

/// An error with what lies behind it.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(kube::Error::Api(status)) = error.downcast_ref() {
        return format!("{} ({})", status.message, status.code);
    }
    let mut words = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        behind = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(metadata: Value, gateway: Value, ready: &str) -> Object {
        let status = json!({
            "conditions": [{ "type": "Ready", "status": ready }],
            "containerStatuses": [{
                "name": "gateway", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": gateway,
            }],
        });
        serde_json::from_value(json!({ "metadata": metadata, "status": status })).unwrap()
    }

    #[test]
    fn a_pod_is_as_far_as_its_gateway_and_what_it_was_told() {
        let runs = || json!({ "running": {} });
        let drains = json!({ "annotations": { DRAINING: "now" } });
        let ends = json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" });
        let cases = [
            (
                pod(json!({}), json!({ "waiting": {} }), "False"),
                State::Down,
            ),
            (pod(json!({}), runs(), "False"), State::Starting),
            (pod(json!({}), runs(), "True"), State::Ready),
            (pod(drains, runs(), "True"), State::Draining),
            (pod(ends, runs(), "True"), State::Leaving),
            (Object::default(), State::Down),
        ];
        for (pod, expected) in cases {
            assert_eq!(state(&pod), expected, "{pod:?}");
        }
    }
}
