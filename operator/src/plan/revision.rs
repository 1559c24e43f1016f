//! Which pods are alike: the parts of a spec that need a new process, and their name.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use fnv::FnvHasher;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Allocated, Subject};
use crate::api;

/// Names the pods that the spec makes, and chooses their image. The name is that of the parts of the
/// *spec* that need a new process, so that an operator that renders more from the same spec replaces
/// nobody. The tier and its accept queue are not in it, although a process keeps the queue that it
/// started with: a change of tier must not move a single client, so only new pods get it.
///
/// An image that the spec names and then names no more is left for the default: that is how a bad one
/// is taken back. Only a default that was chosen is kept.
///
/// `sysctls`: the kernel settings that pods are made anew for.
pub(super) fn choose(
    subject: &Subject<'_>,
    sysctls: &BTreeMap<String, String>,
    allocated: Option<&Allocated>,
) -> (String, String) {
    let named = |image: &str, by| name(subject, sysctls, image, by);
    let (image, by) = match (&subject.spec.image, allocated) {
        (Some(image), _) => (image.as_str(), By::Spec),
        (None, Some(kept)) if named(&kept.image, By::Default) == kept.revision => {
            (kept.image.as_str(), By::Default)
        }
        (None, _) => (subject.default_image, By::Default),
    };
    // The same pods, whoever named their image.
    let same = allocated.filter(|kept| {
        let by_any = || [By::Default, By::Spec].map(|by| named(image, by));
        kept.image == image && by_any().contains(&kept.revision)
    });
    let revision = same.map_or_else(|| named(image, by), |kept| kept.revision.clone());
    (revision, image.to_owned())
}

/// The image of the wanted revision as long as nothing makes another one.
pub(super) fn image<'a>(subject: &Subject<'a>, allocated: Option<&'a Allocated>) -> &'a str {
    let kept = || allocated.map(|kept| kept.image.as_str());
    let named = subject.spec.image.as_deref().or_else(kept);
    named.unwrap_or(subject.default_image)
}

/// Who named an image.
#[derive(Clone, Copy)]
enum By {
    Default,
    Spec,
}

/// What pods are made of. Its JSON text names their revision, so it must be the same in every release
/// for the same spec, or an upgrade of the operator replaces every pod of every fleet:
///
/// - A field that a later release adds, here or below, is left out of the text while it has its
///   default (`skip_serializing_if`), and no default is ever changed.
/// - It has its own types, so that a field added to the spec changes no name by itself; [`Made::new`]
///   takes the spec's types apart without `..`, so that whoever adds one must decide here whether
///   running pods take it or new ones are needed.
/// - Members are in the order of their declaration or of their names, whatever the order in which
///   somebody wrote them down.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    cluster: &'a str,
    image: &'a str,
    /// The spec named the image.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<Redis<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pod_spec: Map<String, Value>,
    secrets: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sysctls: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Redis<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_secret: Option<[&'a str; 2]>,
    partitions: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tls<'a> {
    secret_name: &'a str,
}

impl<'a> Made<'a> {
    fn new(
        subject: &Subject<'a>,
        sysctls: &'a BTreeMap<String, String>,
        image: &'a str,
        by: By,
    ) -> Self {
        let spec = subject.spec;
        let api::Backplane {
            // Says no more than whether `redis` is there.
            r#type: _,
            redis,
        } = &spec.backplane;
        let api::PodTemplate {
            metadata,
            spec: pod_spec,
        } = &spec.pod_template;
        let (mut labels, mut annotations) = (BTreeMap::new(), BTreeMap::new());
        if let Some(metadata) = metadata {
            let api::PodMetadata {
                labels: given_labels,
                annotations: given_annotations,
            } = metadata;
            labels.extend(given_labels.iter().map(texts));
            annotations.extend(given_annotations.iter().map(texts));
        }
        Self {
            cluster: subject.cluster,
            image,
            pinned: matches!(by, By::Spec),
            redis: redis.as_ref().map(Redis::new),
            labels,
            annotations,
            pod_spec: in_order(pod_spec),
            secrets: spec.secrets().collect(),
            sysctls: sysctls.iter().map(texts).collect(),
            tls: spec.tls.as_ref().map(|tls| {
                let api::Tls { secret_name } = tls;
                Tls { secret_name }
            }),
        }
    }
}

impl<'a> Redis<'a> {
    fn new(redis: &'a api::Redis) -> Self {
        let api::Redis {
            url,
            url_secret_ref,
            partitions,
        } = redis;
        let secret = url_secret_ref.as_ref().map(|it| {
            let api::SecretKeyRef { name, key } = it;
            [name.as_str(), key.as_str()]
        });
        Self {
            url: url.as_deref(),
            url_secret: secret,
            partitions: *partitions,
        }
    }
}

fn name(subject: &Subject<'_>, sysctls: &BTreeMap<String, String>, image: &str, by: By) -> String {
    let made = Made::new(subject, sysctls, image, by);
    let text = serde_json::to_vec(&made).expect("a struct with named fields serialises");
    // FNV-1a, because its result must be the same in every release.
    let mut hasher = FnvHasher::default();
    hasher.write(&text);
    format!("{:016x}", hasher.finish())
}

fn texts<'a>((key, value): (&'a String, &'a String)) -> (&'a str, &'a str) {
    (key, value)
}

/// The members by name. Whether a `Map` keeps them so by itself depends on how serde_json is built.
fn in_order(map: &Map<String, Value>) -> Map<String, Value> {
    fn value(given: &Value) -> Value {
        match given {
            Value::Array(items) => items.iter().map(value).collect(),
            Value::Object(map) => Value::Object(in_order(map)),
            plain => plain.clone(),
        }
    }
    let members: BTreeMap<&String, &Value> = map.iter().collect();
    let copy = |(key, given): (&String, &Value)| (key.clone(), value(given));
    members.into_iter().map(copy).collect()
}
