//! permessage-deflate (RFC 7692).

use serde::{Deserialize, Serialize};

/// Whether messages are compressed (permessage-deflate) for clients that offer it, as every browser does.
/// Off by default: a message costs tens of microseconds of a processor then, many times what it costs
/// without, and that pays only where bandwidth is dearer. Nor is it for messages that hold a secret beside
/// what a stranger chose: their size tells when the two resemble each other. A change concerns the clients
/// that connect after it; `level` and `minBytes` hold for all at once.
///
/// What a client sends counts against `limits.messageBytes` and its rates as it is when it has been
/// inflated.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Compression {
    /// Whether it is agreed on with clients that offer it.
    pub mode: CompressionMode,
    /// Whether messages may refer to earlier ones of the same client. Small messages that resemble each
    /// other shrink much further, but a publication is compressed for each of its receivers instead of
    /// once for all, and up to 40 KiB are kept for each client, 16 KiB for one that lets the gateway
    /// choose its window, as browsers do.
    pub context_takeover: ContextTakeover,
    /// From 1 (fast) to 9 (small).
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 9)))]
    pub level: u8,
    /// Shorter messages are sent as they are, in bytes. Alone, JSON of 512 bytes shrinks to a half, of 256
    /// to two thirds, of 128 hardly.
    pub min_bytes: u32,
}

/// Whether messages are compressed. (Not `On` and `Off`: in the YAML that `kubectl` reads those are booleans.)
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CompressionMode {
    /// For no client.
    #[default]
    None,
    /// By permessage-deflate, for clients that offer it.
    Deflate,
}

/// Whether compressed messages may refer to earlier ones.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ContextTakeover {
    /// Each stands alone.
    #[default]
    Never,
    /// Where the client can.
    Allowed,
}

impl Default for Compression {
    /// Measured with JSON of quotes, each message alone: at level 3 to 49 % of 512 bytes, 70 % of 256 and
    /// 87 % of 128, in 30 to 70 us each. Level 1 has fixed codes only: a third of the time, and 61 % of 512
    /// bytes. Above 3 the time grows and the size hardly shrinks: level 9 saves a percent of 1 KiB.
    fn default() -> Self {
        Self {
            mode: CompressionMode::None,
            context_takeover: ContextTakeover::Never,
            level: 3,
            min_bytes: 512,
        }
    }
}
