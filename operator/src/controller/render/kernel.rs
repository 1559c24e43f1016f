//! Kernel settings in a pod, and the pod that tries them.

use serde_json::{Map, Value, json};

use super::{Subject, merge, metadata, pod};
use crate::controller::names;
use crate::plan::Trial;
use crate::sysctl::{ALLOWED, ALLOWED_LABEL, Setting};

const PATH: &str = "podTemplate.spec.securityContext";

/// Gives a pod its kernel settings. Those of the person's template are among the plan's settings, or
/// are left out for a reason that the plan tells; so what the template says itself is replaced.
///
/// # Errors
/// Says what of the template is not what it should be.
pub(super) fn settle(
    spec: &mut Map<String, Value>,
    settings: &[Setting],
    restricted: bool,
    overridden: &mut Vec<String>,
) -> Result<(), String> {
    let context = spec.entry("securityContext").or_insert(Value::Null);
    if context.is_null() {
        *context = json!({});
    }
    let Some(context) = context.as_object_mut() else {
        return Err(format!("{PATH} must be an object"));
    };
    let theirs = merge::take_list(context, "sysctls", PATH)?;
    for their in &theirs {
        let ours = settings.iter().find(|it| their["name"] == it.name);
        if ours.is_some_and(|it| their["value"] != it.value) {
            let name = their["name"].as_str().unwrap_or_default();
            overridden.push(format!("{PATH}.sysctls[{name}]"));
        }
    }
    let setting = |it: &Setting| json!({"name": it.name, "value": it.value});
    if !settings.is_empty() {
        let all: Vec<Value> = settings.iter().map(setting).collect();
        context.insert("sysctls".into(), all.into());
    }
    if context.is_empty() {
        spec.remove("securityContext");
    }
    if restricted {
        restrict(spec)?;
    }
    Ok(())
}

/// Keeps a pod to the nodes that say that they allow unsafe settings, whoever else is kept away there.
fn restrict(spec: &mut Map<String, Value>) -> Result<(), String> {
    let selector = spec.entry("nodeSelector").or_insert_with(|| json!({}));
    if selector.is_null() {
        *selector = json!({});
    }
    let Some(selector) = selector.as_object_mut() else {
        return Err("podTemplate.spec.nodeSelector must be an object".into());
    };
    selector.insert(ALLOWED_LABEL.into(), ALLOWED.into());
    let mut tolerations = merge::take_list(spec, "tolerations", "podTemplate.spec")?;
    let ours = json!({"key": ALLOWED_LABEL, "operator": "Exists"});
    if !tolerations.contains(&ours) {
        tolerations.push(ours);
    }
    spec.insert("tolerations".into(), tolerations.into());
    Ok(())
}

/// The pod that tries settings: it lands where the fleet's pods would, with the same rights, runs the
/// gateway's image for a moment, and is made by nobody again. It has none of the labels by which
/// Services find gateways.
///
/// # Errors
/// Says what of the template is not what it should be.
pub(super) fn preflight(subject: Subject<'_>, trial: &Trial) -> Result<Value, String> {
    let template = pod::template(subject, "")?;
    let mut spec = match template.value {
        Value::Object(mut template) => match template.remove("spec") {
            Some(Value::Object(spec)) => spec,
            _ => Map::new(),
        },
        _ => Map::new(),
    };
    for field in [
        "initContainers",
        "readinessGates",
        "topologySpreadConstraints",
        "volumes",
    ] {
        spec.remove(field);
    }
    let gateway = spec.remove("containers").unwrap_or_default();
    let gateway = &gateway[0];
    let mut container = json!({
        "name": names::GATEWAY,
        "image": gateway["image"],
        "args": ["--version"],
        "securityContext": gateway["securityContext"],
        // It needs next to nothing, and a namespace with a quota takes no pod that does not say so.
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "32Mi"}},
    });
    if let Some(policy) = gateway.get("imagePullPolicy") {
        container["imagePullPolicy"] = policy.clone();
    }
    spec.insert("containers".into(), json!([container]));
    spec.insert("restartPolicy".into(), "Never".into());
    spec.insert("terminationGracePeriodSeconds".into(), 0.into());
    settle(&mut spec, &trial.sysctls, true, &mut Vec::new())?;

    let mut metadata = metadata(subject.root, &names::preflight(subject.cluster()));
    metadata.labels = Some(names::preflight_labels(subject.cluster()));
    let digest = (names::TRIES.into(), trial.digest.clone());
    metadata.annotations = Some([digest].into());
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
    }))
}
