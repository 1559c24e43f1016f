//! The rules of the CRD, one broken at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Problem, WseCluster, check, check_change, crd};

fn valid() -> Value {
    json!({
        "apiVersion": "wse.dev/v1alpha1",
        "kind": "WseCluster",
        "metadata": {"name": "chat"},
        "spec": {
            "capacity": {"expectedConnections": 1_000},
            "scaling": {"replicas": 2},
            "auth": {"keys": [{"algorithm": "HS256", "secretKeyRef": {"name": "chat-jwt", "key": "secret"}}]},
            "backplane": {"type": "Redis", "redis": {"url": "redis://redis:6379"}},
            "api": {"keys": [{"secretKeyRef": {"name": "chat-api", "key": "key"}}]},
        },
    })
}

fn cluster(changes: &[(&str, Value)]) -> WseCluster {
    let mut value = valid();
    for (pointer, change) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match change {
            Value::Null => parent.remove(name),
            change => parent.insert(name.into(), change.clone()),
        };
    }
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_valid_cluster_passes() {
    assert_eq!(check(&cluster(&[])), []);
    let anonymous = json!({"mode": "None", "allowAnonymous": true});
    assert_eq!(check(&cluster(&[("/spec/auth", anonymous)])), []);
    let alone = [
        ("/spec/backplane", json!({})),
        ("/spec/scaling", Value::Null),
    ];
    assert_eq!(check(&cluster(&alone)), []);
    let alone = [("/spec/backplane", json!({})), autoscaled(1, 1)];
    assert_eq!(check(&cluster(&alone)), []);
    assert_eq!(check(&cluster(&[autoscaled(2, 20)])), []);
    let external = json!({"mode": "External", "replicas": 3});
    assert_eq!(check(&cluster(&[("/spec/scaling", external)])), []);
    let kernel = json!({
        "sysctls": [{"name": "net.core.somaxconn", "value": "8192"}],
        "unsafeSysctls": "Require",
    });
    assert_eq!(check(&cluster(&[("/spec/kernel", kernel)])), []);
    let tls = json!({"secretName": "chat-tls"});
    assert_eq!(check(&cluster(&[("/spec/tls", tls)])), []);
}

#[test]
fn all_that_may_be_said_of_pods_passes() {
    let template = json!({
        "metadata": {
            "labels": {"team": "chat", "app.kubernetes.io/version": "2"},
            "annotations": {"prometheus.io/scrape": "true"},
        },
        "spec": {
            "hostNetwork": false,
            "restartPolicy": "Always",
            "initContainers": [{"name": "wait", "image": "a:1"}],
            "containers": [
                {"name": "gateway", "env": [{"name": "A", "value": "1"}]},
                {"name": "app", "image": "a:1", "resources": {"limits": {"memory": "1Gi"}}},
            ],
            "nodeSelector": {"disk": "ssd"},
        },
    });
    let service = json!({"type": "NodePort", "nodePort": 30_080, "externalTrafficPolicy": "Local"});
    for surge in [
        json!(1),
        json!("1"),
        json!("25%"),
        json!("100%"),
        json!(999),
    ] {
        let found = check(&cluster(&[
            ("/spec/podTemplate", template.clone()),
            ("/spec/service", service.clone()),
            ("/spec/rollout", json!({"surge": surge})),
        ]));
        assert_eq!(found, [], "{surge}");
    }
}

/// A change to autoscaling between these.
fn autoscaled(least: u32, most: u32) -> (&'static str, Value) {
    let scaling = json!({"mode": "Autoscale", "minReplicas": least, "maxReplicas": most});
    ("/spec/scaling", scaling)
}

/// A change of the PodSpec.
fn pods(spec: Value) -> (&'static str, Value) {
    ("/spec/podTemplate", json!({"spec": spec}))
}

/// A change of what is said of the pods.
fn of_pods(metadata: Value) -> (&'static str, Value) {
    ("/spec/podTemplate", json!({"metadata": metadata}))
}

fn many(count: usize) -> BTreeMap<String, String> {
    let pair = |index| (format!("key-{index}"), String::new());
    (0..count).map(pair).collect()
}

/// Changes of the valid cluster, and the field and words of the one problem that they make.
type Case = (Vec<Change>, &'static str, &'static str);
type Change = (&'static str, Value);

fn cases() -> Vec<Case> {
    let key = json!({"algorithm": "HS256", "secretKeyRef": {"name": "Chat JWT", "key": "secret"}});
    vec![
        (
            vec![("/metadata/name", json!("a".repeat(41)))],
            "",
            "at most 40 characters",
        ),
        (
            vec![("/spec/backplane", json!({"type": "Memory"}))],
            "spec",
            "set `backplane.type: Redis`",
        ),
        (
            vec![("/spec/capacity", json!({}))],
            "spec.capacity",
            "`expectedConnections` must be set",
        ),
        (
            vec![("/spec/capacity/expectedConnections", json!(0))],
            "spec.capacity.expectedConnections",
            "at least 1",
        ),
        (
            vec![("/spec/scaling/replicas", json!(0))],
            "spec.scaling.replicas",
            "at least 1",
        ),
        (
            vec![("/spec/tls", json!({"secretName": "Chat TLS"}))],
            "spec.tls.secretName",
            "must match",
        ),
        (
            vec![("/spec/scaling/replicas", json!(1_001))],
            "spec.scaling.replicas",
            "at most 1000",
        ),
        (
            vec![("/spec/scaling", json!({"mode": "External"}))],
            "spec.scaling",
            "must be set in the modes",
        ),
        (
            vec![autoscaled(2, 4), ("/spec/scaling/replicas", json!(3))],
            "spec.scaling",
            "`mode: External` for `kubectl scale`",
        ),
        (
            vec![(
                "/spec/scaling",
                json!({"mode": "Autoscale", "minReplicas": 2}),
            )],
            "spec.scaling",
            "`minReplicas` and `maxReplicas` must be set",
        ),
        (
            vec![autoscaled(5, 4)],
            "spec.scaling",
            "less than or equal to `maxReplicas`",
        ),
        (
            vec![("/spec/scaling/maxReplicas", json!(4))],
            "spec.scaling",
            "are for the mode `Autoscale`",
        ),
        (
            vec![("/spec/backplane", json!({})), autoscaled(1, 2)],
            "spec",
            "one pod's alone",
        ),
        (
            vec![("/spec/drain", json!({"reconnectsPerSecond": 0}))],
            "spec.drain.reconnectsPerSecond",
            "at least 1",
        ),
        (
            vec![(
                "/spec/kernel",
                json!({"sysctls": [{"name": "net/core/somaxconn", "value": "1"}]}),
            )],
            "spec.kernel.sysctls[0].name",
            "with dots",
        ),
        (
            vec![("/spec/drain", json!({"windowSeconds": 61}))],
            "spec.drain",
            "less than or equal to `deadlineSeconds`",
        ),
        (
            vec![("/spec/auth/mode", json!("None"))],
            "spec.auth",
            "set `allowAnonymous: true`",
        ),
        (
            vec![("/spec/auth/keys", json!([]))],
            "spec.auth",
            "give `keys`, or `jwks`",
        ),
        (
            vec![("/spec/auth/keys", json!([key]))],
            "spec.auth.keys[0].secretKeyRef.name",
            "must match",
        ),
        (
            vec![("/spec/auth/jwks", json!({}))],
            "spec.auth.jwks",
            "exactly one of",
        ),
        (
            vec![(
                "/spec/auth/allowedOrigins",
                json!(["*", "https://a.example"]),
            )],
            "spec.auth",
            "must stand alone",
        ),
        (
            vec![("/spec/backplane/redis", Value::Null)],
            "spec.backplane",
            "must be given when",
        ),
        (
            vec![
                ("/spec/backplane/type", json!("Memory")),
                ("/spec/scaling/replicas", json!(1)),
            ],
            "spec.backplane",
            "left out otherwise",
        ),
        (
            vec![("/spec/backplane/redis/url", Value::Null)],
            "spec.backplane.redis",
            "exactly one of",
        ),
        (
            vec![("/spec/backplane/redis/url", json!("http://redis"))],
            "spec.backplane.redis.url",
            "must begin with",
        ),
        (
            vec![("/spec/backplane/redis/partitions", json!(0))],
            "spec.backplane.redis.partitions",
            "at least 1",
        ),
        (
            vec![("/metadata/name", json!("1chat"))],
            "",
            "must begin with a letter",
        ),
        (
            vec![("/metadata/name", json!("chat.prod"))],
            "",
            "must begin with a letter",
        ),
        (
            vec![("/spec/rollout", json!({"surge": 0}))],
            "spec.rollout.surge",
            "at least 1",
        ),
        (
            vec![("/spec/rollout", json!({"surge": "0%"}))],
            "spec.rollout.surge",
            "at least 1",
        ),
        (
            vec![("/spec/rollout", json!({"surge": "all"}))],
            "spec.rollout.surge",
            "such as `100%`",
        ),
        (
            vec![("/spec/disruption", json!({"maxUnavailable": 0}))],
            "spec.disruption.maxUnavailable",
            "at least 1",
        ),
        (
            vec![("/spec/service", json!({"nodePort": 30_080}))],
            "spec.service",
            "`nodePort` needs `type: NodePort`",
        ),
        (
            vec![("/spec/service", json!({"externalTrafficPolicy": "Local"}))],
            "spec.service",
            "`externalTrafficPolicy: Local` needs",
        ),
        (
            vec![("/spec/service", json!({"port": 0}))],
            "spec.service.port",
            "at least 1",
        ),
        (
            vec![("/spec/service", json!({"annotations": many(65)}))],
            "spec.service.annotations",
            "at most 64 entries",
        ),
        (
            vec![("/spec/compression", json!({"level": 0}))],
            "spec.compression.level",
            "at least 1",
        ),
        (
            vec![("/spec/topics", json!([{"pattern": "a".repeat(256)}]))],
            "spec.topics[0].pattern",
            "at most 255 characters",
        ),
        (
            vec![("/spec/api/allowFrom", json!(vec![json!({}); 65]))],
            "spec.api.allowFrom",
            "at most 64 entries",
        ),
        (
            vec![pods(json!({"hostNetwork": true}))],
            "spec.podTemplate.spec",
            "fight for the same ports",
        ),
        (
            vec![pods(json!({"restartPolicy": "Never"}))],
            "spec.podTemplate.spec",
            "or be `Always`",
        ),
        (
            vec![pods(json!({"terminationGracePeriodSeconds": 30}))],
            "spec.podTemplate.spec",
            "set `spec.drain.deadlineSeconds`",
        ),
        (
            vec![pods(json!({"containers": [{"name": "app"}]}))],
            "spec.podTemplate.spec",
            "needs an `image`",
        ),
        (
            vec![pods(
                json!({"containers": [{"name": "gateway", "image": "other:1"}]}),
            )],
            "spec.podTemplate.spec",
            "set `spec.image`",
        ),
        (
            vec![pods(
                json!({"initContainers": [{"name": "gateway", "image": "a:1"}]}),
            )],
            "spec.podTemplate.spec",
            "must differ",
        ),
        (
            vec![pods(json!({
                "containers": [{"name": "app", "image": "a:1"}],
                "initContainers": [{"name": "app", "image": "a:1"}],
            }))],
            "spec.podTemplate.spec",
            "must differ",
        ),
        (
            vec![pods(
                json!({"containers": vec![json!({"name": "app", "image": "a:1"}); 17]}),
            )],
            "spec.podTemplate.spec.containers",
            "at most 16 entries",
        ),
        (
            vec![of_pods(json!({"labels": {"wse.dev/revision": "1"}}))],
            "spec.podTemplate.metadata.labels",
            "are the operator's",
        ),
        (
            vec![of_pods(
                json!({"labels": {"app.kubernetes.io/name": "chat"}}),
            )],
            "spec.podTemplate.metadata.labels",
            "are the operator's",
        ),
        (
            vec![of_pods(json!({"annotations": {"wse.dev/draining": ""}}))],
            "spec.podTemplate.metadata.annotations",
            "are the operator's",
        ),
        (
            vec![("/spec/api/keys", json!([]))],
            "spec.api.keys",
            "at least 1 entries",
        ),
    ]
}

#[test]
fn each_rule_says_where_and_what_to_do() {
    for (changes, field, told) in cases() {
        let problems = check(&cluster(&changes));
        let [problem] = problems.as_slice() else {
            panic!("{changes:?}: {problems:?}");
        };
        assert_eq!(problem.field, field, "{problem}");
        assert!(problem.message.contains(told), "{problem}");
    }
}

/// The sentences of all rules in a schema.
fn sentences(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| sentences(item, found)),
        Value::Object(members) => {
            let rules = members.get("x-kubernetes-validations");
            for rule in rules.and_then(Value::as_array).into_iter().flatten() {
                let sentence = rule["message"].as_str();
                found.insert(sentence.expect("every rule has a sentence").to_owned());
            }
            members.values().for_each(|it| sentences(it, found));
        }
        _ => {}
    }
}

#[test]
fn every_sentence_of_the_definition_is_told_by_a_case() {
    let mut rules = BTreeSet::new();
    sentences(&serde_json::to_value(crd()).unwrap(), &mut rules);
    let mut told = BTreeSet::new();
    for (changes, ..) in cases() {
        told.extend(check(&cluster(&changes)).into_iter().map(|it| it.message));
    }
    told.extend(other_partitions().into_iter().map(|it| it.message));
    let untold: Vec<&String> = rules.difference(&told).collect();
    assert!(untold.is_empty(), "{untold:#?}");
    assert!(rules.len() >= 20, "the rules were found");
}

fn other_partitions() -> Vec<Problem> {
    let changed = cluster(&[("/spec/backplane/redis/partitions", json!(32))]);
    assert_eq!(check(&changed), []);
    check_change(&cluster(&[]), &changed)
}

#[test]
fn partitions_stay_what_they_were() {
    let problems = other_partitions();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, "spec.backplane.redis.partitions");
    assert!(problems[0].message.contains("make a new WseCluster"));
}
