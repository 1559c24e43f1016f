//! Limits that the user set, apart from those that the tier gives.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use wse_sidecar::config::Limits;

/// The gateway's limits, each of which may be left out. What is left out is known to be, which the
/// gateway's own type cannot tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct LimitOverrides(Map<String, Value>);

impl LimitOverrides {
    /// The limits that were given, and `base` for the others.
    pub fn over(&self, base: &Limits) -> Limits {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(base) else {
            unreachable!("limits are a struct with named fields")
        };
        fields.extend(self.0.clone());
        // `deserialize` has read these very values into `Limits` once.
        serde_json::from_value(Value::Object(fields)).expect("limits were checked when read")
    }
}

impl<'de> Deserialize<'de> for LimitOverrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Map::deserialize(deserializer)?;
        let Ok(Value::Object(known)) = serde_json::to_value(Limits::default()) else {
            unreachable!("limits are a struct with named fields")
        };
        if let Some(unknown) = given.keys().find(|name| !known.contains_key(*name)) {
            return Err(D::Error::custom(format!("unknown field `{unknown}`")));
        }
        for (name, value) in &given {
            let one = Map::from_iter([(name.clone(), value.clone())]);
            serde_json::from_value::<Limits>(Value::Object(one))
                .map_err(|error| D::Error::custom(format!("`{name}`: {error}")))?;
        }
        Ok(Self(given))
    }
}

impl JsonSchema for LimitOverrides {
    fn schema_name() -> Cow<'static, str> {
        "LimitOverrides".into()
    }

    /// The gateway's schema without its defaults: an API server that filled them in would hide which
    /// limits were set.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Limits::json_schema(generator);
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for property in properties.into_iter().flat_map(Map::values_mut) {
            property.as_object_mut().map(|it| it.remove("default"));
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_comes_from_the_base() {
        let given: LimitOverrides = serde_json::from_str(r#"{"messageBytes": 1024}"#).unwrap();
        let base = Limits {
            subscriptions: 7,
            ..Limits::default()
        };
        let limits = given.over(&base);
        assert_eq!(limits.message_bytes, 1_024);
        assert_eq!(limits.subscriptions, 7);
    }

    #[test]
    fn a_wrong_name_or_value_is_told_by_name() {
        for (text, told) in [
            (r#"{"mesageBytes": 1}"#, "unknown field `mesageBytes`"),
            (r#"{"messageBytes": -1}"#, "`messageBytes`: "),
            (r#"{"messageBytes": "a"}"#, "`messageBytes`: "),
        ] {
            let error = serde_json::from_str::<LimitOverrides>(text).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
