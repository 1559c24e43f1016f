//! The pods of the wanted revision. The ReplicaSets of older ones are not rendered: what they were
//! made from is not known any more, and only their counts change.

use serde_json::json;

use super::{Subject, Wanted, pod};
use crate::controller::kind::Kind;
use crate::controller::names;

/// The ReplicaSet, and what of the person's template it could not follow.
pub(super) struct Pods {
    pub(super) object: Wanted,
    pub(super) overridden: Vec<String>,
}

pub(super) fn wanted(subject: Subject<'_>) -> Result<Pods, String> {
    let cluster = subject.cluster();
    let [revision, ..] = subject.plan.revisions.as_slice() else {
        return Err("the plan wants no revision".into());
    };
    let name = names::replica_set(cluster, &revision.id);
    let template = pod::template(subject, &revision.id)?;
    let mut metadata = subject.metadata(&name);
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(names::REVISION.into(), revision.id.clone());
    // Not typed: fields of the person's template that are newer than this build must get through.
    let body = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata,
        "spec": {
            "replicas": revision.replicas,
            // It can never be changed.
            "selector": {"matchLabels": names::pods_of(cluster, &revision.id)},
            "template": template.value,
        },
    });
    Ok(Pods {
        object: Wanted::new(Kind::ReplicaSet, name, &body),
        overridden: template.overridden,
    })
}
