//! Putting a person's template underneath the operator's own.

use serde_json::{Map, Value};

/// Adds to `ours` what only `theirs` has. Where both say something else, ours stays, and the path is
/// added to `overridden`. A list is one value.
pub(super) fn under(
    ours: &mut Map<String, Value>,
    theirs: &Map<String, Value>,
    path: &str,
    overridden: &mut Vec<String>,
) {
    for (name, their) in theirs {
        match (ours.get_mut(name), their) {
            (None, their) => {
                ours.insert(name.clone(), their.clone());
            }
            (Some(Value::Object(our)), Value::Object(their)) => {
                under(our, their, &format!("{path}.{name}"), overridden);
            }
            (Some(our), their) if our != their => overridden.push(format!("{path}.{name}")),
            (Some(_), _) => {}
        }
    }
}

/// Appends to the list `ours` the entries of `theirs` that are not the `same` as one of ours; of the
/// others that differ from ours, the path is added to `overridden`.
pub(super) fn append(
    ours: &mut Vec<Value>,
    theirs: Vec<Value>,
    same: impl Fn(&Value, &Value) -> bool,
    path: &str,
    overridden: &mut Vec<String>,
) {
    let own = ours.len();
    for (index, their) in theirs.into_iter().enumerate() {
        match ours[..own].iter().find(|our| same(our, &their)) {
            None => ours.push(their),
            Some(our) if *our != their => overridden.push(format!("{path}[{index}]")),
            Some(_) => {}
        }
    }
}

/// Takes a list out of a template. None is an empty one.
///
/// # Errors
/// When it is no list of objects.
pub(super) fn take_list(
    from: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Vec<Value>, String> {
    match from.remove(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) if list.iter().all(Value::is_object) => Ok(list),
        Some(_) => Err(format!("{path}.{name} must be a list of objects")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn ours_stays_and_theirs_is_added() {
        let mut ours = map(json!({"a": 1, "b": {"c": 2}, "l": [1], "same": "x"}));
        let theirs = map(json!({"a": 9, "b": {"c": 9, "d": 3}, "e": 4, "l": [2], "same": "x"}));
        let mut overridden = Vec::new();
        under(&mut ours, &theirs, "spec", &mut overridden);
        let merged = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": 4, "l": [1], "same": "x"});
        assert_eq!(Value::Object(ours), merged);
        assert_eq!(overridden, ["spec.a", "spec.b.c", "spec.l"]);
    }

    #[test]
    fn entries_of_a_list_are_told_apart() {
        let mut ours = vec![json!({"name": "a", "v": 1})];
        let theirs = vec![
            json!({"name": "b"}),
            json!({"name": "a", "v": 2}),
            json!({"name": "a", "v": 1}),
        ];
        let mut overridden = Vec::new();
        append(
            &mut ours,
            theirs,
            |our, their| our["name"] == their["name"],
            "list",
            &mut overridden,
        );
        assert_eq!(ours, [json!({"name": "a", "v": 1}), json!({"name": "b"})]);
        assert_eq!(overridden, ["list[1]"]);
    }

    #[test]
    fn only_lists_of_objects_are_lists() {
        for (value, fine) in [
            (json!({}), true),
            (json!({"l": null}), true),
            (json!({"l": [{}]}), true),
            (json!({"l": {}}), false),
            (json!({"l": ["a"]}), false),
        ] {
            let taken = take_list(&mut map(value.clone()), "l", "spec");
            assert_eq!(taken.is_ok(), fine, "{value}");
        }
    }
}
