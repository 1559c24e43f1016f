//! The number of pods, what they ask of their nodes, and what autoscalers are told.

use serde_json::{Value, json};

use super::world::World;

fn gateway(world: &World) -> Value {
    let set = world.object(&world.replica_set());
    set["spec"]["template"]["spec"]["containers"][0].clone()
}

#[tokio::test]
async fn a_pod_asks_for_what_its_tier_needs_unless_a_person_says_otherwise() {
    let mut world = World::settled().await;
    let asked = json!({
        "requests": {"cpu": "100m", "memory": "167772160"},
        "limits": {"memory": "167772160"},
    });
    assert_eq!(gateway(&world)["resources"], asked);
    for (theirs, merged) in [
        (
            json!({"limits": {"cpu": "50m"}}),
            json!({
                "requests": {"memory": "167772160"},
                "limits": {"cpu": "50m", "memory": "167772160"},
            }),
        ),
        (
            json!({"requests": {"memory": "1Gi"}}),
            json!({"requests": {"cpu": "100m", "memory": "1Gi"}}),
        ),
    ] {
        world.edit_cluster(|cluster| {
            let container = json!({"name": "gateway", "resources": theirs});
            cluster["spec"]["podTemplate"] = json!({"spec": {"containers": [container]}});
        });
        world.pass().await.unwrap();
        let made = world.replica_sets();
        let newest = made.iter().map(|path| world.object(path));
        let resources =
            newest.map(|set| set["spec"]["template"]["spec"]["containers"][0]["resources"].clone());
        let resources: Vec<Value> = resources.collect();
        assert!(resources.contains(&merged), "{resources:?}");
    }
}

#[tokio::test]
async fn the_number_is_chosen_kept_and_told() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| {
        let scaling = json!({"mode": "Autoscale", "minReplicas": 3, "maxReplicas": 9});
        cluster["spec"]["scaling"] = scaling;
    });
    world.pass().await.unwrap();
    let status = world.object("wseclusters/chat")["status"].clone();
    assert_eq!(status["desiredReplicas"], 3);
    assert!(status["lastScaleTime"].is_string(), "{status}");
    assert_eq!(world.object(&world.replica_set())["spec"]["replicas"], 3);
    // A successor has seen nothing yet, and takes nothing away.
    world.edit_cluster(|cluster| cluster["spec"]["scaling"]["minReplicas"] = 1.into());
    world.memory = Default::default();
    world.pass().await.unwrap();
    let status = world.object("wseclusters/chat")["status"].clone();
    assert_eq!(status["desiredReplicas"], 3);
    assert_eq!(world.writes().await, []);
}

#[tokio::test]
async fn an_autoscaler_is_told_of_the_pods_that_clients_reach() {
    let world = World::settled().await;
    let status = world.object("wseclusters/chat")["status"].clone();
    let revision = status["revision"].as_str().unwrap();
    let selector = format!("wse.dev/cluster=chat,wse.dev/revision={revision}");
    assert_eq!(status["selector"], selector);
}
