//! The CustomResourceDefinition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value};

use super::WseCluster;

/// The definition that an API server is given, as `crds/wsecluster.yaml` holds it.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(WseCluster::crd()).expect("a CRD serialises to JSON");
    fit(&mut crd);
    serde_json::from_value(crd).expect("a CRD with fewer fields is still a CRD")
}

/// Makes the derived schemas mean in an API server what the types mean here.
fn fit(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(fit),
        Value::Object(fields) => {
            bound_unsigned(fields);
            // A null is what is not there: an API server drops it where nothing is said of it, and
            // keeps it where a schema has `nullable`, although not every type can read it.
            fields.remove("nullable");
            fields.values_mut().for_each(fit);
        }
        _ => {}
    }
}

/// Puts a bound in the place of `format: uint32` and the like. Kubernetes knows no unsigned formats,
/// and warns of each at every apply; a number that a type cannot hold must not be accepted, because
/// nobody could read the object that has it.
fn bound_unsigned(schema: &mut Map<String, Value>) {
    let bits = |format: &str| format.strip_prefix("uint")?.parse::<u32>().ok();
    let Some(bits) = schema.get("format").and_then(Value::as_str).and_then(bits) else {
        return;
    };
    schema.remove("format");
    let most = 2_u64.saturating_pow(bits).saturating_sub(1).min(LARGEST);
    schema.entry("maximum").or_insert(most.into());
}

/// The largest integer that every JSON number can be (2^53 - 1).
const LARGEST: u64 = 9_007_199_254_740_991;

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

    /// Calls for each schema of a field of the spec, with its path.
    fn each_field(schema: &Value, path: &str, look: &mut dyn FnMut(&str, &Value)) {
        look(path, schema);
        let members = schema["properties"].as_object();
        for (name, member) in members.into_iter().flatten() {
            each_field(member, &format!("{path}.{name}"), look);
        }
        for below in ["items", "additionalProperties"] {
            if schema[below].is_object() {
                each_field(&schema[below], &format!("{path}[]"), look);
            }
        }
    }

    fn spec() -> Value {
        let crd = serde_json::to_value(crd()).unwrap();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
    }

    /// A type of the spec may bring its rules along. Nothing in the status has the bounds without which
    /// an API server takes no rule, and then it takes nothing of the definition.
    #[test]
    fn no_rule_is_in_the_status() {
        let crd = serde_json::to_value(crd()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let status = &schema["properties"]["status"];
        assert!(status["properties"].is_object());
        assert!(!status.to_string().contains("x-kubernetes-validations"));
    }

    #[test]
    fn only_formats_that_kubernetes_knows_are_left() {
        let text = serde_json::to_string(&crd()).unwrap();
        assert!(!text.contains("uint"), "{text}");
    }

    #[test]
    fn an_api_server_accepts_nothing_that_cannot_be_read() {
        let mut integers = 0;
        each_field(&spec(), "spec", &mut |path, schema| {
            assert!(schema["nullable"].is_null(), "{path} accepts null");
            if schema["type"] == "integer" {
                integers += 1;
                let bounds = [&schema["minimum"], &schema["maximum"]];
                assert!(bounds.iter().all(|it| it.is_number()), "{path}: {bounds:?}");
            }
        });
        assert!(integers > 20);
    }

    #[test]
    fn what_people_write_is_bounded() {
        each_field(&spec(), "spec", &mut |path, schema| {
            // Kubernetes' own type, which no rule looks at.
            if path.contains("allowFrom[]") {
                return;
            }
            let bound = match schema["type"].as_str() {
                Some("array") => "maxItems",
                Some("object") if schema["additionalProperties"].is_object() => "maxProperties",
                Some("string") if schema["enum"].is_null() && !path.ends_with("[]") => "maxLength",
                _ => return,
            };
            assert!(schema[bound].is_number(), "{path} has no {bound}");
        });
    }
}
