//! What an API server would refuse, found without one: the bounds of the schema and the CEL rules.

use std::fmt;

use kube::core::cel::ValidationErrors;
use regex::Regex;
use serde_json::{Map, Value};

use super::{WseCluster, crd};

/// One thing that is wrong, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Dotted path of the field, such as `spec.scaling.replicas`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.message),
            field => write!(f, "{field}: {}", self.message),
        }
    }
}

/// Everything that an API server would refuse about a new cluster.
pub fn check(cluster: &WseCluster) -> Vec<Problem> {
    let mut problems = out_of_bounds(cluster);
    problems.extend(broken_rules(cluster.validate_cel()));
    problems
}

/// Everything that an API server would refuse about changing `old` into `new`.
pub fn check_change(old: &WseCluster, new: &WseCluster) -> Vec<Problem> {
    let mut problems = out_of_bounds(new);
    problems.extend(broken_rules(new.validate_cel_update(old)));
    problems
}

fn broken_rules(result: Result<(), ValidationErrors>) -> Vec<Problem> {
    let errors = result.err().map(ValidationErrors::into_vec);
    errors
        .into_iter()
        .flatten()
        .map(|error| Problem {
            field: error.field_path,
            message: error.message,
        })
        .collect()
}

fn out_of_bounds(cluster: &WseCluster) -> Vec<Problem> {
    let crd = crd();
    let schema = crd.spec.versions.first().and_then(|version| {
        let schema = version.schema.as_ref()?;
        serde_json::to_value(schema.open_api_v3_schema.as_ref()?).ok()
    });
    let (Some(schema), Ok(value)) = (schema, serde_json::to_value(cluster)) else {
        unreachable!("the derived CRD has one version with a schema, and a cluster is JSON")
    };
    let mut problems = Vec::new();
    walk(&schema, &value, String::new(), &mut problems);
    problems
}

fn walk(schema: &Value, value: &Value, field: String, problems: &mut Vec<Problem>) {
    if let Some(message) = bound(schema, value) {
        problems.push(Problem {
            field: field.clone(),
            message,
        });
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(
                    &schema["items"],
                    item,
                    format!("{field}[{index}]"),
                    problems,
                );
            }
        }
        Value::Object(members) => {
            let dot = if field.is_empty() { "" } else { "." };
            let known = schema["properties"].as_object();
            for (name, schema) in known.into_iter().flat_map(Map::iter) {
                if let Some(member) = members.get(name) {
                    walk(schema, member, format!("{field}{dot}{name}"), problems);
                }
            }
        }
        _ => {}
    }
}

/// What the value's own bounds say against it.
fn bound(schema: &Value, value: &Value) -> Option<String> {
    let (least, most, unit, size) = match value {
        Value::Array(items) => ("minItems", "maxItems", " entries", items.len() as f64),
        Value::Object(members) => (
            "minProperties",
            "maxProperties",
            " entries",
            members.len() as f64,
        ),
        Value::Number(number) => ("minimum", "maximum", "", number.as_f64()?),
        Value::String(text) => {
            let characters = text.chars().count() as f64;
            ("minLength", "maxLength", " characters", characters)
        }
        _ => return None,
    };
    if let Some(least) = schema[least].as_f64().filter(|&least| size < least) {
        return Some(format!("must be at least {least}{unit}"));
    }
    if let Some(most) = schema[most].as_f64().filter(|&most| size > most) {
        return Some(format!("must be at most {most}{unit}"));
    }
    let pattern = schema["pattern"].as_str()?;
    let expression = Regex::new(pattern).expect("the patterns in `api` are constants and compile");
    (!expression.is_match(value.as_str()?)).then(|| format!("must match `{pattern}`"))
}
