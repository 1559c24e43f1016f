//! What pods mount: the configuration and the admin token; and who they are.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};

use super::{Subject, Wanted, metadata};
use crate::controller::kind::Kind;
use crate::controller::names;
use crate::controller::root::Root;
use crate::plan::Plan;

pub(super) fn config_map(subject: Subject<'_>) -> Wanted {
    let name = names::config_map(subject.cluster());
    let body = ConfigMap {
        metadata: subject.metadata(&name),
        data: Some([(names::CONFIG_FILE.into(), text(subject.plan))].into()),
        ..ConfigMap::default()
    };
    Wanted::new(Kind::ConfigMap, name, &body)
}

/// The Secret with the admin token, which is made once and kept.
pub(in crate::controller) fn admin_secret(root: &Root, token: &str) -> Wanted {
    let name = names::admin_secret(root.name());
    let body = Secret {
        metadata: metadata(root, &name),
        type_: Some("Opaque".into()),
        data: Some([(names::TOKEN.into(), ByteString(token.as_bytes().to_vec()))].into()),
        ..Secret::default()
    };
    Wanted::new(Kind::Secret, name, &body)
}

pub(super) fn service_account(subject: Subject<'_>) -> Wanted {
    let name = subject.cluster().to_owned();
    let body = ServiceAccount {
        metadata: subject.metadata(&name),
        // A gateway asks Kubernetes nothing.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    Wanted::new(Kind::ServiceAccount, name, &body)
}

fn text(plan: &Plan) -> String {
    let mut text =
        serde_json::to_string_pretty(&plan.config).expect("a configuration serialises to JSON");
    text.push('\n');
    text
}
