//! The CustomResourceDefinition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::WseCluster;

/// The definition that an API server is given, as `crds/wsecluster.yaml` holds it.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(WseCluster::crd()).expect("a CRD serialises to JSON");
    drop_unsigned_formats(&mut crd);
    serde_json::from_value(crd).expect("a CRD without some formats is still a CRD")
}

/// Takes away `format: uint32` and the like: Kubernetes knows no unsigned formats and warns of each
/// at every apply. The bounds that say the same stay.
fn drop_unsigned_formats(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_unsigned_formats),
        Value::Object(fields) => {
            let unsigned =
                |format: &Value| format.as_str().is_some_and(|it| it.starts_with("uint"));
            if fields.get("format").is_some_and(unsigned) {
                fields.remove("format");
            }
            fields.values_mut().for_each(drop_unsigned_formats);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_definition_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/wsecluster.yaml");
        let committed = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            committed,
            serde_saphyr::to_string(&crd()).unwrap(),
            "write it again: cargo run -p wse-operator -- crd > crds/wsecluster.yaml"
        );
    }

    #[test]
    fn only_formats_that_kubernetes_knows_are_left() {
        let text = serde_json::to_string(&crd()).unwrap();
        assert!(!text.contains("uint"), "{text}");
    }
}
