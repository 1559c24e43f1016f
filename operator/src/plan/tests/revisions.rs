//! What makes other pods, what they are called, and which image they have.

use serde_json::Value;

use super::*;

fn changed(base: &WseClusterSpec, pointer: &str, value: Value) -> WseClusterSpec {
    let mut spec = serde_json::to_value(base).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    spec.pointer_mut(parent).unwrap()[name] = value;
    serde_json::from_value(spec).unwrap()
}

fn templated() -> WseClusterSpec {
    let template = json!({
        "metadata": {"labels": {"team": "chat"}, "annotations": {"note": "b"}},
        "spec": {
            "priorityClassName": "high",
            "containers": [{"name": "app", "image": "app:1", "env": [{"name": "A", "value": "1"}]}],
            "volumes": [{"name": "cache", "emptyDir": {}}],
        },
    });
    changed(&spec(2), "/podTemplate", template)
}

fn secured(name: &str) -> WseClusterSpec {
    changed(&spec(2), "/tls", json!({"secretName": name}))
}

#[test]
fn a_certificate_is_read_from_its_secret_and_another_one_makes_new_pods() {
    let secured = secured("chat-tls");
    let (plan, _) = plan(
        &subject(&secured),
        &Observation::default(),
        &watched(),
        at(0),
    );
    let tls = plan.config.listen.tls.unwrap();
    assert!(tls.certificate_file.ends_with("chat-tls/tls.crt"));
    assert!(tls.key_file.ends_with("chat-tls/tls.key"));
    assert!(secured.secrets().any(|name| name == "chat-tls"));
    let other = changed(&secured, "/tls/secretName", json!("other"));
    assert_ne!(wanted(&secured), wanted(&other));
}

#[test]
fn only_what_a_process_cannot_change_makes_another_revision() {
    let base = templated();
    let before = wanted(&base);
    for (pointer, value) in [
        ("/scaling/replicas", json!(5)),
        ("/capacity/tier", json!("Maximum")),
        ("/auth/issuers", json!(["other"])),
        ("/auth/keys/0/algorithm", json!("HS512")),
        ("/limits/messageBytes", json!(1)),
        ("/compression", json!({"mode": "Deflate", "level": 9})),
        (
            "/topics",
            json!([{"pattern": "a.*", "slowConsumer": "DropNewest"}]),
        ),
        ("/drain/windowSeconds", json!(1)),
        ("/rollout/surge", json!(1)),
        ("/disruption/spread", json!("Node")),
        ("/service/type", json!("LoadBalancer")),
        ("/api/keys/0/secretKeyRef/key", json!("other")),
        ("/api/allowFrom", json!([])),
        ("/log", json!("debug")),
    ] {
        assert_eq!(wanted(&changed(&base, pointer, value)), before, "{pointer}");
    }
    for (pointer, value) in [
        ("/image", json!("gateway:2")),
        ("/backplane/redis/url", json!("redis://other:6379")),
        ("/backplane/redis/partitions", json!(8)),
        ("/backplane", json!({})),
        ("/auth/keys/0/secretKeyRef/name", json!("other")),
        ("/podTemplate/metadata/labels/team", json!("other")),
        ("/podTemplate/metadata/annotations/note", json!("c")),
        ("/podTemplate/spec/containers/0/image", json!("app:2")),
        ("/podTemplate/spec/volumes", json!([{"name": "cache"}])),
        ("/podTemplate", json!({})),
        ("/tls", json!({"secretName": "chat-tls"})),
        // Not one Secret more, but a public port that speaks otherwise.
        ("/tls", json!({"secretName": "chat-jwt"})),
    ] {
        assert_ne!(wanted(&changed(&base, pointer, value)), before, "{pointer}");
    }
}

#[test]
fn a_revision_is_called_the_same_in_every_release() {
    let secret = json!({"urlSecretRef": {"name": "chat-redis", "key": "url"}, "partitions": 32});
    let with_secret = changed(&spec(1), "/backplane/redis", secret);
    let pinned = changed(
        &with_secret,
        "/image",
        json!("registry.example/gateway:1.2.3"),
    );
    for (what, spec, name) in [
        ("a Redis by URL", spec(2), "099adf123d918f6c"),
        (
            "a Redis by Secret, and an image",
            pinned,
            "916812d7afa7086d",
        ),
        ("a podTemplate", templated(), "9e87971fb5e12f5f"),
        ("TLS", secured("chat-tls"), "bd0c21293318524e"),
    ] {
        assert_eq!(
            wanted(&spec),
            name,
            "{what}: a release in which the same spec has another name replaces every pod of every \
             fleet on the day the operator is upgraded, and every client has to reconnect. Leave new \
             fields out of `Made` while they have their default, see there"
        );
    }
}

#[test]
fn the_order_in_which_fields_were_written_means_nothing() {
    let read = |text: &str| {
        let template = serde_json::from_str(text).unwrap();
        wanted(&changed(&spec(1), "/podTemplate", template))
    };
    let one = read(
        r#"{"spec": {"a": 1, "b": [{"c": 1, "d": 2}]}, "metadata": {"labels": {"x": "1", "y": "2"}}}"#,
    );
    let other = read(
        r#"{"metadata": {"labels": {"y": "2", "x": "1"}}, "spec": {"b": [{"d": 2, "c": 1}], "a": 1}}"#,
    );
    assert_eq!(one, other);
    // Nothing is nothing, however it is written.
    let empty = read(r#"{"metadata": {"labels": {}, "annotations": {}}, "spec": {}}"#);
    assert_eq!(empty, wanted(&spec(1)));
}

/// An operator of some release, and the status that it finds and leaves.
struct Operator {
    default_image: &'static str,
    status: Option<Allocated>,
}

impl Operator {
    /// A pass: the image and the revision that it wants.
    fn pass(&mut self, spec: &WseClusterSpec) -> (String, String) {
        let observation = Observation {
            allocated: self.status.clone(),
            ..Observation::default()
        };
        let subject = Subject {
            default_image: self.default_image,
            ..subject(spec)
        };
        let (plan, _) = plan(&subject, &observation, &watched(), at(0));
        let made = (plan.image.clone(), plan.revisions[0].id.clone());
        self.status = Some(Allocated {
            image: plan.image,
            revision: made.1.clone(),
        });
        made
    }
}

#[test]
fn an_upgraded_operator_moves_nobody_until_the_spec_makes_new_pods() {
    let mut operator = Operator {
        default_image: "gateway:1",
        status: None,
    };
    let spec = spec(2);
    let first = operator.pass(&spec);
    assert_eq!(first.0, "gateway:1");

    operator.default_image = "gateway:2";
    assert_eq!(operator.pass(&spec), first);
    let more = changed(&spec, "/scaling/replicas", json!(5));
    assert_eq!(operator.pass(&more), first);

    let edited = changed(
        &spec,
        "/podTemplate/spec",
        json!({"priorityClassName": "high"}),
    );
    let second = operator.pass(&edited);
    assert_eq!(second.0, "gateway:2");
    assert_ne!(second.1, first.1);
    // An edit taken back makes pods once more, with the image of their day.
    let third = operator.pass(&spec);
    assert_eq!(third.0, "gateway:2");
    assert_ne!(third.1, first.1);
}

#[test]
fn an_image_that_is_named_no_more_is_left_for_the_default() {
    let mut operator = Operator {
        default_image: "gateway:1",
        status: None,
    };
    let spec = spec(2);
    let first = operator.pass(&spec);
    let pinned = operator.pass(&changed(&spec, "/image", json!("gateway:9")));
    assert_eq!(pinned.0, "gateway:9");
    assert_ne!(pinned.1, first.1);
    assert_eq!(
        operator.pass(&spec),
        first,
        "a bad image is taken back, to the same pods"
    );

    // To name what runs moves nobody, and neither does to name it no more.
    let named = changed(&spec, "/image", json!("gateway:1"));
    assert_eq!(operator.pass(&named), first);
    assert_eq!(operator.pass(&spec), first);
}
