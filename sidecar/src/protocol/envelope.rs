//! The envelope that subscribers receive, from the message that a backend sent (wse-protocol 1.5).

use std::borrow::Cow;

use bytes::Bytes;

use super::inbound::string;
use super::scan::{self, Invalid};

/// The published clients drop larger messages, and the Python client's socket closes with 1009.
pub const MAX_BYTES: usize = 1 << 20;

/// Top-level names that the published clients read as a position in a topic's stream. A message that
/// uses them for something else would be dropped as a duplicate, or end the topic.
const STAMPS: [&str; 6] = ["e", "epoch", "o", "offset", "topic", "tp"];

/// Why a message cannot be delivered to a client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EnvelopeError {
    /// `c` is not one of the three.
    #[error("`c` must be \"WSE\", \"S\" or \"U\"; leave it out to have it chosen by the type")]
    Category,
    /// A name that matters comes twice.
    #[error("the message has `{0}` twice")]
    Duplicate(&'static str),
    /// Nested deeper than the limit.
    #[error("the message is nested more than {0} deep")]
    TooDeep(u16),
    /// It would be larger than the published clients take.
    #[error("the message is larger than {MAX_BYTES} bytes, which clients do not take")]
    TooLarge,
    /// It is no JSON object.
    #[error("the message must be a JSON object")]
    NotObject,
    /// It has no type.
    #[error("the message must have a type `t` that is a string and not empty")]
    NoType,
    /// It uses a name that clients read as a position.
    #[error(
        "the message must not have `{0}` at its top level: clients read it as a position in a topic"
    )]
    Stamp(&'static str),
}

/// Makes an envelope: `c` is put first when it is missing, `type` and `payload` are renamed to `t` and
/// `p` (only one of the published clients knows the long names), and everything else stays byte for
/// byte. No `id` and no `ts` is added: clients drop messages by both.
///
/// # Errors
/// See [`EnvelopeError`].
pub fn prepare(message: &str, max_depth: u16) -> Result<Bytes, EnvelopeError> {
    let message = message.as_bytes();
    // Refused before it is parsed.
    if message.len() > MAX_BYTES {
        return Err(EnvelopeError::TooLarge);
    }
    let mut members = Members::new();
    scan::object(message, max_depth, |name, value| {
        members.push((name.text(), value));
    })
    .map_err(|invalid| match invalid {
        Invalid::Json => EnvelopeError::NotObject,
        Invalid::TooDeep => EnvelopeError::TooDeep(max_depth),
    })?;
    for name in STAMPS {
        if members.iter().any(|(key, _)| **key == *name.as_bytes()) {
            return Err(EnvelopeError::Stamp(name));
        }
    }
    let t = find(&members, "t")?;
    let p = find(&members, "p")?;
    let rename_type = t.is_none();
    let rename_payload = p.is_none() && find(&members, "payload")?.is_some();
    let kind = match t {
        Some(kind) => Some(kind),
        None => find(&members, "type")?,
    };
    let kind = kind
        .and_then(string)
        .filter(|kind| !kind.is_empty())
        .ok_or(EnvelopeError::NoType)?;
    let category = match find(&members, "c")?.map(string) {
        None => Some(category(&String::from_utf8_lossy(&kind))),
        Some(Some(given)) if [&b"S"[..], b"U", b"WSE"].contains(&&*given) => None,
        Some(_) => return Err(EnvelopeError::Category),
    };
    let envelope = if rename_type || rename_payload {
        renamed(&members, category, rename_type, rename_payload)
    } else {
        inserted(message, category)
    };
    if envelope.len() > MAX_BYTES {
        return Err(EnvelopeError::TooLarge);
    }
    Ok(envelope.into())
}

/// The category of a type (wse-protocol 1.5).
fn category(kind: &str) -> &'static str {
    const SYSTEM: [&str; 9] = [
        "PONG",
        "client_hello_ack",
        "connection_state_change",
        "error",
        "pong",
        "server_hello",
        "server_ready",
        "snapshot_complete",
        "subscription_update",
    ];
    if SYSTEM.contains(&kind) {
        "WSE"
    } else if kind.contains("_snapshot") || kind.starts_with("snapshot_") {
        "S"
    } else {
        "U"
    }
}

/// The message with the category as its first member, and without the space around it.
fn inserted(message: &[u8], category: Option<&str>) -> Vec<u8> {
    let message = message.trim_ascii();
    let Some(category) = category else {
        return message.to_vec();
    };
    let mut envelope = Vec::with_capacity(message.len() + 10);
    envelope.extend_from_slice(b"{\"c\":\"");
    envelope.extend_from_slice(category.as_bytes());
    // It has a member at least: its type.
    envelope.extend_from_slice(b"\",");
    envelope.extend_from_slice(&message[1..]);
    envelope
}

/// The message written anew with the short names.
fn renamed(
    members: &Members<'_>,
    category: Option<&str>,
    rename_type: bool,
    rename_payload: bool,
) -> Vec<u8> {
    let mut envelope = Vec::from(*b"{");
    if let Some(category) = category {
        envelope.extend_from_slice(format!("\"c\":\"{category}\",").as_bytes());
    }
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            envelope.push(b',');
        }
        let key = match &**key {
            b"type" if rename_type => b"t",
            b"payload" if rename_payload => b"p",
            key => key,
        };
        // Memory takes everything, and a string is JSON.
        let _ = serde_json::to_writer(&mut envelope, &String::from_utf8_lossy(key));
        envelope.push(b':');
        envelope.extend_from_slice(value);
    }
    envelope.push(b'}');
    envelope
}

/// The one member of this name.
fn find<'a>(members: &Members<'a>, name: &'static str) -> Result<Option<&'a [u8]>, EnvelopeError> {
    let mut found = members.iter().filter(|(key, _)| **key == *name.as_bytes());
    let first = found.next().map(|(_, value)| *value);
    if found.next().is_some() {
        return Err(EnvelopeError::Duplicate(name));
    }
    Ok(first)
}

/// An object's members in their order.
type Members<'a> = Vec<(Cow<'a, [u8]>, &'a [u8])>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_category_comes_first_and_the_rest_stays() {
        for (message, expected) in [
            (
                r#"{"t":"chat","p":{"a": 1}}"#,
                r#"{"c":"U","t":"chat","p":{"a": 1}}"#,
            ),
            (r#" { "t" : "chat" } "#, r#"{"c":"U", "t" : "chat" }"#),
            (r#"{"t":"chat","c":"S"}"#, r#"{"t":"chat","c":"S"}"#),
            (
                r#"{"t":"price_snapshot"}"#,
                r#"{"c":"S","t":"price_snapshot"}"#,
            ),
            (r#"{"t":"snapshot_all"}"#, r#"{"c":"S","t":"snapshot_all"}"#),
            (
                r#"{"t":"snapshot_complete"}"#,
                r#"{"c":"WSE","t":"snapshot_complete"}"#,
            ),
            (r#"{"t":"error"}"#, r#"{"c":"WSE","t":"error"}"#),
            (
                r#"{"type":"chat","payload":{"b":2},"x": [1.0, 2e3]}"#,
                r#"{"c":"U","t":"chat","p":{"b":2},"x":[1.0, 2e3]}"#,
            ),
            (r#"{"c":"U","type":"a"}"#, r#"{"c":"U","t":"a"}"#),
            (
                r#"{"t":"a","type":"b","payload":1}"#,
                r#"{"c":"U","t":"a","type":"b","p":1}"#,
            ),
            (
                r#"{"t":"a","p":1,"payload":2}"#,
                r#"{"c":"U","t":"a","p":1,"payload":2}"#,
            ),
        ] {
            let envelope = prepare(message, 64).unwrap();
            assert_eq!(std::str::from_utf8(&envelope).unwrap(), expected);
        }
    }

    #[test]
    fn what_clients_would_misread_is_refused() {
        let deep = format!(r#"{{"t":"a","p":{}{}}}"#, "[".repeat(70), "]".repeat(70));
        let large = format!(r#"{{"t":"a","p":"{}"}}"#, "x".repeat(MAX_BYTES - 15));
        for (message, expected) in [
            ("[]", EnvelopeError::NotObject),
            ("{\"t\":\"a\"", EnvelopeError::NotObject),
            ("{\"t\":\"a\"}{}", EnvelopeError::NotObject),
            ("{}", EnvelopeError::NoType),
            (r#"{"t":1}"#, EnvelopeError::NoType),
            (r#"{"t":""}"#, EnvelopeError::NoType),
            (r#"{"t":"a","t":"b"}"#, EnvelopeError::Duplicate("t")),
            (r#"{"t":"a","c":"X"}"#, EnvelopeError::Category),
            (r#"{"t":"a","c":null}"#, EnvelopeError::Category),
            (r#"{"t":"a","tp":"x"}"#, EnvelopeError::Stamp("tp")),
            (r#"{"t":"a","offset":1}"#, EnvelopeError::Stamp("offset")),
            (&deep, EnvelopeError::TooDeep(64)),
            // Fits until the category is put in.
            (&large, EnvelopeError::TooLarge),
        ] {
            assert_eq!(prepare(message, 64), Err(expected), "{message:.40}");
        }
    }

    proptest! {
        #[test]
        fn what_is_prepared_is_the_same_message_with_short_names(
            long in any::<bool>(), c in any::<bool>(), kind in "[a-z_]{1,9}", payload in "\\PC{0,20}", extra in "[f-n]{1,3}",
        ) {
            let mut object = serde_json::Map::new();
            object.insert(if long { "type" } else { "t" }.into(), kind.clone().into());
            object.insert(if long { "payload" } else { "p" }.into(), payload.clone().into());
            object.insert(extra.clone(), serde_json::json!([1, null]));
            if c {
                object.insert("c".into(), "S".into());
            }
            let envelope = prepare(&serde_json::to_string(&object).unwrap(), 64).unwrap();
            let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&envelope).unwrap();
            prop_assert_eq!(read.len(), 4);
            prop_assert_eq!(&read["t"], &kind);
            prop_assert_eq!(&read["p"], &payload);
            prop_assert_eq!(&read[&extra], &object[&extra]);
            prop_assert_eq!(&read["c"], if c { "S" } else { category(&kind) });
        }

        #[test]
        fn no_text_makes_it_panic(text in "([{}\\[\\]\":,\\\\tpc ]|\\PC){0,60}") {
            let _ = prepare(&text, 4);
        }
    }
}
