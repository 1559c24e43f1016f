//! A fleet of pods under an operator, and what others do to it: gateways, kubelets and the controller of
//! ReplicaSets.

use serde_json::{Value, json};

use super::gateways::{ADDRESSES, Gateway, address};
use super::world::World;

/// Clients of each pod at first.
const SESSIONS: u32 = 40;

/// A fleet under an operator, and what others do to it.
pub(super) struct Fleet {
    pub(super) world: World,
    made: usize,
}

impl Fleet {
    /// One whose pods have clients, and which is at rest.
    pub(super) async fn new(pods: usize, spec: fn(&mut Value)) -> Self {
        let world = World::new().await;
        world.edit_cluster(|cluster| {
            cluster["spec"]["scaling"]["replicas"] = pods.into();
            spec(&mut cluster["spec"]);
        });
        let mut fleet = Self { world, made: 0 };
        for _ in 0..6 {
            fleet.world.pass().await.unwrap();
            fleet.others_act();
            fleet.each_has(SESSIONS);
        }
        fleet.world.pass().await.unwrap();
        assert_eq!(fleet.pods().len(), pods);
        fleet
    }

    pub(super) fn each_has(&self, sessions: u32) {
        let set = |gateway: &mut Gateway| gateway.sessions = sessions;
        let server = &self.world.server;
        server.with(|state| state.gateways.values_mut().for_each(set));
    }

    pub(super) fn pods(&self) -> Vec<Value> {
        let paths = self.world.pods();
        paths.iter().map(|path| self.world.object(path)).collect()
    }

    pub(super) fn gateway(&self, pod: &Value) -> Gateway {
        let address = pod["status"]["podIP"].as_str().unwrap();
        self.world.server.with(|state| state.gateways[address])
    }

    /// What gateways, kubelets and the controller of ReplicaSets do between two passes.
    pub(super) fn others_act(&mut self) {
        self.gateways_act();
        for pod in self.pods() {
            let serves = !self.gateway(&pod).drains;
            let condition =
                json!([{"type": "Ready", "status": if serves { "True" } else { "False" }}]);
            self.world
                .server
                .edit(&path(&pod), |pod| pod["status"]["conditions"] = condition);
        }
        for path in self.world.replica_sets() {
            let set = self.world.object(&path);
            let uid = &set["metadata"]["uid"];
            let is_of = |pod: &&Value| pod["metadata"]["ownerReferences"][0]["uid"] == *uid;
            let mut pods: Vec<Value> = self.pods().iter().filter(is_of).cloned().collect();
            let wanted = set["spec"]["replicas"].as_u64().unwrap() as usize;
            // The order of Kubernetes' pkg/controller ActivePodsWithRanks; among equals, the one that hurts most.
            pods.sort_by_key(|pod| {
                (
                    is_ready(pod),
                    cost(pod),
                    u32::MAX - self.gateway(pod).sessions,
                )
            });
            for pod in pods.iter().take(pods.len().saturating_sub(wanted)) {
                self.remove(pod);
            }
            for _ in pods.len()..wanted {
                self.add(&set);
            }
            self.world
                .server
                .edit(&path, |set| set["status"] = json!({"replicas": wanted}));
        }
    }

    /// The clients of those that drain come to another, nearly all at first and then the rest.
    fn gateways_act(&self) {
        self.world.server.with(|state| {
            let mut moving = 0;
            for gateway in state.gateways.values_mut().filter(|it| it.drains) {
                let leave = gateway.sessions - u32::from(gateway.sessions > 1);
                gateway.sessions -= leave;
                moving += leave;
            }
            let serving = state.gateways.values_mut().filter(|it| !it.drains);
            let fewest = serving.min_by_key(|it| it.sessions);
            match fewest {
                Some(fewest) => fewest.sessions += moving,
                None => assert_eq!(moving, 0, "nobody takes them"),
            }
        });
    }

    fn remove(&self, pod: &Value) {
        let gateway = self.gateway(pod);
        let empty = Gateway {
            sessions: 0,
            drains: true,
        };
        assert_eq!(gateway, empty, "{} goes", path(pod));
        self.world.server.with(|state| {
            state.objects.remove(&path(pod));
            state
                .gateways
                .remove(pod["status"]["podIP"].as_str().unwrap());
        });
    }

    fn add(&mut self, set: &Value) {
        self.made += 1;
        let name = format!("chat-{:03}", self.made);
        self.world.add_pod_of(set, &name);
        self.world.server.with(|state| {
            let is_free = |address: &String| !state.gateways.contains_key(address);
            let address = (2..=ADDRESSES).map(address).find(is_free).unwrap();
            let pod = state.objects.get_mut(&format!("pods/{name}")).unwrap();
            pod["status"]["podIP"] = address.clone().into();
            // Its gateway is still coming.
            pod["status"]["conditions"] = json!([]);
            state.gateways.insert(address, Gateway::default());
        });
    }
}

pub(super) fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["status"] == "True"
}

pub(super) fn is_draining(pod: &Value) -> bool {
    pod["metadata"]["annotations"]["wse.dev/draining"].is_string()
}

fn cost(pod: &Value) -> i64 {
    let cost = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
    cost.as_str().map_or(0, |cost| cost.parse().unwrap())
}

pub(super) fn path(pod: &Value) -> String {
    format!("pods/{}", pod["metadata"]["name"].as_str().unwrap())
}
