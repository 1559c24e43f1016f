//! Each write in turn goes wrong: the operator dies with it and another one goes on, it fails, or
//! nobody hears that it was done. No pod with clients goes, none is missing, and in the end all is as if
//! nothing had been.

use serde_json::{Value, json};

use super::gateways::{ADDRESSES, Gateway, address};
use super::server::Fault;
use super::world::World;
use crate::plan::Memory;

/// Clients of each pod at first.
const SESSIONS: u32 = 40;
/// Far more than any of these takes.
const PASSES: usize = 120;
/// A successor holds scale-in for a while, which is so many passes here.
const YOUNG: usize = 2;

/// What a fleet of pods with clients goes through.
struct Scenario {
    pods: usize,
    spec: fn(&mut Value),
    edit: fn(&mut Fleet),
    /// Pods that take clients, never fewer.
    least: usize,
    /// Pods that drain, never more.
    drains: usize,
    /// Pods in the end.
    left: usize,
    /// Whether these are others than those at first.
    replaced: bool,
}

/// A fleet under an operator, and what others do to it.
struct Fleet {
    world: World,
    made: usize,
}

impl Fleet {
    async fn new(scenario: &Scenario) -> Self {
        let world = World::new().await;
        world.edit_cluster(|cluster| {
            cluster["spec"]["scaling"]["replicas"] = scenario.pods.into();
            (scenario.spec)(&mut cluster["spec"]);
        });
        let mut fleet = Self { world, made: 0 };
        for _ in 0..6 {
            fleet.world.pass().await.unwrap();
            fleet.others_act();
            fleet.each_has(SESSIONS);
        }
        fleet.world.pass().await.unwrap();
        assert_eq!(fleet.pods().len(), scenario.pods);
        fleet
    }

    fn each_has(&mut self, sessions: u32) {
        let set = |gateway: &mut Gateway| gateway.sessions = sessions;
        let server = &self.world.server;
        server.with(|state| state.gateways.values_mut().for_each(set));
    }

    fn pods(&self) -> Vec<Value> {
        let of_pods = |state: &mut super::server::State| {
            let found = state.objects.iter();
            let found = found.filter(|(path, _)| path.starts_with("pods/"));
            found.map(|(_, pod)| pod.clone()).collect()
        };
        self.world.server.with(of_pods)
    }

    fn gateway(&self, pod: &Value) -> Gateway {
        let address = pod["status"]["podIP"].as_str().unwrap();
        self.world.server.with(|state| state.gateways[address])
    }

    /// What gateways, kubelets and the controller of ReplicaSets do between two passes.
    fn others_act(&mut self) {
        self.gateways_act();
        for pod in self.pods() {
            let serves = !self.gateway(&pod).drains;
            let condition =
                json!([{"type": "Ready", "status": if serves { "True" } else { "False" }}]);
            self.world
                .server
                .edit(&path(&pod), |pod| pod["status"]["conditions"] = condition);
        }
        for set in self.world.replica_sets() {
            let set = self.world.object(&set);
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
            let path = format!("replicasets/{}", set["metadata"]["name"].as_str().unwrap());
            self.world
                .server
                .edit(&path, |set| set["status"] = json!({"replicas": wanted}));
        }
    }

    /// The clients of those that drain come to another, nearly all at first and then the rest.
    fn gateways_act(&mut self) {
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

    fn remove(&mut self, pod: &Value) {
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

    /// What holds at any moment, whoever lives.
    fn check(&self, scenario: &Scenario) {
        let pods = self.pods();
        let draining = pods.iter().filter(|pod| is_draining(pod)).count();
        assert!(draining <= scenario.drains, "{draining} drain");
        let takes = |pod: &&Value| !self.gateway(pod).drains && is_ready(pod);
        let serving = pods.iter().filter(takes).count();
        assert!(serving >= scenario.least, "{serving} take clients");
        for pod in pods.iter().filter(|pod| self.gateway(pod).drains) {
            assert!(
                is_draining(pod),
                "{} drains, and no successor could know",
                path(pod)
            );
        }
        let wanted = self.world.replica_sets();
        let wanted = wanted
            .iter()
            .map(|set| self.world.object(set)["spec"]["replicas"].as_u64().unwrap());
        assert!(wanted.sum::<u64>() as usize >= scenario.least);
    }

    fn is_done(&self, scenario: &Scenario, first: &[Value]) -> bool {
        let pods = self.pods();
        let is_old = |pod: &Value| {
            first
                .iter()
                .any(|it| it["metadata"]["uid"] == pod["metadata"]["uid"])
        };
        pods.len() == scenario.left
            && pods.iter().all(|pod| is_ready(pod) && !is_draining(pod))
            && pods
                .iter()
                .all(|pod| !self.gateway(pod).drains && is_old(pod) != scenario.replaced)
            && self.world.condition("Settled")["status"] == "True"
    }
}

/// Goes through it; how many writes that took. What goes wrong is asked at first and after each death,
/// with how many there were and the writes so far.
async fn live(
    scenario: &Scenario,
    fault: impl Fn(usize, usize) -> Option<(usize, Fault)>,
) -> usize {
    let mut fleet = Fleet::new(scenario).await;
    let first = fleet.pods();
    let mut lives = 0;
    let next = |state: &mut super::server::State, lives| state.fault = fault(lives, state.writes);
    fleet.world.server.with(|state| state.writes = 0);
    (scenario.edit)(&mut fleet);
    fleet.world.server.with(|state| next(state, lives));
    let (mut age, mut failures) = (YOUNG, 0);
    for _ in 0..PASSES {
        let result = fleet.world.pass().await;
        fleet.check(scenario);
        if fleet.world.server.with(|state| state.revive()) {
            lives += 1;
            age = 0;
            fleet.world.succeed("gateway:1");
            fleet.world.server.with(|state| next(state, lives));
        } else {
            failures += usize::from(result.is_err());
            assert!(failures <= 1, "{result:?}");
            age += 1;
            if age == YOUNG {
                fleet.world.memory.plan = Memory::watched();
            }
        }
        fleet.others_act();
        fleet.check(scenario);
        if fleet.is_done(scenario, &first) {
            return fleet.world.server.with(|state| state.writes);
        }
    }
    let gateways = fleet
        .world
        .server
        .with(|state| format!("{:?}", state.gateways));
    let state = json!({"gateways": gateways, "pods": fleet.pods(), "cluster": fleet.world.object(super::world::CLUSTER)["status"]});
    panic!("it comes to no end after {lives} deaths: {state:#}");
}

async fn goes_wrong(scenario: Scenario) {
    let writes = live(&scenario, |_, _| None).await;
    assert!(writes > 5, "{writes}");
    for number in 1..=writes {
        for fault in [Fault::Death, Fault::Failure, Fault::Silence] {
            println!("{fault:?} at {number} of {writes}");
            live(&scenario, |deaths, _| {
                (deaths == 0).then_some((number, fault))
            })
            .await;
        }
    }
    // Whoever comes has to write what is there once more, before there is anything new.
    for each in 14..=18 {
        println!("Death after each {each}");
        live(&scenario, |_, written| Some((written + each, Fault::Death))).await;
    }
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["status"] == "True"
}

fn is_draining(pod: &Value) -> bool {
    pod["metadata"]["annotations"]["wse.dev/draining"].is_string()
}

fn cost(pod: &Value) -> i64 {
    let cost = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
    cost.as_str().map_or(0, |cost| cost.parse().unwrap())
}

fn path(pod: &Value) -> String {
    format!("pods/{}", pod["metadata"]["name"].as_str().unwrap())
}

#[tokio::test]
async fn while_pods_leave_one_by_one() {
    let scenario = Scenario {
        pods: 4,
        spec: |_| {},
        edit: |fleet| {
            fleet
                .world
                .edit_cluster(|it| it["spec"]["scaling"]["replicas"] = 2.into())
        },
        least: 2,
        drains: 1,
        left: 2,
        replaced: false,
    };
    goes_wrong(scenario).await;
}

#[tokio::test]
async fn while_the_load_goes() {
    let scenario = Scenario {
        pods: 3,
        spec: |spec| {
            let down = json!({"stabilizationWindowSeconds": 0});
            spec["limits"] = json!({"connections": 70});
            spec["scaling"] = json!({
                "mode": "Autoscale", "minReplicas": 2, "maxReplicas": 6, "autoscale": {"scaleDown": down},
            });
        },
        edit: |fleet| fleet.each_has(10),
        least: 2,
        drains: 1,
        left: 2,
        replaced: false,
    };
    goes_wrong(scenario).await;
}

#[tokio::test]
async fn while_new_pods_take_over_one_by_one() {
    let scenario = Scenario {
        pods: 2,
        spec: |spec| spec["rollout"] = json!({"surge": 1}),
        edit: |fleet| {
            fleet
                .world
                .edit_cluster(|it| it["spec"]["image"] = "gateway:2".into())
        },
        least: 2,
        drains: 1,
        left: 2,
        replaced: true,
    };
    goes_wrong(scenario).await;
}

#[tokio::test]
async fn while_new_pods_take_over_all_at_once() {
    let scenario = Scenario {
        pods: 2,
        spec: |spec| spec["rollout"] = json!({"surge": "100%"}),
        edit: |fleet| {
            fleet
                .world
                .edit_cluster(|it| it["spec"]["image"] = "gateway:2".into())
        },
        least: 2,
        drains: 2,
        left: 2,
        replaced: true,
    };
    goes_wrong(scenario).await;
}
