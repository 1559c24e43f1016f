//! What a cache, a kubelet or a successor sees only later.

use serde_json::json;

use super::world::World;

#[tokio::test]
async fn a_replica_set_whose_pods_are_not_seen_yet_keeps_them() {
    let mut world = World::settled().await;
    let mut unseen = world.object(&world.replica_set());
    unseen["metadata"]["name"] = "chat-00000000".into();
    unseen["metadata"]["uid"] = "unseen".into();
    unseen["metadata"]["labels"]["wse.dev/revision"] = "0000000000000000".into();
    unseen["status"] = json!({"replicas": 2});
    let path = "replicasets/chat-00000000";
    let put = |state: &mut super::server::State| state.objects.insert(path.into(), unseen);
    world.server.with(put);
    assert_eq!(world.writes().await, []);
    assert_eq!(world.object(path)["spec"]["replicas"], 2);
}
