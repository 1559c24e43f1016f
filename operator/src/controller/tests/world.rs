//! A controller, the API server that it talks to, and pods that answer.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::runtime::events::Reporter;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::gateways;
use super::server::{Call, Server};
use crate::api::WseClusterSpec;
use crate::ask::Ask;
use crate::controller::Error;
use crate::controller::caches::{Caches, Writers};
use crate::controller::kind::Kind;
use crate::controller::memory::Memory;
use crate::controller::metrics::Metrics;
use crate::controller::nodes::Nodes;
use crate::controller::observe::Places;
use crate::controller::pass::{Context, Pass};
use crate::controller::prober::Prober;
use crate::controller::root::Root;
use crate::controller::shown::Watched;
use crate::plan;

pub(super) const CLUSTER: &str = "wseclusters/chat";

pub(super) struct World {
    pub(super) server: Server,
    pub(super) memory: Memory,
    context: Context,
    caches: Caches,
    prober: Prober,
    writers: Writers,
}

impl World {
    /// A cluster of two, and nothing made for it yet.
    pub(super) async fn new() -> Self {
        let server = Server::default();
        let admin_port = gateways::listen(&server).await;
        let reporter = Reporter {
            controller: "wse-operator".into(),
            instance: None,
        };
        let (caches, writers) = Caches::new();
        let context = Context {
            reporter,
            client: server.client(),
            ask: Ask::new(),
            metrics: Metrics::new(),
            nodes: Nodes::new().0,
            default_image: "gateway:1".into(),
            admin_port,
        };
        let mut memory = Memory::default();
        memory.plan = plan::Memory::watched();
        let world = Self {
            server,
            memory,
            context,
            caches,
            prober: Prober::default(),
            writers,
        };
        world
            .server
            .with(|state| state.objects.insert(CLUSTER.into(), cluster()));
        world
    }

    /// The same, with everything made and two pods that are ready.
    pub(super) async fn settled() -> Self {
        let mut world = Self::new().await;
        world.pass().await.unwrap();
        for name in ["chat-a", "chat-b"] {
            world.add_pod(name);
        }
        world.pass().await.unwrap();
        world.pass().await.unwrap();
        world.server.calls();
        world
    }

    /// Another process takes over, which remembers nothing and has another default.
    pub(super) fn succeed(&mut self, default_image: &str) {
        self.memory = Memory::default();
        self.prober = Prober::default();
        self.context.default_image = default_image.into();
    }

    /// The paths of all ReplicaSets.
    pub(super) fn replica_sets(&self) -> Vec<String> {
        self.paths("replicasets/")
    }

    /// The paths of all pods.
    pub(super) fn pods(&self) -> Vec<String> {
        self.paths("pods/")
    }

    fn paths(&self, prefix: &str) -> Vec<String> {
        let is_one = |path: &&String| path.starts_with(prefix);
        self.server
            .with(|state| state.objects.keys().filter(is_one).cloned().collect())
    }

    /// One pass, by caches that show what is there and pods that have just answered.
    pub(super) async fn pass(&mut self) -> Result<Duration, Error> {
        self.pass_over(self.object(CLUSTER)).await
    }

    /// One pass over the cluster as it is shown here.
    pub(super) async fn pass_over(&mut self, cluster: Value) -> Result<Duration, Error> {
        self.follow();
        let places = Places {
            caches: self.caches.clone(),
            admin_port: self.context.admin_port,
        };
        self.prober.ask_all(&places, &self.context.ask).await;
        let root: Root = serde_json::from_value(cluster).unwrap();
        let pass = Pass::new(&self.context, &self.caches, &self.prober, &root);
        pass.run(&mut self.memory).await
    }

    /// Whether what a pod said last still counts.
    pub(super) fn has_answer(&self, pod: &str) -> bool {
        let cluster = ObjectRef::new("chat").within("a");
        let told = self.prober.told(&cluster, &format!("uid of {pod}"));
        told.is_some()
    }

    /// One pass, and what it wrote apart from events.
    pub(super) async fn writes(&mut self) -> Vec<Call> {
        self.server.calls();
        self.pass().await.unwrap();
        let calls = self.server.calls();
        calls
            .into_iter()
            .filter(|call| call.method != Method::GET && call.path != "events")
            .collect()
    }

    /// Two nodes, of which one says that it allows unsafe settings.
    pub(super) fn know_nodes(&mut self) {
        let node = |name: &str, labels: Value| {
            json!({
                "metadata": {"name": name, "labels": labels},
                "status": {"nodeInfo": {
                    "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "6.1.0",
                    "kubeProxyVersion": "", "kubeletVersion": "v1.34.4", "machineID": "",
                    "operatingSystem": "linux", "osImage": "", "systemUUID": "",
                }},
            })
        };
        let all = vec![
            node("plain", json!({})),
            node("allows", json!({"wse.dev/unsafe-sysctls": "allowed"})),
        ];
        let (nodes, mut writer) = Nodes::new();
        fill(all, |event| {
            writer.take(Ok(event));
        });
        self.context.nodes = nodes;
    }

    /// A kubelet or a scheduler says how a pod is.
    pub(super) fn report(&self, pod: &str, status: Value) {
        self.server.edit(&format!("pods/{pod}"), |it| {
            it["status"] = status;
            it["spec"]["nodeName"] = "allows".into();
        });
    }

    /// What a hand does to the cluster's specification or annotations.
    pub(super) fn edit_cluster(&self, edit: impl FnOnce(&mut Value)) {
        self.server.edit(CLUSTER, |cluster| {
            edit(cluster);
            let generation = cluster["metadata"]["generation"].as_u64().unwrap();
            cluster["metadata"]["generation"] = (generation + 1).into();
        });
    }

    pub(super) fn object(&self, path: &str) -> Value {
        self.server.with(|state| state.objects[path].clone())
    }

    /// The message and reason of a condition.
    pub(super) fn condition(&self, kind: &str) -> Value {
        let cluster = self.object(CLUSTER);
        let conditions = cluster["status"]["conditions"].as_array().unwrap();
        conditions
            .iter()
            .find(|it| it["type"] == kind)
            .cloned()
            .unwrap_or_default()
    }

    /// The path of the wanted ReplicaSet.
    pub(super) fn replica_set(&self) -> String {
        let revision = self.object(CLUSTER)["status"]["revision"].clone();
        format!("replicasets/chat-{}", &revision.as_str().unwrap()[..8])
    }

    /// A pod of the wanted ReplicaSet that takes clients.
    pub(super) fn add_pod(&self, name: &str) {
        self.add_pod_of(&self.object(&self.replica_set()), name);
    }

    /// The same of any ReplicaSet.
    pub(super) fn add_pod_of(&self, set: &Value, name: &str) {
        let labels = set["spec"]["template"]["metadata"]["labels"].clone();
        let annotations = set["spec"]["template"]["metadata"]["annotations"].clone();
        let pod = json!({
            "metadata": {
                "name": name, "namespace": "a", "uid": format!("uid of {name}"), "resourceVersion": "1",
                "labels": labels, "annotations": annotations,
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set["metadata"]["name"],
                    "uid": set["metadata"]["uid"], "controller": true,
                }],
            },
            "status": {
                "phase": "Running", "podIP": "127.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "gateway", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {}},
                }],
            },
        });
        self.server
            .with(|state| state.objects.insert(format!("pods/{name}"), pod));
    }

    /// Has the caches show what is there.
    fn follow(&mut self) {
        let objects = self.server.with(|state| state.objects.clone());
        let of = |plural: &str| {
            let prefix = format!("{plural}/");
            let found = objects.iter().filter(|(path, _)| path.starts_with(&prefix));
            let ours = found.filter(|(_, it)| {
                let labels = &it["metadata"]["labels"];
                let ours = ["wse.dev/cluster", "wse.dev/preflight"];
                plural == "wseclusters" || ours.iter().any(|key| labels.get(*key).is_some())
            });
            ours.map(|(_, object)| object.clone()).collect::<Vec<_>>()
        };
        fill(of("wseclusters"), |event| {
            self.writers.clusters.apply_watcher_event(&event);
        });
        fill::<Pod>(of("pods"), |event| {
            self.writers.pods.take(event);
        });
        for (kind, writer) in &mut self.writers.owned {
            fill::<Watched>(of(&Kind::resource(*kind).plural), |event| {
                writer.take(event);
            });
        }
    }
}

fn fill<K: Resource + Clone + DeserializeOwned>(
    objects: Vec<Value>,
    mut apply: impl FnMut(Event<K>),
) {
    apply(Event::Init);
    for object in objects {
        apply(Event::InitApply(serde_json::from_value(object).unwrap()));
    }
    apply(Event::InitDone);
}

fn cluster() -> Value {
    let spec: WseClusterSpec = serde_json::from_value(json!({
        "capacity": {"tier": "Light"},
        "scaling": {"replicas": 2},
        "backplane": {"type": "Redis", "redis": {"url": "redis://redis:6379"}},
        "auth": {"keys": [{"algorithm": "HS256", "secretKeyRef": {"name": "jwt", "key": "secret"}}]},
        "api": {"keys": [{"secretKeyRef": {"name": "api", "key": "key"}}]},
    }))
    .unwrap();
    json!({
        "apiVersion": "wse.dev/v1alpha1", "kind": "WseCluster",
        "metadata": {"name": "chat", "namespace": "a", "uid": "1", "generation": 1, "resourceVersion": "1"},
        "spec": spec,
    })
}
