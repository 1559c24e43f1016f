//! The template that pods are made from: the operator's, with a person's underneath.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Subject, gateway, kernel, merge};
use crate::api::Spread;
use crate::controller::names;
use crate::plan::digest;

/// How long a gateway takes to end after its last session: calls under way have 5 s, and the process
/// 3 s to close what it has open.
const MARGIN_SECONDS: u32 = 10;
const PATH: &str = "podTemplate.spec";

/// Labels or annotations.
type Labels = BTreeMap<String, String>;

/// A pod template.
pub(super) struct Template {
    pub(super) value: Value,
    /// Paths of the person's fields that were replaced.
    pub(super) overridden: Vec<String>,
}

/// The template of the wanted revision.
///
/// # Errors
/// Says which list of the person's template is none.
pub(super) fn template(subject: Subject<'_>, revision: &str) -> Result<Template, String> {
    let mut overridden = Vec::new();
    let mut theirs = subject.spec.pod_template.spec.clone();
    let containers = merge::take_list(&mut theirs, "containers", PATH)?;
    let volumes = merge::take_list(&mut theirs, "volumes", PATH)?;
    let spread = merge::take_list(&mut theirs, "topologySpreadConstraints", PATH)?;
    let mut init = merge::take_list(&mut theirs, "initContainers", PATH)?;

    let (mut gateways, beside): (Vec<Value>, Vec<Value>) = containers
        .into_iter()
        .partition(|container| container["name"] == names::GATEWAY);
    let their_gateway = match gateways.pop() {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let container = gateway::container(subject, their_gateway, &mut overridden)?;
    init.extend(beside.into_iter().map(as_sidecar));

    let mut all_volumes = gateway::volumes(subject);
    merge::append(
        &mut all_volumes,
        volumes,
        |our, their| our["name"] == their["name"],
        &format!("{PATH}.volumes"),
        &mut overridden,
    );
    let mut all_spread = constraints(subject, revision);
    merge::append(
        &mut all_spread,
        spread,
        |our, their| {
            ["topologyKey", "whenUnsatisfiable"]
                .iter()
                .all(|field| our[field] == their[field])
        },
        &format!("{PATH}.topologySpreadConstraints"),
        &mut overridden,
    );

    let mut pod = Map::new();
    pod.insert("containers".into(), json!([container]));
    pod.insert("volumes".into(), json!(all_volumes));
    if !init.is_empty() {
        pod.insert("initContainers".into(), json!(init));
    }
    if !all_spread.is_empty() {
        pod.insert("topologySpreadConstraints".into(), json!(all_spread));
    }
    pod.insert("restartPolicy".into(), json!("Always"));
    pod.insert("serviceAccountName".into(), json!(subject.cluster()));
    pod.insert(
        "terminationGracePeriodSeconds".into(),
        json!(grace(subject)),
    );
    let token = theirs.remove("automountServiceAccountToken");
    let token = token.unwrap_or(Value::Bool(false));
    pod.insert("automountServiceAccountToken".into(), token);
    merge::under(&mut pod, &theirs, PATH, &mut overridden);
    let tuning = &subject.plan.tuning;
    kernel::settle(
        &mut pod,
        &tuning.sysctls,
        tuning.restricted,
        &mut overridden,
    )?;

    let metadata = metadata(subject, revision, &mut overridden);
    Ok(Template {
        value: json!({"metadata": metadata, "spec": pod}),
        overridden,
    })
}

/// It starts before the gateway, and ends after it, so that an application sees every session end.
fn as_sidecar(mut container: Value) -> Value {
    container["restartPolicy"] = json!("Always");
    container
}

/// A drain that a SIGTERM begins must be able to end.
fn grace(subject: Subject<'_>) -> u32 {
    let drain = &subject.plan.config.drain;
    drain.wait_seconds + drain.deadline_seconds + MARGIN_SECONDS
}

fn metadata(subject: Subject<'_>, revision: &str, overridden: &mut Vec<String>) -> Value {
    let their = subject
        .spec
        .pod_template
        .metadata
        .clone()
        .unwrap_or_default();
    let mut labels = names::labels(subject.cluster());
    labels.insert(names::REVISION.into(), revision.into());
    let annotations = [(names::CONFIG.into(), digest(&subject.plan.config))].into();
    let mut over = |ours: Labels, mut merged: Labels, field| {
        for (key, value) in ours {
            if merged.insert(key.clone(), value).is_some() {
                overridden.push(format!("podTemplate.metadata.{field}.{key}"));
            }
        }
        merged
    };
    let labels = over(labels, their.labels, "labels");
    let annotations = over(annotations, their.annotations, "annotations");
    json!({"labels": labels, "annotations": annotations})
}

/// Counts only pods of one revision, so that those which are about to go do not push new ones aside.
fn constraints(subject: Subject<'_>, revision: &str) -> Vec<Value> {
    let keys: &[&str] = match subject.spec.disruption.spread {
        Spread::None => &[],
        Spread::Node => &["kubernetes.io/hostname"],
        Spread::Zone => &["topology.kubernetes.io/zone", "kubernetes.io/hostname"],
    };
    let over = |key: &&str| {
        json!({
            "topologyKey": key,
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": names::pods_of(subject.cluster(), revision)},
        })
    };
    keys.iter().map(over).collect()
}
