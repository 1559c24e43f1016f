//! Reading what a client sent, in place: nothing is copied but strings with escapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A client's message: its type, and its payload still as text.
#[derive(Debug)]
pub(super) struct Inbound<'a> {
    /// `t`, or `type`.
    pub(super) kind: Cow<'a, str>,
    /// `p`, or `payload`.
    pub(super) payload: Option<&'a RawValue>,
}

/// Why a message was not understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Malformed {
    /// It is no JSON object.
    Json,
    /// It has no `t` that is a string.
    NoType,
    /// It is nested too deeply.
    TooDeep,
}

impl Malformed {
    /// Error code and text for the client.
    pub(super) fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("INVALID_MESSAGE", "the message is not a JSON object"),
            Self::NoType => ("PROTOCOL_ERROR", "the message has no type `t`"),
            Self::TooDeep => ("INVALID_MESSAGE", "the message is nested too deeply"),
        }
    }
}

/// Reads a message. Of keys that come twice the last counts, as in the clients' own parsers; `t` and
/// `p` count before `type` and `payload` (wse-protocol 1.5).
pub(super) fn parse(json: &[u8], max_depth: u16) -> Result<Inbound<'_>, Malformed> {
    if is_deeper(json, max_depth.into()) {
        return Err(Malformed::TooDeep);
    }
    let fields: Fields<'_> = serde_json::from_slice(json).map_err(|_| Malformed::Json)?;
    let kind = fields.t.or(fields.r#type).ok_or(Malformed::NoType)?;
    let kind = string(kind).ok_or(Malformed::NoType)?;
    Ok(Inbound {
        kind,
        payload: fields.p.or(fields.payload),
    })
}

/// A field of an object. None when there is none, or when the value is no object.
pub(super) fn field<'a>(object: Option<&'a RawValue>, name: &str) -> Option<&'a RawValue> {
    struct Find<'n>(&'n str);
    impl<'de> Visitor<'de> for Find<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(Text(key)) = map.next_key()? {
                if key == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut json = serde_json::Deserializer::from_str(object?.get());
    json.deserialize_map(Find(name)).ok().flatten()
}

/// A value that is a string.
pub(super) fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(value.get())
        .ok()
        .map(|text| text.0)
}

/// A value that is a list of strings.
pub(super) fn strings(value: &RawValue) -> Option<Vec<Box<str>>> {
    serde_json::from_str(value.get()).ok()
}

/// Whether arrays and objects are nested more than `max` deep. Text that is no JSON has any answer.
pub(super) fn is_deeper(json: &[u8], max: usize) -> bool {
    // Each level needs an opening and a closing byte.
    if json.len() / 2 <= max {
        return false;
    }
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// A string, borrowed when it has no escapes.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl<'de> Visitor<'de> for AnyText {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(AnyText)
    }
}

#[derive(Default)]
struct Fields<'a> {
    t: Option<&'a RawValue>,
    r#type: Option<&'a RawValue>,
    p: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyFields;
        impl<'de> Visitor<'de> for AnyFields {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some(Text(key)) = map.next_key()? {
                    let field = match &*key {
                        "p" => &mut fields.p,
                        "payload" => &mut fields.payload,
                        "t" => &mut fields.t,
                        "type" => &mut fields.r#type,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *field = Some(map.next_value()?);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(AnyFields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_and_payloads_are_found_under_both_names() {
        for (json, kind, payload) in [
            (r#"{"t":"a","p":{"x":1}}"#, "a", Some(r#"{"x":1}"#)),
            (r#"{"type":"a","payload":[1]}"#, "a", Some("[1]")),
            (r#"{"type":"b","t":"a"}"#, "a", None),
            (r#" {"c":"U","v":1,"t":"a\u0062"} "#, "ab", None),
            (r#"{"t":"a","t":"b","p":1,"p":2}"#, "b", Some("2")),
        ] {
            let inbound = parse(json.as_bytes(), 64).unwrap();
            assert_eq!(inbound.kind, kind, "{json}");
            assert_eq!(inbound.payload.map(RawValue::get), payload, "{json}");
        }
    }

    #[test]
    fn what_is_no_message_is_told_apart() {
        let deep = format!("{{\"t\":\"a\",\"p\":{}{}}}", "[".repeat(99), "]".repeat(99));
        for (json, expected) in [
            ("", Malformed::Json),
            ("[]", Malformed::Json),
            ("{\"t\":\"a\"", Malformed::Json),
            ("{\"t\":\"a\"} x", Malformed::Json),
            ("hello", Malformed::Json),
            ("{}", Malformed::NoType),
            ("{\"t\":7}", Malformed::NoType),
            (&deep, Malformed::TooDeep),
        ] {
            assert_eq!(parse(json.as_bytes(), 64).unwrap_err(), expected, "{json}");
        }
    }

    #[test]
    fn fields_are_found_in_objects_only() {
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        let object = raw(r#"{"a":1,"b":[2],"a":3}"#);
        assert_eq!(field(Some(&object), "a").unwrap().get(), "3");
        assert!(field(Some(&object), "c").is_none());
        assert!(field(Some(&raw("[1]")), "a").is_none());
        assert!(field(None, "a").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, 4);
        }

        #[test]
        fn depth_is_counted_outside_strings(depth in 1_usize..40, max in 1_usize..40, text in "[\\[\\]{}a]{0,9}") {
            let json = format!("{}{}{}", "[".repeat(depth), serde_json::to_string(&text).unwrap(), "]".repeat(depth));
            prop_assert_eq!(is_deeper(json.as_bytes(), max), depth > max);
        }
    }
}
