//! A plan as Kubernetes objects. In come the cluster and its [`Plan`]; out come the objects that
//! should be, whole and in the order in which they are applied. Pure: what is there already makes no
//! difference here.

mod files;
mod gateway;
mod kernel;
mod merge;
mod pod;
mod policies;
mod replica_set;
mod services;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;

use super::kind::Kind;
use super::names;
use super::root::Root;
use crate::api::WseClusterSpec;
use crate::plan::{Plan, Trial};

pub(super) use self::files::admin_secret;

/// An object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Every field that the operator owns.
    pub(super) body: Value,
}

impl Wanted {
    fn new(kind: Kind, name: String, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).expect("Kubernetes objects serialise to JSON");
        Self { kind, name, body }
    }
}

/// What a plan comes to.
#[derive(Debug)]
pub(super) struct Rendered {
    /// Without the admin Secret, whose content is not planned.
    pub(super) objects: Vec<Wanted>,
    /// Fields of `spec.podTemplate` that the operator's own replaced.
    pub(super) overridden: Vec<String>,
}

/// What objects are rendered from.
#[derive(Clone, Copy)]
struct Subject<'a> {
    root: &'a Root,
    spec: &'a WseClusterSpec,
    plan: &'a Plan,
}

impl Subject<'_> {
    fn cluster(&self) -> &str {
        self.root.name()
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        metadata(self.root, name)
    }
}

/// Renders all but the admin Secret.
///
/// # Errors
/// Says what of `spec.podTemplate` is not what it should be.
pub(super) fn render(root: &Root, spec: &WseClusterSpec, plan: &Plan) -> Result<Rendered, String> {
    let subject = Subject { root, spec, plan };
    let pods = replica_set::wanted(subject)?;
    let objects = vec![
        files::config_map(subject),
        files::service_account(subject),
        pods.object,
        services::public(subject),
        services::api(subject),
        policies::disruption_budget(subject),
        policies::network_policy(subject),
    ];
    Ok(Rendered {
        objects,
        overridden: pods.overridden,
    })
}

/// Renders the pod that tries kernel settings.
///
/// # Errors
/// As [`render`].
pub(super) fn preflight(
    root: &Root,
    spec: &WseClusterSpec,
    plan: &Plan,
    trial: &Trial,
) -> Result<Value, String> {
    kernel::preflight(Subject { root, spec, plan }, trial)
}

fn metadata(root: &Root, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(root.namespace().into()),
        labels: Some(names::labels(root.name())),
        owner_references: Some(vec![root.owner()]),
        ..ObjectMeta::default()
    }
}

/// None when there is nothing: an empty map in an applied object would own the field.
fn some(map: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| map.clone())
}
