//! The gateway's one configuration file, typed. The operator renders a [`Config`] into a ConfigMap
//! and the gateway reads it back, so both sides share these types and nothing else of the crate:
//! no I/O here, no clock, no gateway vocabulary. JSON, `camelCase`, a `version` at the top; a field
//! that this build does not know is reported by [`parse`], never refused, so that an operator can
//! run gateways of the minor release before its own. Secrets are never values here, only paths of
//! mounted files.

mod auth;
mod backplane;
mod compression;
mod limits;
mod listen;
mod topics;

use serde::{Deserialize, Serialize};

pub use self::auth::{Algorithm, Auth, AuthMode, Jwks, Key, Origins};
pub use self::backplane::{Backplane, RedisBackplane};
pub use self::compression::{Compression, CompressionMode, ContextTakeover};
pub use self::limits::Limits;
pub use self::listen::{Admin, Api, Drain, Listen, Tls};
pub use self::topics::{Durability, History, SlowConsumer, TopicPolicy, WhenAway};

/// The format that this build writes, and the newest it reads.
pub const VERSION: u32 = 1;

/// Everything a gateway is told.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Format of this file; see [`VERSION`].
    pub version: u32,
    /// `<namespace>/<name>` of the WseCluster. Prefixes every Redis key, so two clusters can share
    /// one Redis.
    pub cluster: String,
    /// Name of this node in its fleet; a connection id begins with it. Empty: the host name with a
    /// random suffix.
    pub node: String,
    /// Event loops, each with a thread of its own. 0: one per core that the process may use.
    pub reactors: u16,
    /// Log filter in `tracing` syntax, such as `info` or `info,wse_sidecar::hub=debug`. Reloads.
    pub log: String,
    /// Where the three ports are. `tls` reloads, but not whether there is any.
    pub listen: Listen,
    /// Who may connect and what they may subscribe to. Reloads.
    pub auth: Auth,
    /// What one client, and all of them, may cost. Reloads.
    pub limits: Limits,
    /// Whether messages are compressed. Reloads, for clients that connect from then on.
    pub compression: Compression,
    /// Policies by topic pattern; the first match wins. Reloads.
    pub topics: Vec<TopicPolicy>,
    /// What the pods of the fleet share.
    pub backplane: Backplane,
    /// The backends' port. Reloads.
    pub api: Api,
    /// The operator's port. Reloads.
    pub admin: Admin,
    /// How sessions are asked to leave. Reloads.
    pub drain: Drain,
}

/// A configuration and the paths of the fields that this build does not know.
#[derive(Debug)]
pub struct Parsed {
    /// What was understood.
    pub config: Config,
    /// Dotted paths of unknown fields, to warn about and count.
    pub unknown: Vec<String>,
}

/// Reads a configuration file's text.
///
/// # Errors
/// A message for people when the text is not JSON, a field has the wrong type, or the version is
/// newer than [`VERSION`].
pub fn parse(text: &str) -> Result<Parsed, String> {
    let mut unknown = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    let config: Config =
        serde_ignored::deserialize(&mut json, |path| unknown.push(path.to_string()))
            .map_err(|error| error.to_string())?;
    if config.version == 0 || config.version > VERSION {
        return Err(format!(
            "configuration version {} is not one that this gateway reads (1 to {VERSION})",
            config.version
        ));
    }
    Ok(Parsed { config, unknown })
}
