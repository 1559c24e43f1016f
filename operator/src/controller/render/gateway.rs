//! The gateway's container, with what a person's template adds to it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Subject, merge};
use crate::controller::names;

/// The user and group of the gateway's process; nobody's on a common distribution.
const USER: u32 = 65_532;

/// The container. `theirs`: the container of the same name in the template.
pub(super) fn container(
    subject: Subject<'_>,
    mut theirs: Map<String, Value>,
    overridden: &mut Vec<String>,
) -> Result<Value, String> {
    let path = "podTemplate.spec.containers[gateway]";
    let their_ports = merge::take_list(&mut theirs, "ports", path)?;
    let their_mounts = merge::take_list(&mut theirs, "volumeMounts", path)?;
    // The image's own entrypoint is the gateway.
    for field in ["command", "restartPolicy"] {
        if theirs.remove(field).is_some() {
            overridden.push(format!("{path}.{field}"));
        }
    }

    let mut ports = ports();
    merge::append(
        &mut ports,
        their_ports,
        |our, their| {
            let tcp = their["protocol"].as_str().unwrap_or("TCP") == "TCP";
            our["name"] == their["name"] || (tcp && our["containerPort"] == their["containerPort"])
        },
        &format!("{path}.ports"),
        overridden,
    );
    let mut mounts = mounts(subject);
    merge::append(
        &mut mounts,
        their_mounts,
        |our, their| our["mountPath"] == their["mountPath"],
        &format!("{path}.volumeMounts"),
        overridden,
    );
    let mut ours = object(json!({
        "name": names::GATEWAY,
        "image": subject.plan.image,
        "args": ["--config", format!("{}/{}", names::CONFIG_FOLDER, names::CONFIG_FILE)],
        "ports": ports,
        "volumeMounts": mounts,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }));
    ours.insert(
        "resources".into(),
        resources(subject, theirs.remove("resources")),
    );
    // One after another, so that theirs cannot mix a second kind of check into one of ours.
    for (name, probe) in probes() {
        if theirs.remove(name).is_some_and(|their| their != probe) {
            overridden.push(format!("{path}.{name}"));
        }
        ours.insert(name.into(), probe);
    }
    merge::under(&mut ours, &theirs, path, overridden);
    Ok(Value::Object(ours))
}

/// Theirs, and the tier's where theirs says nothing of a resource: half of one from each side may be
/// more at least than at most.
fn resources(subject: Subject<'_>, theirs: Option<Value>) -> Value {
    let asked = subject.plan.resources;
    let mut merged = theirs.unwrap_or_else(|| json!({}));
    let says = |name: &str| {
        ["limits", "requests"]
            .iter()
            .any(|kind| !merged[kind][name].is_null())
    };
    let (cpu, memory) = (!says("cpu"), !says("memory"));
    let bytes = asked.memory_bytes.to_string();
    let mut set = |kind: &str, name: &str, value: String| merged[kind][name] = value.into();
    if cpu {
        set("requests", "cpu", format!("{}m", asked.cpu_millicores));
    }
    if memory {
        set("requests", "memory", bytes.clone());
        set("limits", "memory", bytes);
    }
    merged
}

/// What the pod must have for the mounts.
pub(super) fn volumes(subject: Subject<'_>) -> Vec<Value> {
    let cluster = subject.cluster();
    let mut volumes = vec![
        json!({"name": "wse-config", "configMap": {"name": names::config_map(cluster)}}),
        json!({"name": "wse-admin", "secret": {"secretName": names::admin_secret(cluster)}}),
    ];
    let secrets = secrets(subject).into_iter().enumerate();
    volumes.extend(secrets.map(
        |(index, name)| json!({"name": secret_volume(index), "secret": {"secretName": name}}),
    ));
    volumes
}

fn mounts(subject: Subject<'_>) -> Vec<Value> {
    let mut mounts = vec![
        json!({"name": "wse-config", "mountPath": names::CONFIG_FOLDER, "readOnly": true}),
        json!({"name": "wse-admin", "mountPath": names::ADMIN_FOLDER, "readOnly": true}),
    ];
    let secrets = secrets(subject).into_iter().enumerate();
    mounts.extend(secrets.map(|(index, name)| {
        let path = format!("{}/{name}", names::SECRETS_FOLDER);
        json!({"name": secret_volume(index), "mountPath": path, "readOnly": true})
    }));
    mounts
}

/// Each once, in an order that does not depend on where they are named.
fn secrets(subject: Subject<'_>) -> BTreeSet<&str> {
    subject.spec.secrets().collect()
}

/// A volume's name has less room than a Secret's.
fn secret_volume(index: usize) -> String {
    format!("wse-secret-{index}")
}

fn ports() -> Vec<Value> {
    let port =
        |name: &str, port: u16| json!({"name": name, "containerPort": port, "protocol": "TCP"});
    vec![
        port("public", names::PUBLIC_PORT),
        port("api", names::API_PORT),
        port(names::ADMIN_PORT_NAME, names::ADMIN_PORT),
    ]
}

fn probes() -> [(&'static str, Value); 3] {
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": {"path": path, "port": names::ADMIN_PORT, "scheme": "HTTP"},
            "periodSeconds": period,
            "timeoutSeconds": 2,
            "failureThreshold": failures,
            "successThreshold": 1,
        })
    };
    [
        ("livenessProbe", probe("/live", 10, 3)),
        // `plan` counts on 2 s x 1: so long a pod that drains still gets new clients.
        ("readinessProbe", probe("/ready", 2, 1)),
        ("startupProbe", probe("/live", 1, 60)),
    ]
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => unreachable!("every caller gives an object"),
    }
}
