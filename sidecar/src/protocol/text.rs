//! What this side says by itself, as JSON text (wse-protocol 1.2, 1.6, 1.7, 1.10). `c` and `t` come
//! first everywhere: the Python client looks for `"t":"PONG"` and `"t":"ping"` in the first 25
//! characters. Nothing here has an `id` that repeats or a `ts` that can be old, because the clients
//! drop messages by both (wse-protocol 1.5).

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Limits;
use crate::hub::{Ack, Action, ConnectionId, Refused};

/// Writes to memory, which cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        // A `Vec` takes everything.
        let _ = write!($out, $($arg)*);
    };
}

/// The protocol version that this side speaks at most (wse-protocol 1.2).
const PROTOCOL_VERSION: u64 = 2;

/// What the server can do. Only what is true: the clients act on `recovery` and `encryption`.
/// `batching` says that a client may send `batch`.
const FEATURES: &str = r#""compression":false,"encryption":false,"batching":true,"priority_queue":false,"recovery":false"#;

/// Bytes of refused names that an acknowledgement lists; escaped they are six times as many at worst.
const ACK_BYTES: usize = 128 << 10;

/// Bytes of refused names that an error lists, twice.
const ERROR_BYTES: usize = 16 << 10;

/// What a name in a list costs beside itself: quotes and a comma.
const NAME_BYTES: usize = 3;

/// The first message of a session.
pub(super) fn server_ready(out: &mut Vec<u8>, id: &ConnectionId, user: &str, wall: SystemTime) {
    let time = time(wall);
    put!(
        out,
        r#"{{"c":"WSE","t":"server_ready","p":{{"message":"ready","details":{{"version":1,"features":{{{FEATURES},"circuit_breaker":false,"rust_transport":true,"rust_jwt":true}},"connection_id":{},"server_time":"{time}","user_id":{}}}}},"id":"{}","ts":"{time}","seq":1,"v":1}}"#,
        json(id.as_str()),
        json(user),
        uuid::Uuid::now_v7(),
    );
}

/// The answer to `client_hello`.
pub(super) fn server_hello(
    out: &mut Vec<u8>,
    id: &ConnectionId,
    client_version: u64,
    limits: &Limits,
    wall: SystemTime,
) {
    put!(
        out,
        r#"{{"c":"WSE","t":"server_hello","p":{{"server_version":"{}","protocol_version":{},"features":{{{FEATURES},"cluster":true,"msgpack":false}},"limits":{{"max_message_size":{}"#,
        env!("CARGO_PKG_VERSION"),
        client_version.clamp(1, PROTOCOL_VERSION),
        limits.message_bytes,
    );
    // Without a limit there is no number to tell.
    if limits.messages_per_second > 0 {
        let rate = limits.messages_per_second;
        put!(
            out,
            r#","rate_limit_capacity":{rate},"rate_limit_refill":{rate}"#
        );
    }
    put!(
        out,
        r#"}},"ping_interval":{},"connection_id":{},"server_time":"{}"}},"v":1}}"#,
        u64::from(limits.ping_seconds) * 1_000,
        json(id.as_str()),
        time(wall),
    );
}

/// The answer to a `ping`; `echo` is the client's timestamp as it wrote it.
pub(super) fn pong(out: &mut Vec<u8>, echo: &str, wall: SystemTime) {
    let now = millis(wall);
    let sent: f64 = echo.parse().unwrap_or(0.0);
    let latency = (now as f64 - sent).max(0.0) as u64;
    put!(
        out,
        r#"{{"c":"WSE","t":"PONG","p":{{"client_timestamp":{echo},"server_timestamp":{now},"latency":{latency}}},"v":1}}"#
    );
}

/// The answer to a ping of the old form.
pub(super) fn legacy_pong(out: &mut Vec<u8>, prefix: &str, stamp: &[u8]) {
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(stamp);
}

/// The server's own ping.
pub(super) fn ping(out: &mut Vec<u8>, wall: SystemTime) {
    put!(
        out,
        r#"{{"c":"WSE","t":"ping","p":{{"server_time":"{}"}},"v":1}}"#,
        time(wall)
    );
}

/// The acknowledgement of a subscription change. It has no `recovery` map: the clients would take its
/// positions as ground for a later recovery, and from a server that then announces
/// `features.recovery` they would ask for everything since this acknowledgement, which they have
/// received unstamped and could not recognize.
pub(super) fn subscription_update(out: &mut Vec<u8>, ack: &Ack) {
    let action = match ack.action {
        Action::Subscribe => "subscribe",
        Action::Unsubscribe => "unsubscribe",
    };
    let success = ack.failed.is_empty() || !ack.succeeded.is_empty();
    put!(
        out,
        r#"{{"c":"WSE","t":"subscription_update","p":{{"action":"{action}","success":{success},"success_topics":"#
    );
    list(out, ack.succeeded.iter().map(|topic| &**topic));
    put!(out, r#","failed_topics":"#);
    list(out, shown(ack, ACK_BYTES).map(|(topic, _)| topic));
    put!(out, r#","recoverable":false,"recovered":false"#);
    if ack.degraded {
        put!(out, r#","degraded":true"#);
    }
    put!(out, r#"}},"v":1}}"#);
}

/// Names topics that were not subscribed to, and why, one reason each; `count` is how many there are.
pub(super) fn subscription_failed(out: &mut Vec<u8>, ack: &Ack, message: &str) {
    put!(
        out,
        r#"{{"c":"WSE","t":"error","p":{{"code":"SUBSCRIPTION_FAILED","message":{},"recoverable":true,"topics":"#,
        json(message)
    );
    list(out, shown(ack, ERROR_BYTES).map(|(topic, _)| topic));
    put!(out, r#","details":{{"topics":"#);
    list(out, shown(ack, ERROR_BYTES).map(|(topic, _)| topic));
    put!(out, r#","reasons":"#);
    list(
        out,
        shown(ack, ERROR_BYTES).map(|(_, refused)| refused.reason()),
    );
    put!(out, r#","count":{}}}}},"v":1}}"#, ack.failed.len());
}

/// The first of the topics that were refused, as many as fit: a client closes at a message of over 1 MiB
/// (wse-protocol 1.4), and comes back to ask for the same again.
fn shown(ack: &Ack, bytes: usize) -> impl Iterator<Item = (&str, Refused)> {
    let mut left = bytes;
    ack.failed.iter().map_while(move |(topic, refused)| {
        left = left.checked_sub(topic.len() + NAME_BYTES)?;
        Some((&**topic, *refused))
    })
}

/// The answer to `sync_request`; `topics` is the client's list as it wrote it. The gateway keeps no
/// state to send, but a client asks no second time before it has this.
pub(super) fn snapshot_complete(out: &mut Vec<u8>, topics: &str) {
    put!(
        out,
        r#"{{"c":"WSE","t":"snapshot_complete","p":{{"topics":{topics},"count":0}},"v":1}}"#
    );
}

/// Something went wrong with what the client sent.
pub(super) fn error(out: &mut Vec<u8>, code: &str, message: &str, wall: SystemTime) {
    put!(
        out,
        r#"{{"c":"WSE","t":"error","p":{{"code":"{code}","message":{},"recoverable":true,"timestamp":"{}"}},"v":1}}"#,
        json(message),
        time(wall)
    );
}

/// The client is not let in.
pub(super) fn unauthenticated(out: &mut Vec<u8>, code: &str, message: &str, wall: SystemTime) {
    put!(
        out,
        r#"{{"c":"WSE","t":"error","p":{{"code":"{code}","message":{},"timestamp":"{}"}},"v":1}}"#,
        json(message),
        time(wall)
    );
}

/// A message was dropped.
pub(super) fn rate_limited(out: &mut Vec<u8>, retry_after: f64, wall: SystemTime) {
    put!(
        out,
        r#"{{"c":"WSE","t":"error","p":{{"code":"RATE_LIMITED","message":"too many messages: this one was dropped","recoverable":true,"retry_after":{:.3},"timestamp":"{}"}},"v":1}}"#,
        retry_after.max(0.001),
        time(wall)
    );
}

/// Messages will soon be dropped.
pub(super) fn rate_limit_warning(out: &mut Vec<u8>, remaining: u64, limit: u64) {
    put!(
        out,
        r#"{{"c":"WSE","t":"rate_limit_warning","p":{{"current_rate":{},"limit":{limit},"remaining":{remaining},"retry_after":1.0}},"v":1}}"#,
        limit.saturating_sub(remaining)
    );
}

fn list<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = &'a str>) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Nor can a string be no JSON.
        let _ = serde_json::to_writer(&mut *out, item);
    }
    out.push(b']');
}

/// A string in JSON's quotes.
fn json(text: &str) -> String {
    // A string cannot be no JSON.
    serde_json::to_string(text).unwrap_or_default()
}

fn time(wall: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(wall)
}

fn millis(wall: SystemTime) -> u64 {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::backplane::NodeId;
    use crate::hub::Refused;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> (String, Value) {
        let mut out = Vec::new();
        write(&mut out);
        let text = String::from_utf8(out).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (text, json)
    }

    #[test]
    fn refusing_very_many_topics_stays_below_what_clients_accept() {
        let ack = Ack {
            action: Action::Subscribe,
            succeeded: Vec::new(),
            failed: vec![("\u{1}".repeat(186).into(), Refused::Limit); 3_000],
            degraded: false,
        };
        let (acknowledged, update) = written(|out| subscription_update(out, &ack));
        let (refused, error) = written(|out| subscription_failed(out, &ack, "why"));
        assert!(acknowledged.len() < 1 << 20 && refused.len() < 1 << 20);
        assert!(!update["p"]["failed_topics"].as_array().unwrap().is_empty());
        let details = &error["p"]["details"];
        assert_eq!(details["count"], 3_000);
        assert_eq!(error["p"]["topics"], details["topics"]);
    }

    #[test]
    fn everything_said_is_json_with_its_type_within_the_first_characters() {
        let id = ConnectionId::new(&NodeId::new("pod"));
        let (wall, limits) = (UNIX_EPOCH, Limits::default());
        let no_limits = Limits {
            messages_per_second: 0,
            ..Limits::default()
        };
        let ack = Ack {
            action: Action::Subscribe,
            succeeded: vec!["a\"\\\n".into()],
            failed: vec![("é".into(), Refused::Limit), ("b".into(), Refused::Busy)],
            degraded: true,
        };
        let all: [(&str, (String, Value)); 12] = [
            (
                "server_ready",
                written(|out| server_ready(out, &id, "a\"b", wall)),
            ),
            (
                "server_hello",
                written(|out| server_hello(out, &id, 9, &limits, wall)),
            ),
            (
                "server_hello",
                written(|out| server_hello(out, &id, 0, &no_limits, wall)),
            ),
            ("PONG", written(|out| pong(out, "-1.5e3", wall))),
            ("ping", written(|out| ping(out, wall))),
            (
                "subscription_update",
                written(|out| subscription_update(out, &ack)),
            ),
            (
                "error",
                written(|out| subscription_failed(out, &ack, "why \"")),
            ),
            (
                "snapshot_complete",
                written(|out| snapshot_complete(out, "[1]")),
            ),
            ("error", written(|out| error(out, "X", "why \"", wall))),
            (
                "error",
                written(|out| unauthenticated(out, "X", "why", wall)),
            ),
            ("error", written(|out| rate_limited(out, 0.0, wall))),
            (
                "rate_limit_warning",
                written(|out| rate_limit_warning(out, 3, 20)),
            ),
        ];
        for (kind, (text, json)) in &all {
            assert!(
                text.starts_with(&format!(r#"{{"c":"WSE","t":"{kind}","#)),
                "{text}"
            );
            assert!(json["p"].is_object(), "{text}");
        }
        let json = |index: usize| &all[index].1.1["p"];
        assert_eq!(json(0)["details"]["user_id"], "a\"b");
        assert_eq!(json(1)["protocol_version"], 2);
        assert_eq!(
            (
                &json(2)["protocol_version"],
                &json(2)["limits"]["rate_limit_capacity"]
            ),
            (&1.into(), &Value::Null)
        );
        assert_eq!(json(5)["success"], true);
        assert_eq!(json(5)["degraded"], true);
        assert!(json(5).get("recovery").is_none());
        assert_eq!(json(6)["details"]["topics"], serde_json::json!(["é", "b"]));
        assert!(json(10)["retry_after"].as_f64().unwrap() > 0.0);
    }
}
