//! Each write in turn goes wrong: the operator dies with it and another one goes on, it fails, or
//! nobody hears that it was done. No pod with clients goes, none is missing, and in the end all is as if
//! nothing had been.

use serde_json::{Value, json};

use super::fleet::{Fleet, is_draining, is_ready, path};
use super::server::{Fault, State};
use super::world::CLUSTER;
use crate::plan::Memory;

/// Far more than any of these takes.
const PASSES: usize = 120;
/// A successor holds scale-in for a while, which is so many passes here.
const YOUNG: usize = 2;

/// What a fleet of pods with clients goes through.
struct Scenario {
    pods: usize,
    spec: fn(&mut Value),
    edit: fn(&Fleet),
    /// Pods that take clients, never fewer.
    least: usize,
    /// Pods that drain, never more.
    drains: usize,
    /// Pods in the end.
    left: usize,
    /// Whether these are others than those at first.
    replaced: bool,
}

impl Fleet {
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
    let mut fleet = Fleet::new(scenario.pods, scenario.spec).await;
    let first = fleet.pods();
    let mut lives = 0;
    let next = |state: &mut State, lives| state.fault = fault(lives, state.writes);
    fleet.world.server.with(|state| state.writes = 0);
    (scenario.edit)(&fleet);
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
    let state = json!({"gateways": gateways, "pods": fleet.pods(), "cluster": fleet.world.object(CLUSTER)["status"]});
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

#[tokio::test]
async fn while_pods_leave_one_by_one() {
    let scenario = Scenario {
        pods: 4,
        spec: |_| {},
        edit: |fleet| {
            fleet
                .world
                .edit_cluster(|it| it["spec"]["scaling"]["replicas"] = 2.into());
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

/// Two pods give way to two others, of which so many may drain together.
fn rollout(spec: fn(&mut Value), drains: usize) -> Scenario {
    Scenario {
        pods: 2,
        spec,
        edit: |fleet| {
            fleet
                .world
                .edit_cluster(|it| it["spec"]["image"] = "gateway:2".into());
        },
        least: 2,
        drains,
        left: 2,
        replaced: true,
    }
}

#[tokio::test]
async fn while_new_pods_take_over_one_by_one() {
    goes_wrong(rollout(|spec| spec["rollout"] = json!({"surge": 1}), 1)).await;
}

#[tokio::test]
async fn while_new_pods_take_over_all_at_once() {
    goes_wrong(rollout(
        |spec| spec["rollout"] = json!({"surge": "100%"}),
        2,
    ))
    .await;
}
