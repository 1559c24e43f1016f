//! What the pods of a fleet share.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How pods share state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub enum Backplane {
    /// Nothing is shared: a fleet of one pod.
    #[default]
    Memory,
    /// Redis or a server that speaks its protocol (7.0 or newer).
    Redis(RedisBackplane),
}

/// How to reach Redis and how it is used.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedisBackplane {
    /// `redis://`, `rediss://` or `redis+unix://`. `url_file` wins.
    pub url: String,
    /// Mounted file with the URL, because it holds the password.
    pub url_file: Option<PathBuf>,
    /// Number of hash slots that topics are spread over. Never change it while pods run: it is part
    /// of every key.
    pub partitions: u16,
    /// While Redis is away, publishes are held up to this many bytes in all.
    pub hold_bytes: usize,
    /// A held publish fails after this many milliseconds.
    pub hold_millis: u64,
    /// A node that has not renewed its lease for this long is gone, in seconds.
    pub lease_seconds: u64,
}

impl Default for RedisBackplane {
    fn default() -> Self {
        Self {
            url: String::new(),
            url_file: None,
            partitions: 16,
            hold_bytes: 64 << 20,
            hold_millis: 15_000,
            lease_seconds: 15,
        }
    }
}
