//! What is: the cluster's pods from the caches, and what their gateways said last.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use kube::{Resource, ResourceExt};

use super::caches::Caches;
use super::kind::Kind;
use super::memory::{Memory, is_stale, version};
use super::pass::Context;
use super::prober::{Cluster, Place, Pods, Prober};
use super::root::Root;
use super::{names, preflight};
use crate::api::{KernelStatus, WseClusterStatus};
use crate::ask::Told;
use crate::plan::{self, Allocated, Observation, PodState};

/// One pod, as it was seen.
pub(super) struct Seen {
    pub(super) pod: Arc<Pod>,
    pub(super) state: PodState,
    /// Its annotations, also those that the cache does not show yet.
    pub(super) annotations: BTreeMap<String, String>,
    /// What its gateway said a moment ago. None: nothing.
    pub(super) told: Option<Told>,
    /// Where its admin port is.
    pub(super) admin: Option<SocketAddr>,
}

impl Seen {
    pub(super) fn name(&self) -> String {
        self.pod.name_any()
    }

    pub(super) fn asked_to_drain(&self) -> bool {
        self.annotations.contains_key(names::DRAINING)
    }

    /// Why its gateway does not run, if that takes a person.
    pub(super) fn waits_for(&self) -> Option<&str> {
        let waiting = gateway(self.pod.status.as_ref()?)?
            .state
            .as_ref()?
            .waiting
            .as_ref()?;
        match waiting.reason.as_deref()? {
            "ContainerCreating" | "PodInitializing" => None,
            // The two take turns.
            "ErrImagePull" => Some("ImagePullBackOff"),
            reason => Some(reason),
        }
    }

    fn pod(&self) -> plan::Pod {
        plan::Pod {
            name: self.name(),
            revision: self
                .pod
                .labels()
                .get(names::REVISION)
                .cloned()
                .unwrap_or_default(),
            state: self.state,
            asked_to_drain: self.asked_to_drain(),
            load: self.told.as_ref().map(|told| told.load),
        }
    }
}

/// The pods that the prober asks.
pub(super) struct Places {
    pub(super) caches: Caches,
    pub(super) admin_port: u16,
}

impl Pods for Places {
    fn clusters(&self) -> Vec<Cluster> {
        self.caches.all()
    }

    fn of(&self, cluster: &Cluster) -> Option<Vec<Place>> {
        let root = self.caches.clusters.get(cluster)?;
        let pods = self.caches.pods(&root);
        Some(pods.iter().filter_map(|pod| self.place(pod)).collect())
    }
}

impl Places {
    fn place(&self, pod: &Pod) -> Option<Place> {
        let admin = admin(pod, self.admin_port).filter(|_| can_answer(state(pod)))?;
        Some(Place {
            uid: pod.uid()?,
            admin,
            restarts: gateway(pod.status.as_ref()?)?.restart_count,
        })
    }
}

/// Looks at every pod.
pub(super) fn pods(
    root: &Root,
    caches: &Caches,
    memory: &mut Memory,
    prober: &Prober,
    admin_port: u16,
) -> Vec<Seen> {
    let pods = caches.pods(root);
    let uids: Vec<String> = pods.iter().filter_map(|pod| pod.uid()).collect();
    memory.annotated.retain(|uid, _| uids.contains(uid));
    memory.emptied.retain(|uid| uids.contains(uid));

    let cluster = root.key();
    let look = |pod: Arc<Pod>| {
        let seen = seen(pod, memory, admin_port);
        let told = seen.pod.metadata.uid.as_deref();
        let told = told.and_then(|uid| prober.told(&cluster, uid));
        Seen {
            told: told.filter(|_| can_answer(seen.state)),
            ..seen
        }
    };
    pods.into_iter().map(look).collect()
}

/// What a plan is made from. `told`: the status that was written last.
pub(super) fn observation(
    root: &Root,
    context: &Context,
    caches: &Caches,
    pods: &[Seen],
    told: &WseClusterStatus,
    memory: &Memory,
) -> Observation {
    let service = caches.object(Kind::Service, root, root.name());
    let service = service.filter(|it| it.is_of(root));
    let allocated = match (&told.image, &told.revision) {
        (Some(image), Some(revision)) => Some(Allocated {
            image: image.clone(),
            revision: revision.clone(),
        }),
        _ => None,
    };
    let mut counted = pods.iter().filter(|seen| seen.state != PodState::Leave);
    Observation {
        pods: pods.iter().map(Seen::pod).collect(),
        serves: service.and_then(|service| service.serves.clone()),
        desired: u32::try_from(told.desired_replicas)
            .ok()
            .filter(|desired| *desired > 0),
        config: counted.find_map(|seen| seen.annotations.get(names::CONFIG).cloned()),
        allocated,
        kernel: Some(plan::Kernel {
            nodes: context.nodes.all(),
            preflight: preflight::observe(root, caches, memory),
            rejected: preflight::rejected(pods),
            astray: preflight::astray(pods),
            barred: preflight::barred(root, caches, told),
            edited: told.observed_generation != root.meta().generation,
            ..learnt(told.kernel.as_ref())
        }),
    }
}

/// What earlier passes have learnt of kernel settings.
fn learnt(kernel: Option<&KernelStatus>) -> plan::Kernel {
    let Some(kernel) = kernel else {
        return plan::Kernel::default();
    };
    let refused = kernel.refused_sysctls.iter().map(|it| plan::Refused {
        name: it.name.clone(),
        node: it.node.clone(),
    });
    plan::Kernel {
        allowed: kernel.allowed_unsafe_sysctls.iter().cloned().collect(),
        refused: refused.collect(),
        ..plan::Kernel::default()
    }
}

fn seen(pod: Arc<Pod>, memory: &Memory, admin_port: u16) -> Seen {
    let written = pod.uid().and_then(|uid| memory.annotated.get(&uid));
    let annotations = match written {
        Some(written) if is_stale(version(&pod.metadata), written.version) => {
            written.annotations.clone()
        }
        _ => pod.annotations().clone(),
    };
    Seen {
        state: state(&pod),
        annotations,
        told: None,
        admin: admin(&pod, admin_port),
        pod,
    }
}

fn admin(pod: &Pod, port: u16) -> Option<SocketAddr> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

fn state(pod: &Pod) -> PodState {
    if pod.metadata.deletion_timestamp.is_some() {
        return PodState::Leave;
    }
    let Some(status) = &pod.status else {
        return PodState::Down;
    };
    // Evicted, or ended with its node. Its ReplicaSet counts it no more and has made another.
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        return PodState::Leave;
    }
    let running = gateway(status)
        .and_then(|gateway| gateway.state.as_ref())
        .is_some_and(|state| state.running.is_some());
    if !running {
        return PodState::Down;
    }
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.any(|it| it.type_ == "Ready" && it.status == "True");
    if ready {
        PodState::Ready
    } else {
        PodState::Unready
    }
}

fn gateway(status: &PodStatus) -> Option<&ContainerStatus> {
    let mut containers = status.container_statuses.iter().flatten();
    containers.find(|container| container.name == names::GATEWAY)
}

fn can_answer(state: PodState) -> bool {
    matches!(state, PodState::Ready | PodState::Unready)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value, deleted: bool) -> Pod {
        let mut metadata = json!({"name": "chat-a", "namespace": "a", "uid": "1"});
        if deleted {
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    }

    fn status(phase: &str, container: Value, ready: &str) -> Value {
        json!({
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [
                {"name": "other", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
                {"name": "gateway", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": container},
            ],
        })
    }

    #[test]
    fn a_pod_is_as_far_as_its_gateway() {
        let running = json!({"running": {}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        for (status, deleted, state_) in [
            (json!({"phase": "Pending"}), false, PodState::Down),
            (
                status("Pending", waiting.clone(), "False"),
                false,
                PodState::Down,
            ),
            (status("Running", waiting, "False"), false, PodState::Down),
            (
                status("Running", running.clone(), "False"),
                false,
                PodState::Unready,
            ),
            (
                status("Running", running.clone(), "True"),
                false,
                PodState::Ready,
            ),
            (
                status("Running", running.clone(), "True"),
                true,
                PodState::Leave,
            ),
            (status("Failed", running, "False"), false, PodState::Leave),
        ] {
            assert_eq!(state(&pod(status.clone(), deleted)), state_, "{status}");
        }
    }

    #[test]
    fn a_stale_cache_does_not_hide_what_was_written() {
        let mut shown = pod(json!({}), false);
        shown.metadata.resource_version = Some("5".into());
        let mut memory = Memory::default();
        let drains = BTreeMap::from([(names::DRAINING.to_owned(), "now".to_owned())]);
        for (version, drained) in [(6, true), (5, false)] {
            let written = super::super::memory::Annotated {
                version: Some(version),
                annotations: drains.clone(),
            };
            memory.annotated.insert("1".into(), written);
            let seen = seen(Arc::new(shown.clone()), &memory, 1);
            assert_eq!(seen.asked_to_drain(), drained, "written as {version}");
        }
    }
}
