//! The nodes of the Kubernetes cluster, as far as decisions need them. They are nobody's namespace, so
//! an operator that serves only some namespaces may not be allowed to list them: then nothing is known
//! of them, the operator goes on without, and asks again now and then.

use std::collections::BTreeMap;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use super::health::told;
use crate::sysctl::{Effect, Node, Taint};

/// The pause after a list or a watch that failed. What is decided by nodes changes slowly, and whoever
/// may not list them today may not for long.
const PAUSE: Duration = Duration::from_secs(30);
/// Nodes in one answer: each is some 20 KB of JSON, most of it images, before it is cut down.
const PAGE: u32 = 100;

/// What is known of nodes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Nodes(watch::Receiver<Known>);

/// What fills it.
pub(super) struct Writer {
    known: watch::Sender<Known>,
    nodes: BTreeMap<String, Node>,
    /// Those of a list that has not ended.
    listed: BTreeMap<String, Node>,
}

enum Known {
    /// The API server has not answered.
    NotYet,
    /// They may not be listed.
    Refused,
    These(Arc<[Node]>),
}

impl Nodes {
    /// Nothing known, and what fills it.
    pub(super) fn new() -> (Self, Writer) {
        let (known, reader) = watch::channel(Known::NotYet);
        let writer = Writer {
            known,
            nodes: BTreeMap::new(),
            listed: BTreeMap::new(),
        };
        (Self(reader), writer)
    }

    /// All nodes, by name. None: they are not known.
    pub(super) fn all(&self) -> Option<Arc<[Node]>> {
        match &*self.0.borrow() {
            Known::NotYet | Known::Refused => None,
            Known::These(nodes) => Some(nodes.clone()),
        }
    }

    /// Waits until the API server has answered, whatever it was.
    pub(super) async fn answered(&self) {
        let mut known = self.0.clone();
        let answered = known.wait_for(|known| !matches!(known, Known::NotYet));
        // It ends only with the process.
        let _ = answered.await;
    }
}

/// Watches for as long as the process runs, and calls `changed` when something that decides has.
pub(super) async fn follow(client: Client, mut writer: Writer, changed: impl Fn()) {
    let config = watcher::Config::default().page_size(PAGE);
    let events = watcher(Api::<v1::Node>::all(client), config).backoff(Steady);
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        if writer.take(event) {
            changed();
        }
    }
}

impl Writer {
    /// Whether what is known is different now.
    pub(super) fn take(&mut self, event: watcher::Result<watcher::Event<v1::Node>>) -> bool {
        let changed = match event {
            Ok(watcher::Event::Init) => {
                self.listed.clear();
                return false;
            }
            Ok(watcher::Event::InitApply(node)) => {
                self.listed.insert(node.name_any(), read(node));
                return false;
            }
            Ok(watcher::Event::InitDone) => {
                let before = mem::replace(&mut self.nodes, mem::take(&mut self.listed));
                before != self.nodes || !matches!(*self.known.borrow(), Known::These(_))
            }
            Ok(watcher::Event::Apply(node)) => {
                let node = read(node);
                // The kubelet writes its status every few minutes, and nothing here changes by it.
                let same = self.nodes.get(&node.name) == Some(&node);
                self.nodes.insert(node.name.clone(), node);
                !same
            }
            Ok(watcher::Event::Delete(node)) => self.nodes.remove(&node.name_any()).is_some(),
            Err(error) => return self.fail(&error),
        };
        if changed {
            let nodes = self.nodes.values().cloned().collect();
            self.known.send_replace(Known::These(nodes));
        }
        changed
    }

    fn fail(&self, error: &watcher::Error) -> bool {
        if !is_refusal(error) {
            // What was seen last is the best that is known.
            tracing::debug!("cannot list or watch nodes: {}", told(error));
            return false;
        }
        let before = self.known.send_replace(Known::Refused);
        if !matches!(before, Known::Refused) {
            tracing::info!("goes on without nodes: {}", told(error));
        }
        matches!(before, Known::These(_))
    }
}

fn read(node: v1::Node) -> Node {
    let spec = node.spec.unwrap_or_default();
    let info = node.status.and_then(|status| status.node_info);
    let info = info.unwrap_or_default();
    let taints = spec.taints.unwrap_or_default();
    Node {
        name: node.metadata.name.unwrap_or_default(),
        labels: node.metadata.labels.unwrap_or_default(),
        kubelet: info.kubelet_version,
        kernel: info.kernel_version,
        taints: taints.into_iter().map(read_taint).collect(),
        unschedulable: spec.unschedulable.unwrap_or_default(),
    }
}

fn read_taint(taint: v1::Taint) -> Taint {
    Taint {
        key: taint.key,
        value: taint.value.unwrap_or_default(),
        // One that is not known here is taken for one that keeps nobody away, so that more nodes count.
        effect: Effect::named(&taint.effect).unwrap_or(Effect::PreferNoSchedule),
    }
}

fn is_refusal(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => {
            matches!(source, kube::Error::Api(status) if status.code == 403)
        }
        watcher::Error::WatchError(status) => status.code == 403,
        watcher::Error::NoResourceVersion => false,
    }
}

/// The same pause after each failure.
struct Steady;

impl Iterator for Steady {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(PAUSE)
    }
}

impl Backoff for Steady {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, change: impl FnOnce(&mut Value)) -> v1::Node {
        let mut node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/arch": "amd64"}, "resourceVersion": "1"},
            "spec": {"taints": [{"key": "dedicated", "value": "edge", "effect": "NoSchedule"}]},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "images": [{"names": ["a"], "sizeBytes": 1}],
                "nodeInfo": {
                    "kubeletVersion": "v1.33.1", "kernelVersion": "6.1.0", "architecture": "amd64",
                    "bootID": "", "containerRuntimeVersion": "", "kubeProxyVersion": "", "machineID": "",
                    "operatingSystem": "linux", "osImage": "", "systemUUID": "",
                },
            },
        });
        change(&mut node);
        serde_json::from_value(node).unwrap()
    }

    fn refused() -> watcher::Error {
        let status = Status {
            code: 403,
            ..Status::failure("nodes is forbidden", "Forbidden")
        };
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    fn names(nodes: &Nodes) -> Option<Vec<String>> {
        let all = nodes.all()?;
        Some(all.iter().map(|node| node.name.clone()).collect())
    }

    fn list(writer: &mut Writer, nodes: Vec<v1::Node>) -> bool {
        assert!(!writer.take(Ok(Event::Init)));
        for node in nodes {
            assert!(!writer.take(Ok(Event::InitApply(node))));
        }
        writer.take(Ok(Event::InitDone))
    }

    #[test]
    fn keeps_what_decides() {
        let (nodes, mut writer) = Nodes::new();
        assert!(list(&mut writer, vec![node("a", |_| {})]));
        let all = nodes.all().unwrap();
        let wanted = Node {
            name: "a".into(),
            labels: BTreeMap::from([("kubernetes.io/arch".into(), "amd64".into())]),
            kubelet: "v1.33.1".into(),
            kernel: "6.1.0".into(),
            taints: vec![Taint {
                key: "dedicated".into(),
                value: "edge".into(),
                effect: Effect::NoSchedule,
            }],
            unschedulable: false,
        };
        assert_eq!(all[..], [wanted]);
    }

    #[test]
    fn heartbeats_change_nothing_and_everything_that_decides_does() {
        let (_nodes, mut writer) = Nodes::new();
        list(&mut writer, vec![node("a", |_| {}), node("b", |_| {})]);
        let beat = |it: &mut Value| {
            it["metadata"]["resourceVersion"] = "2".into();
            it["metadata"]["annotations"] = json!({"a": "b"});
            it["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-01T00:00:00Z".into();
            it["status"]["images"] = json!([]);
        };
        assert!(!writer.take(Ok(Event::Apply(node("a", beat)))));
        let changes: [fn(&mut Value); 5] = [
            |it| it["metadata"]["labels"]["kubernetes.io/arch"] = "arm64".into(),
            |it| it["spec"]["taints"][0]["value"] = "batch".into(),
            |it| it["spec"]["unschedulable"] = true.into(),
            |it| it["status"]["nodeInfo"]["kubeletVersion"] = "v1.34.0".into(),
            |it| it["status"]["nodeInfo"]["kernelVersion"] = "6.12.0".into(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(writer.take(Ok(Event::Apply(node("a", change)))), "{index}");
            assert!(!writer.take(Ok(Event::Apply(node("a", change)))), "{index}");
        }
        assert!(writer.take(Ok(Event::Delete(node("b", |_| {})))));
        assert!(writer.take(Ok(Event::Apply(node("c", |_| {})))));
    }

    #[test]
    fn a_list_that_comes_again_changes_nothing_unless_it_does() {
        let (nodes, mut writer) = Nodes::new();
        assert!(list(
            &mut writer,
            vec![node("a", |_| {}), node("b", |_| {})]
        ));
        assert!(!list(
            &mut writer,
            vec![node("a", |_| {}), node("b", |_| {})]
        ));
        writer.take(Ok(Event::Init));
        assert_eq!(names(&nodes).unwrap(), ["a", "b"], "until it has ended");
        assert!(list(&mut writer, vec![node("b", |_| {})]));
        assert_eq!(names(&nodes).unwrap(), ["b"]);
    }

    #[tokio::test]
    async fn nodes_that_may_not_be_listed_are_unknown() {
        let (nodes, mut writer) = Nodes::new();
        assert_eq!(nodes.all(), None);
        assert!(!writer.take(Err(refused())), "as unknown as before");
        nodes.answered().await;
        assert_eq!(nodes.all(), None);
        assert!(list(&mut writer, vec![node("a", |_| {})]));
        assert!(!writer.take(Err(watcher::Error::NoResourceVersion)));
        assert_eq!(names(&nodes).unwrap(), ["a"], "seen last");
        assert!(writer.take(Err(refused())), "the right was taken away");
        assert_eq!(nodes.all(), None);
        assert!(list(&mut writer, vec![node("a", |_| {})]), "and given back");
        assert_eq!(names(&nodes).unwrap(), ["a"]);
    }

    #[test]
    fn no_nodes_is_not_unknown() {
        let (nodes, mut writer) = Nodes::new();
        assert!(list(&mut writer, vec![]));
        assert_eq!(names(&nodes).unwrap(), [""; 0]);
    }
}
