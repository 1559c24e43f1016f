//! What one client, and all of them, may cost. Each limit has a metric that moves when it is met.

use serde::{Deserialize, Serialize};

/// Limits of a gateway. A limit of 0 is off, where its text says so.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Sessions in one pod; more are refused with 503 before the upgrade. Also bounded by the
    /// process's open-file limit. 0: only by that.
    pub connections: u32,
    /// Connections on which a handshake is under way. A newcomer beyond it takes the place of the oldest
    /// that has sent nothing, then of the oldest that has not sent its whole request within a second;
    /// when there is neither, newcomers wait in the accept queue.
    pub pending_handshakes: u32,
    /// Handshakes a second, with as many again as a burst; more are refused with 429. 0: off.
    pub handshakes_per_second: u32,
    /// A client that has not sent its whole request head after this long is dropped, in milliseconds.
    pub handshake_timeout_millis: u64,
    /// Largest message from a client, in bytes; a larger one closes with 1009.
    pub message_bytes: u32,
    /// Bytes of unfinished messages that one event loop holds for all its clients; above it the
    /// largest is closed with 1009.
    pub partial_bytes: u64,
    /// Messages a second that one client may send, with as many again as a burst. 0: off.
    pub messages_per_second: u32,
    /// Bytes a second that one client may send, with as many again as a burst. 0: off.
    pub bytes_per_second: u32,
    /// Topics and patterns that one client may have.
    pub subscriptions: u32,
    /// Longest topic name or pattern, in bytes.
    pub topic_bytes: u16,
    /// Deepest nesting of a JSON message.
    pub json_depth: u16,
    /// Bytes queued for one client that has not read them; above it the topic's slow-consumer policy
    /// acts.
    pub outbound_bytes: u32,
    /// Bytes of deliveries waiting for one event loop; above it the API answers 503 and the backplane
    /// waits.
    pub inbox_bytes: u64,
    /// Seconds between the pings that the server sends. Less than `idleSeconds`.
    pub ping_seconds: u32,
    /// A client that sent nothing for this long is closed with 4408, in seconds.
    pub idle_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 0,
            pending_handshakes: 1_024,
            handshakes_per_second: 0,
            handshake_timeout_millis: 10_000,
            message_bytes: 1 << 20,
            partial_bytes: 256 << 20,
            messages_per_second: 1_000,
            bytes_per_second: 4 << 20,
            subscriptions: 256,
            topic_bytes: 255,
            json_depth: 64,
            outbound_bytes: 4 << 20,
            inbox_bytes: 64 << 20,
            ping_seconds: 25,
            idle_seconds: 60,
        }
    }
}
