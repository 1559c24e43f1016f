//! Keeps the caches, and says which cluster each change is about. It runs in the standby too, so that
//! whoever takes over knows everything already.

use std::fmt::Debug;
use std::pin::pin;

use futures_util::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::core::ApiResource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::caches::Writers;
use super::health::{Health, Watch};
use super::index::{Object, Writer};
use super::names;
use super::root::Root;
use super::shown::{Watched, strip, strip_pod};

/// Changes that wait to be taken up. More than these and everything is looked at.
const CHANGES: usize = 4_096;
/// Objects in one answer to a list. A ReplicaSet is some 10 KB of JSON, and seven lists begin together.
const PAGE: u32 = 100;

/// Whom changes are told.
pub(super) type Changes = broadcast::Sender<ObjectRef<Root>>;

/// Nobody hears them yet.
pub(super) fn changes() -> Changes {
    broadcast::Sender::new(CHANGES)
}

/// Watches one namespace, or all, for as long as the process runs.
pub(super) fn start(
    client: &Client,
    namespace: Option<&str>,
    writers: Writers,
    changes: &Changes,
    health: &Health,
    tasks: &mut JoinSet<()>,
) {
    let config = config();
    let api = typed::<Root>(client, namespace);
    let watch = health.watch::<Root>(&(), namespace);
    let clusters = events(api, config.clone(), watch)
        .modify(|root| strip(root.meta_mut()))
        .reflect(writers.clusters)
        .touched_objects();
    // What this controller writes, the status, changes neither.
    let meant = predicates::generation.combine(predicates::annotations);
    let clusters = clusters.predicate_filter(meant, PredicateConfig::default());
    tasks.spawn(tell(clusters, changes.clone()));

    let ours = config.labels(names::OURS);
    let api = typed::<Pod>(client, namespace);
    let watch = health.watch::<Pod>(&(), namespace);
    let pods = events(api, ours.clone(), watch).modify(strip_pod);
    tasks.spawn(fill(pods, writers.pods, changes.clone()));

    for (kind, writer) in writers.owned {
        let resource = kind.resource();
        let api = dynamic(client, namespace, &resource);
        let watch = health.watch::<Watched>(&resource, namespace);
        let owned = events(api, ours.clone(), watch);
        tasks.spawn(fill(owned, writer, changes.clone()));
    }
}

/// What is watched, a page of a list at a time: a page is there twice, as text and as objects.
fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

fn events<K>(
    api: Api<K>,
    config: watcher::Config,
    watch: Watch,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher(api, config).default_backoff();
    events.inspect(move |event| watch.note(event))
}

/// Fills a cache, and tells of the clusters whose objects came, changed or went.
async fn fill<K, T>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    mut writer: Writer<T>,
    changes: Changes,
) where
    K: Into<T>,
    T: Object,
{
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        // Errors are noted already.
        for cluster in event.map(|event| writer.take(event)).unwrap_or_default() {
            // Nobody hears it while this is the standby.
            let _ = changes.send(cluster);
        }
    }
}

async fn tell(clusters: impl Stream<Item = watcher::Result<Root>>, changes: Changes) {
    let mut clusters = pin!(clusters);
    while let Some(root) = clusters.next().await {
        if let Ok(root) = root {
            let _ = changes.send(root.key());
        }
    }
}

fn typed<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let client = client.clone();
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

fn dynamic(client: &Client, namespace: Option<&str>, kind: &ApiResource) -> Api<Watched> {
    let client = client.clone();
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, kind),
        None => Api::all_with(client, kind),
    }
}
