//! Keeps the caches, and says which cluster each change is about. It runs in the standby too, so that
//! whoever takes over knows everything already.

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::pin;

use futures_util::{Stream, StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::caches::{Caches, Writers};
use super::health::{Health, Watch};
use super::names;
use super::root::Root;

/// Changes that wait to be taken up. More than these and everything is looked at.
const CHANGES: usize = 4_096;

/// Whom changes are told.
pub(super) type Changes = broadcast::Sender<ObjectRef<Root>>;

/// Nobody hears them yet.
pub(super) fn changes() -> Changes {
    broadcast::Sender::new(CHANGES)
}

/// What is to be looked at, for ever: at first every cluster, then what has changed.
pub(super) fn queue(
    caches: Caches,
    changes: &Changes,
) -> impl Stream<Item = Result<ObjectRef<Root>, Infallible>> + Send + use<> {
    let all = move || caches.all();
    // Heard from before the first look, so that nothing falls between.
    let heard = changes.subscribe();
    let first = stream::iter([all()]);
    let later = stream::unfold((heard, all), |(mut heard, all)| async move {
        let changed = match heard.recv().await {
            Ok(root) => vec![root],
            Err(RecvError::Lagged(_)) => all(),
            Err(RecvError::Closed) => return None,
        };
        Some((changed, (heard, all)))
    });
    first.chain(later).flat_map(stream::iter).map(Ok)
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
    let ours = watcher::Config::default().labels(names::OURS);
    let api = typed::<Root>(client, namespace);
    let watch = health.watch::<Root>(&(), namespace);
    let clusters = objects(api, watcher::Config::default(), writers.clusters, watch);
    // What this controller writes, the status, changes neither.
    let meant = predicates::generation.combine(predicates::annotations);
    let clusters = clusters.predicate_filter(meant, PredicateConfig::default());
    tasks.spawn(tell(clusters, changes.clone(), |root: &Root| {
        Some(ObjectRef::from_obj(root))
    }));

    let api = typed::<Pod>(client, namespace);
    let watch = health.watch::<Pod>(&(), namespace);
    let pods = objects(api, ours.clone(), writers.pods, watch);
    tasks.spawn(tell(pods, changes.clone(), whose));

    for (kind, writer) in writers.owned {
        let resource = kind.resource();
        let api = dynamic(client, namespace, &resource);
        let watch = health.watch::<DynamicObject>(&resource, namespace);
        let owned = objects(api, ours.clone(), writer, watch);
        tasks.spawn(tell(owned, changes.clone(), whose));
    }
}

/// Fills a cache, and gives every object that came, changed or went.
fn objects<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    watch: Watch,
) -> impl Stream<Item = watcher::Result<K>> + Send
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Eq + std::hash::Hash + Send + Sync,
{
    watcher(api, config)
        .default_backoff()
        .inspect(move |event| watch.note(event))
        // Nothing here reads it, and it is half of an object.
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .touched_objects()
}

async fn tell<K>(
    objects: impl Stream<Item = watcher::Result<K>>,
    changes: Changes,
    whose: impl Fn(&K) -> Option<ObjectRef<Root>>,
) {
    let mut objects = pin!(objects);
    while let Some(object) = objects.next().await {
        // Errors are noted already. Nobody hears the changes while this is the standby.
        if let Some(root) = object.ok().and_then(|object| whose(&object)) {
            let _ = changes.send(root);
        }
    }
}

/// The cluster that an object says it is of.
fn whose(object: &impl ResourceExt) -> Option<ObjectRef<Root>> {
    let cluster = object.labels().get(names::CLUSTER)?;
    Some(ObjectRef::new(cluster).within(&object.namespace()?))
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

fn dynamic(client: &Client, namespace: Option<&str>, kind: &ApiResource) -> Api<DynamicObject> {
    let client = client.clone();
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, kind),
        None => Api::all_with(client, kind),
    }
}
