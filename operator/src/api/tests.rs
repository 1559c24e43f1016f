//! The rules of the CRD, one broken at a time.

use serde_json::{Value, json};

use super::{WseCluster, check, check_change};

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
    let alone = [("/spec/backplane", json!({})), ("/spec/scaling", json!({}))];
    assert_eq!(check(&cluster(&alone)), []);
}

/// Changes of the valid cluster, and the field and words of the one problem that they make.
type Case<'a> = (&'a [(&'a str, Value)], &'a str, &'a str);

#[test]
fn each_rule_says_where_and_what_to_do() {
    let key = json!({"algorithm": "HS256", "secretKeyRef": {"name": "Chat JWT", "key": "secret"}});
    let cases: &[Case<'_>] = &[
        (
            &[("/metadata/name", json!("a".repeat(41)))],
            "",
            "at most 40 characters",
        ),
        (
            &[("/spec/backplane", json!({"type": "Memory"}))],
            "spec",
            "set `backplane.type: Redis`",
        ),
        (
            &[("/spec/capacity", json!({}))],
            "spec.capacity",
            "`expectedConnections` must be set",
        ),
        (
            &[("/spec/capacity/expectedConnections", json!(0))],
            "spec.capacity.expectedConnections",
            "at least 1",
        ),
        (
            &[("/spec/scaling/replicas", json!(0))],
            "spec.scaling.replicas",
            "at least 1",
        ),
        (
            &[("/spec/scaling/replicas", json!(101))],
            "spec.scaling.replicas",
            "at most 100",
        ),
        (
            &[("/spec/drain", json!({"windowSeconds": 61}))],
            "spec.drain",
            "less than or equal to `deadlineSeconds`",
        ),
        (
            &[("/spec/auth/mode", json!("None"))],
            "spec.auth",
            "set `allowAnonymous: true`",
        ),
        (
            &[("/spec/auth/keys", json!([]))],
            "spec.auth",
            "give `keys`, or `jwks`",
        ),
        (
            &[("/spec/auth/keys", json!([key]))],
            "spec.auth.keys[0].secretKeyRef.name",
            "must match",
        ),
        (
            &[("/spec/auth/jwks", json!({}))],
            "spec.auth.jwks",
            "exactly one of",
        ),
        (
            &[(
                "/spec/auth/allowedOrigins",
                json!(["*", "https://a.example"]),
            )],
            "spec.auth",
            "must stand alone",
        ),
        (
            &[("/spec/backplane/redis", Value::Null)],
            "spec.backplane",
            "must be given when",
        ),
        (
            &[
                ("/spec/backplane/type", json!("Memory")),
                ("/spec/scaling/replicas", json!(1)),
            ],
            "spec.backplane",
            "left out otherwise",
        ),
        (
            &[("/spec/backplane/redis/url", Value::Null)],
            "spec.backplane.redis",
            "exactly one of",
        ),
        (
            &[("/spec/backplane/redis/url", json!("http://redis"))],
            "spec.backplane.redis.url",
            "must begin with",
        ),
        (
            &[("/spec/backplane/redis/partitions", json!(0))],
            "spec.backplane.redis.partitions",
            "at least 1",
        ),
        (
            &[("/spec/api/keys", json!([]))],
            "spec.api.keys",
            "at least 1 entries",
        ),
    ];
    for (changes, field, told) in cases {
        let problems = check(&cluster(changes));
        let [problem] = problems.as_slice() else {
            panic!("{changes:?}: {problems:?}");
        };
        assert_eq!(problem.field, *field, "{problem}");
        assert!(problem.message.contains(told), "{problem}");
    }
}

#[test]
fn partitions_stay_what_they_were() {
    let changed = cluster(&[("/spec/backplane/redis/partitions", json!(32))]);
    assert_eq!(check(&changed), []);
    let problems = check_change(&cluster(&[]), &changed);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, "spec.backplane.redis.partitions");
    assert!(problems[0].message.contains("make a new WseCluster"));
}
