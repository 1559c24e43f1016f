//! The configuration file and the secrets beside it, checked as a whole: it is taken or refused, never
//! half of it.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::logs;
use crate::config::{self, Backplane, Config, Listen, Parsed};
use crate::keyring::KeyRing;

/// What a gateway runs by.
pub(super) struct Settings {
    pub(super) config: Config,
    /// Dotted paths of fields that this build does not know.
    pub(super) unknown: Vec<String>,
    pub(super) api_keys: KeyRing,
    pub(super) admin_token: KeyRing,
}

/// What was found at one moment.
pub(super) struct Reading {
    /// What to run by, or everything that is wrong, one line each.
    pub(super) outcome: Result<Settings, Vec<String>>,
    /// The files that were looked at.
    pub(super) watched: Watched,
}

/// Files whose change asks for another reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Watched {
    secrets: Vec<PathBuf>,
    print: [u8; 32],
}

/// Reads the file and the secrets that it names. While it cannot be parsed, the secrets of `before` stay
/// watched.
pub(super) fn read(file: &Path, before: &Watched) -> Reading {
    let text = content(file);
    let parsed = match &text {
        Ok(text) => config::parse(text),
        Err(error) => Err(error.clone()),
    };
    let secrets = match &parsed {
        Ok(parsed) => secrets(&parsed.config),
        Err(_) => before.secrets.clone(),
    };
    // Before the secrets are taken in: what changes from here on changes the next print.
    let print = fingerprint(&text, &secrets);
    Reading {
        outcome: parsed.map_err(|error| vec![error]).and_then(settings),
        watched: Watched { secrets, print },
    }
}

impl Watched {
    /// Whether a file has changed since.
    pub(super) fn has_changed(&self, file: &Path) -> bool {
        fingerprint(&content(file), &self.secrets) != self.print
    }
}

fn settings(parsed: Parsed) -> Result<Settings, Vec<String>> {
    let Parsed { config, unknown } = parsed;
    let mut errors = problems(&config);
    let mut ring = |setting: &str, files: &[PathBuf]| {
        KeyRing::read(files).unwrap_or_else(|error| {
            errors.push(format!("{setting}: {error}"));
            KeyRing::default()
        })
    };
    let api_keys = ring("api.keyFiles", &config.api.key_files);
    let admin_token = ring("admin.tokenFile", config.admin.token_file.as_slice());
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Settings {
        config,
        unknown,
        api_keys,
        admin_token,
    })
}

fn content(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// Files that hold secrets, and certificates, which can change while the gateway runs.
fn secrets(config: &Config) -> Vec<PathBuf> {
    let auth = &config.auth;
    let tls = config.listen.tls.iter();
    config
        .api
        .key_files
        .iter()
        .chain(&config.admin.token_file)
        .chain(auth.keys.iter().map(|key| &key.file))
        .chain(auth.jwks.iter().filter_map(|jwks| jwks.file.as_ref()))
        .chain(tls.flat_map(|tls| [&tls.certificate_file, &tls.key_file]))
        .cloned()
        .collect()
}

/// Changes whenever one of the contents does. A file that cannot be read counts as its error. A secret
/// may be any bytes.
fn fingerprint(text: &Result<String, String>, secrets: &[PathBuf]) -> [u8; 32] {
    let (Ok(text) | Err(text)) = text;
    let secrets = secrets
        .iter()
        .map(|file| fs::read(file).unwrap_or_else(|error| error.to_string().into_bytes()));
    let mut hash = Context::new(&SHA256);
    for content in std::iter::once(text.clone().into_bytes()).chain(secrets) {
        hash.update(&content.len().to_be_bytes());
        hash.update(&content);
    }
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

/// What is wrong with values that parse, apart from what the rooms find when they compile their part.
fn problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = logs::parse(&config.log) {
        problems.push(error);
    }
    let limits = &config.limits;
    if limits.ping_seconds == 0 || limits.ping_seconds >= limits.idle_seconds {
        problems.push(format!(
            "limits.pingSeconds ({}) must be at least 1 and less than limits.idleSeconds ({})",
            limits.ping_seconds, limits.idle_seconds
        ));
    }
    for (setting, value) in [
        ("limits.messageBytes", u64::from(limits.message_bytes)),
        ("limits.outboundBytes", u64::from(limits.outbound_bytes)),
        (
            "limits.pendingHandshakes",
            u64::from(limits.pending_handshakes),
        ),
        (
            "limits.handshakeTimeoutMillis",
            limits.handshake_timeout_millis,
        ),
        ("limits.topicBytes", u64::from(limits.topic_bytes)),
        ("limits.inboxBytes", limits.inbox_bytes),
        ("limits.jsonDepth", u64::from(limits.json_depth)),
        ("limits.partialBytes", limits.partial_bytes),
        ("api.maxBodyBytes", config.api.max_body_bytes as u64),
        ("api.fleetTimeoutMillis", config.api.fleet_timeout_millis),
        ("listen.backlog", u64::from(config.listen.backlog)),
    ] {
        if value == 0 {
            problems.push(format!("{setting} must not be 0"));
        }
    }
    let level = config.compression.level;
    if !(1..=9).contains(&level) {
        problems.push(format!("compression.level ({level}) must be from 1 to 9"));
    }
    if let Backplane::Redis(redis) = &config.backplane {
        if redis.partitions == 0 {
            problems.push("backplane.Redis.partitions must not be 0".into());
        }
        if redis.url.is_empty() && redis.url_file.is_none() {
            problems.push("backplane.Redis: one of url and urlFile is needed".into());
        }
        if config.cluster.is_empty() {
            problems.push("cluster: needed with Redis, because it prefixes every key".into());
        }
    }
    problems
}

/// Fields that differ and take effect only in a new process.
pub(super) fn frozen(old: &Config, new: &Config) -> Vec<&'static str> {
    let differs = [
        ("cluster", old.cluster != new.cluster),
        ("node", old.node != new.node),
        ("reactors", old.reactors != new.reactors),
        ("listen", listen(old, new) != new.listen),
        ("backplane", old.backplane != new.backplane),
    ];
    differs
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect()
}

/// The ports as they are, with the new certificate if there was one.
fn listen(old: &Config, new: &Config) -> Listen {
    let tls = match (&old.listen.tls, &new.listen.tls) {
        (Some(_), Some(new)) => Some(new.clone()),
        (old, _) => old.clone(),
    };
    Listen {
        tls,
        ..old.listen.clone()
    }
}

/// The new configuration with the frozen fields of the old one: what is in force after a reload.
pub(super) fn effective(old: &Config, new: Config) -> Config {
    Config {
        cluster: old.cluster.clone(),
        node: old.node.clone(),
        reactors: old.reactors,
        listen: listen(old, &new),
        backplane: old.backplane.clone(),
        ..new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, RedisBackplane, Tls};

    fn with(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        change(&mut config);
        config
    }

    #[test]
    fn defaults_are_fine() {
        assert_eq!(problems(&Config::default()), Vec::<String>::new());
    }

    #[test]
    fn names_the_setting_that_is_wrong() {
        let cases = [
            ("log", with(|c| c.log = "a=b=c".into())),
            ("limits.pingSeconds", with(|c| c.limits.ping_seconds = 60)),
            (
                "limits.messageBytes",
                with(|c| {
                    c.limits = Limits {
                        message_bytes: 0,
                        ..Limits::default()
                    }
                }),
            ),
            ("api.maxBodyBytes", with(|c| c.api.max_body_bytes = 0)),
            ("compression.level", with(|c| c.compression.level = 0)),
            ("compression.level", with(|c| c.compression.level = 10)),
            (
                "backplane.Redis",
                with(|c| {
                    c.cluster = "a/b".into();
                    c.backplane = Backplane::Redis(RedisBackplane::default());
                }),
            ),
            (
                "cluster",
                with(|c| {
                    let url = "redis://localhost".into();
                    c.backplane = Backplane::Redis(RedisBackplane {
                        url,
                        ..Default::default()
                    });
                }),
            ),
        ];
        for (setting, config) in cases {
            let found = problems(&config);
            assert_eq!(found.len(), 1, "{setting}: {found:?}");
            assert!(found[0].starts_with(setting), "{setting}: {found:?}");
        }
    }

    #[test]
    fn tells_what_needs_a_restart() {
        let old = Config::default();
        assert!(frozen(&old, &with(|c| c.limits.subscriptions = 1)).is_empty());
        assert!(frozen(&old, &with(|c| c.log = "debug".into())).is_empty());
        let new = with(|c| {
            c.node = "b".into();
            c.listen.backlog = 1;
        });
        assert_eq!(frozen(&old, &new), ["node", "listen"]);
        assert_eq!(effective(&old, new), old);
    }

    #[test]
    fn other_files_of_the_certificate_need_no_restart_but_tls_itself_does() {
        let secured = |file: &str| {
            with(|c| {
                c.listen.tls = Some(Tls {
                    certificate_file: file.into(),
                    key_file: "key".into(),
                });
            })
        };
        let (old, new, plain) = (secured("old"), secured("new"), Config::default());
        assert!(frozen(&old, &new).is_empty());
        assert_eq!(effective(&old, new.clone()), new);
        for (old, new) in [(&old, &plain), (&plain, &new)] {
            assert_eq!(frozen(old, new), ["listen"]);
            assert_eq!(effective(old, new.clone()), *old);
        }
        assert_eq!(secrets(&old), [Path::new("old"), Path::new("key")]);
    }

    #[test]
    fn a_change_of_any_file_asks_for_a_reading() {
        let dir = std::env::temp_dir().join(format!("wse-settings-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&dir).unwrap();
        let (file, key) = (dir.join("config"), dir.join("key"));
        let keyed = format!(r#"{{"version":1,"api":{{"keyFiles":[{key:?}]}}}}"#);
        let first = read(&file, &Watched::default());
        assert!(first.outcome.is_err());
        assert!(!first.watched.has_changed(&file));
        let mut watched = first.watched;
        for (path, content, fine) in [
            (&file, r#"{"version":1}"#, true),
            (&file, keyed.as_str(), false),
            (&key, "secret", true),
            (&key, "next", true),
            (&file, "{", false),
            (&key, "", false),
            (&file, keyed.as_str(), false),
            (&key, "last", true),
        ] {
            fs::write(path, content).unwrap();
            assert!(watched.has_changed(&file), "{content}");
            let reading = read(&file, &watched);
            assert_eq!(reading.outcome.is_ok(), fine, "{content}");
            watched = reading.watched;
            assert!(!watched.has_changed(&file), "{content}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_secret_that_is_no_text_is_watched_too() {
        let dir = std::env::temp_dir().join(format!("wse-settings-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&dir).unwrap();
        let (file, key) = (dir.join("config"), dir.join("key"));
        let keyed = format!(
            r#"{{"version":1,"auth":{{"keys":[{{"algorithm":"HS256","file":{key:?}}}]}}}}"#
        );
        fs::write(&file, keyed).unwrap();
        fs::write(&key, [0xfe; 32]).unwrap();
        let reading = read(&file, &Watched::default());
        assert!(reading.outcome.is_ok());
        assert!(!reading.watched.has_changed(&file));
        fs::write(&key, [0xff; 32]).unwrap();
        assert!(reading.watched.has_changed(&file));
        fs::remove_dir_all(&dir).unwrap();
    }
}
