//! What a pod is told.

use std::hash::Hasher;
use std::path::PathBuf;

use fnv::FnvHasher;
use wse_sidecar::config;
use wse_sidecar::config::{Backplane, Config, Origins, RedisBackplane};

use super::Subject;
use crate::api::{self, BackplaneType, SecretKeyRef};
use crate::tier::Tier;

/// How long the kubelet needs to see that a pod is not ready: its probe's period times the threshold,
/// 2 s x 1.
const PROBE_SECONDS: u32 = 2;

/// The configuration of every pod. Ports are the defaults and the node's name is empty: both are the
/// place's own.
pub(super) fn render(subject: &Subject<'_>, tier: Tier) -> Config {
    let spec = subject.spec;
    let figures = tier.figures();
    let limits = spec.limits.over(&figures.limits());
    let most = connections_per_pod(&limits, tier);
    Config {
        version: config::VERSION,
        cluster: subject.cluster.to_owned(),
        node: String::new(),
        reactors: reactors(spec, tier),
        log: spec.log.clone(),
        listen: config::Listen {
            backlog: figures.backlog,
            tls: spec.tls.as_ref().map(|tls| config::Tls {
                certificate_file: file(subject, &tls.chain()),
                key_file: file(subject, &tls.key()),
            }),
            ..config::Listen::default()
        },
        auth: auth(subject, &spec.auth),
        compression: spec.compression.clone(),
        topics: spec.topics.clone(),
        backplane: backplane(subject, &spec.backplane),
        api: config::Api {
            key_files: spec
                .api
                .keys
                .iter()
                .map(|key| file(subject, &key.secret_key_ref))
                .collect(),
            ..config::Api::default()
        },
        admin: config::Admin {
            token_file: Some(subject.admin_token.to_owned()),
        },
        drain: drain(&spec.drain, most),
        limits,
    }
}

/// Connections that a pod is made for: the tier's, or the configured limit if that is less.
pub(super) fn connections_per_pod(limits: &config::Limits, tier: Tier) -> u32 {
    let tiers = tier.figures().connections_per_pod;
    match limits.connections {
        0 => tiers,
        limit => limit.min(tiers),
    }
}

/// As many event loops as processors were asked for. More would not carry more where others use the
/// rest, and each has its own bounds of memory.
fn reactors(spec: &api::WseClusterSpec, tier: Tier) -> u16 {
    u16::try_from(millicores(spec, tier).div_ceil(1_000)).unwrap_or(u16::MAX)
}

/// What a pod asks of a processor, in thousandths.
pub(super) fn millicores(spec: &api::WseClusterSpec, tier: Tier) -> u32 {
    let theirs = spec.pod_template.gateway_millicores();
    theirs.unwrap_or_else(|| tier.figures().cpu_millicores)
}

/// A full pod, too, empties no faster than the fleet may be asked to reconnect.
fn drain(drain: &api::Drain, most: u32) -> config::Drain {
    let window = most.div_ceil(drain.reconnects_per_second.max(1));
    let window_seconds = drain.window_seconds.max(window);
    config::Drain {
        wait_seconds: PROBE_SECONDS + drain.propagation_seconds,
        window_seconds,
        deadline_seconds: drain.deadline_seconds.max(window_seconds),
    }
}

/// Names a configuration.
pub fn digest(config: &Config) -> String {
    let text = serde_json::to_vec(config).expect("a configuration serialises to JSON");
    let mut hasher = FnvHasher::default();
    hasher.write(&text);
    format!("{:016x}", hasher.finish())
}

fn auth(subject: &Subject<'_>, auth: &api::Auth) -> config::Auth {
    let keys = auth.keys.iter().map(|key| config::Key {
        algorithm: key.algorithm,
        file: file(subject, &key.secret_key_ref),
        kid: key.kid.clone(),
    });
    config::Auth {
        mode: match auth.mode {
            api::AuthMode::Jwt => config::AuthMode::Jwt,
            api::AuthMode::None => config::AuthMode::None,
        },
        cookie: auth.cookie.clone(),
        keys: keys.collect(),
        jwks: auth.jwks.as_ref().map(|jwks| config::Jwks {
            file: jwks.secret_key_ref.as_ref().map(|it| file(subject, it)),
            url: jwks.url.clone(),
            refresh_seconds: jwks.refresh_seconds.into(),
        }),
        issuers: auth.issuers.clone(),
        audiences: auth.audiences.clone(),
        leeway_seconds: auth.leeway_seconds.into(),
        default_topics: auth.default_topics.clone(),
        allowed_origins: match auth.allowed_origins.as_slice() {
            [] => Origins::SameHost,
            [any] if any == "*" => Origins::Any,
            list => Origins::List(list.to_vec()),
        },
    }
}

fn backplane(subject: &Subject<'_>, backplane: &api::Backplane) -> Backplane {
    match (backplane.r#type, &backplane.redis) {
        (BackplaneType::Redis, Some(redis)) => Backplane::Redis(RedisBackplane {
            url: redis.url.clone().unwrap_or_default(),
            url_file: redis.url_secret_ref.as_ref().map(|it| file(subject, it)),
            partitions: redis.partitions,
            ..RedisBackplane::default()
        }),
        // The rules refuse Redis without saying which.
        (BackplaneType::Memory | BackplaneType::Redis, _) => Backplane::Memory,
    }
}

fn file(subject: &Subject<'_>, reference: &SecretKeyRef) -> PathBuf {
    subject.secrets.join(&reference.name).join(&reference.key)
}
