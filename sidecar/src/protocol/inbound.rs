//! Reading what a client sent, in place: nothing is copied but strings with escapes.

use std::borrow::Cow;

use super::scan::{self, Invalid};

/// A client's message: its type, and its payload still as text.
#[derive(Debug)]
pub(super) struct Inbound<'a> {
    /// By `t`, or `type`.
    pub(super) kind: Type,
    /// `p`, or `payload`.
    pub(super) payload: Option<&'a [u8]>,
}

/// What a message is to this side (wse-protocol 1.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Type {
    /// Several messages.
    Batch,
    /// Introduces the client.
    Hello,
    /// An answer to what the gateway does not ask, or a question that no server answers.
    Ignored,
    /// A heartbeat.
    Ping,
    /// Asks for the state of topics.
    Snapshot,
    /// Changes subscriptions.
    Subscription,
    /// Anything else: an application's.
    Other,
}

impl Type {
    fn of(name: &[u8]) -> Self {
        match name {
            b"PING" | b"ping" => Self::Ping,
            b"batch" => Self::Batch,
            b"client_hello" => Self::Hello,
            b"subscription" | b"subscription_update" => Self::Subscription,
            b"request_snapshot" | b"snapshot_request" | b"sync_request" => Self::Snapshot,
            b"PONG"
            | b"config_request"
            | b"config_update_request"
            | b"debug_request"
            | b"encryption_request"
            | b"health_check_response"
            | b"key_rotation_request"
            | b"metrics_response"
            | b"pong"
            | b"sync_response" => Self::Ignored,
            _ => Self::Other,
        }
    }
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

impl From<Invalid> for Malformed {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Json => Self::Json,
            Invalid::TooDeep => Self::TooDeep,
        }
    }
}

/// Reads a message, which is valid UTF-8. Of keys that come twice the last counts, as in the clients' own
/// parsers; `t` and `p` count before `type` and `payload` (wse-protocol 1.5).
pub(super) fn parse(json: &[u8], max_depth: u16) -> Result<Inbound<'_>, Malformed> {
    let (mut t, mut r#type, mut p, mut payload) = (None, None, None, None);
    let mut keep = |name: &[u8], value| {
        let field = match name {
            b"p" => &mut p,
            b"payload" => &mut payload,
            b"t" => &mut t,
            b"type" => &mut r#type,
            _ => return,
        };
        *field = Some(value);
    };
    scan::object(json, max_depth, |name, value| match name.plain() {
        Some(name) => keep(name, value),
        None => keep(&name.text(), value),
    })?;
    let name = t.or(r#type).and_then(string).ok_or(Malformed::NoType)?;
    Ok(Inbound {
        kind: Type::of(&name),
        payload: p.or(payload),
    })
}

/// A field of an object that a message contains. None when there is none, or when the value is no object.
pub(super) fn field<'a>(object: Option<&'a [u8]>, name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    // The whole message has been read, and so deep as it may be.
    scan::object(object?, u16::MAX, |its, value| {
        if *its.text() == *name.as_bytes() {
            found = Some(value);
        }
    })
    .ok()?;
    found
}

/// A value that is a string.
pub(super) fn string(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inside.contains(&b'\\') {
        return Some(Cow::Borrowed(inside));
    }
    let text: String = serde_json::from_slice(value).ok()?;
    Some(Cow::Owned(text.into_bytes()))
}

/// A value that is a list of strings.
pub(super) fn strings(value: &[u8]) -> Option<Vec<Box<str>>> {
    serde_json::from_slice(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_and_payloads_are_found_under_both_names() {
        for (json, kind, payload) in [
            (
                r#"{"t":"ping","p":{"x":1}}"#,
                Type::Ping,
                Some(r#"{"x":1}"#),
            ),
            (r#"{"type":"a","payload":[1]}"#, Type::Other, Some("[1]")),
            (r#"{"type":"batch","t":"ping"}"#, Type::Ping, None),
            (r#" {"c":"U","v":1,"t":"pin\u0067"} "#, Type::Ping, None),
            (r#"{"\u0074":"pong","\ud800":1,"":2}"#, Type::Ignored, None),
            (
                r#"{"t":"ping","t":"batch","p":1,"p":2}"#,
                Type::Batch,
                Some("2"),
            ),
        ] {
            let inbound = parse(json.as_bytes(), 64).unwrap();
            assert_eq!(inbound.kind, kind, "{json}");
            assert_eq!(inbound.payload, payload.map(str::as_bytes), "{json}");
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
            ("{\"t\":\"\\ud800\"}", Malformed::NoType),
            (&deep, Malformed::TooDeep),
        ] {
            assert_eq!(parse(json.as_bytes(), 64).unwrap_err(), expected, "{json}");
        }
    }

    #[test]
    fn fields_are_found_in_objects_only() {
        let object = br#"{"a":1,"b":[2],"a":3}"#;
        assert_eq!(field(Some(object), "a"), Some(&b"3"[..]));
        assert_eq!(field(Some(object), "c"), None);
        assert_eq!(field(Some(b"[1]"), "a"), None);
        assert_eq!(field(None, "a"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, 4);
        }
    }
}
