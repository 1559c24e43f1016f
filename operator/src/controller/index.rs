//! The cache of one kind of object. Objects are found by name, and by the cluster that they say they
//! are of, so that a pass costs what its own cluster has, however many others there are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::root::Root;

/// What can be kept here.
pub(super) trait Object {
    fn namespace(&self) -> &str;
    fn name(&self) -> &str;
    /// The cluster that it says it is of. Empty: of none.
    fn cluster(&self) -> &str;
    /// Its version. None: it has none, and so it may always be another one.
    fn resource_version(&self) -> Option<&str>;
}

/// The readers' side. Clones are of one.
pub(super) struct Index<T> {
    spaces: Arc<RwLock<Spaces<T>>>,
    is_filled: watch::Receiver<bool>,
}

/// The watch's side.
pub(super) struct Writer<T> {
    spaces: Arc<RwLock<Spaces<T>>>,
    /// Those of a list that has not ended.
    listed: Spaces<T>,
    is_filled: watch::Sender<bool>,
}

/// By namespace.
type Spaces<T> = HashMap<String, Space<T>>;

/// One namespace's.
struct Space<T> {
    objects: HashMap<String, Arc<T>>,
    /// The names of each cluster's.
    clusters: HashMap<String, BTreeSet<String>>,
}

/// An empty cache, and what fills it.
pub(super) fn index<T: Object>() -> (Index<T>, Writer<T>) {
    let spaces = Arc::default();
    let (filled, is_filled) = watch::channel(false);
    let index = Index {
        spaces: Arc::clone(&spaces),
        is_filled,
    };
    let writer = Writer {
        spaces,
        listed: HashMap::new(),
        is_filled: filled,
    };
    (index, writer)
}

impl<T: Object> Index<T> {
    /// Waits until it has been filled once. False: what fills it has ended.
    pub(super) async fn filled(&self) -> bool {
        let mut is_filled = self.is_filled.clone();
        is_filled.wait_for(|filled| *filled).await.is_ok()
    }

    /// The object of a name.
    pub(super) fn named(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.spaces().get(namespace)?.objects.get(name).cloned()
    }

    /// The objects that say they are of a cluster, by name.
    pub(super) fn of(&self, namespace: &str, cluster: &str) -> Vec<Arc<T>> {
        let spaces = self.spaces();
        let Some(space) = spaces.get(namespace) else {
            return Vec::new();
        };
        let names = space.clusters.get(cluster).into_iter().flatten();
        let objects = names.filter_map(|name| space.objects.get(name));
        objects.cloned().collect()
    }

    fn spaces(&self) -> RwLockReadGuard<'_, Spaces<T>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Index<T> {
    fn clone(&self) -> Self {
        Self {
            spaces: Arc::clone(&self.spaces),
            is_filled: self.is_filled.clone(),
        }
    }
}

impl<T: Object> Writer<T> {
    /// Takes over what a watch saw. Returns the clusters that it is about.
    pub(super) fn take<K: Into<T>>(&mut self, event: Event<K>) -> Vec<ObjectRef<Root>> {
        let mut about = HashSet::new();
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                insert(&mut self.listed, Arc::new(object.into()));
            }
            Event::InitDone => {
                let listed = mem::take(&mut self.listed);
                let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
                let before = mem::replace(&mut *spaces, listed);
                about.extend(missing(&before, &spaces));
                about.extend(missing(&spaces, &before));
                drop(spaces);
                self.is_filled.send_replace(true);
            }
            Event::Apply(object) => {
                let object = Arc::new(object.into());
                about.extend(of(&*object));
                let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
                // It may have been another cluster's until now.
                let before = insert(&mut spaces, object);
                about.extend(before.and_then(|it| of(&*it)));
            }
            Event::Delete(object) => {
                let object = object.into();
                let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
                let before = remove(&mut spaces, &object);
                about.extend(before.and_then(|it| of(&*it)));
                about.extend(of(&object));
            }
        }
        about.into_iter().collect()
    }
}

fn insert<T: Object>(spaces: &mut Spaces<T>, object: Arc<T>) -> Option<Arc<T>> {
    let before = remove(spaces, &*object);
    let space = match spaces.get_mut(object.namespace()) {
        Some(space) => space,
        None => spaces.entry(object.namespace().to_owned()).or_default(),
    };
    let names = space.clusters.entry(object.cluster().to_owned());
    names.or_default().insert(object.name().to_owned());
    space.objects.insert(object.name().to_owned(), object);
    before
}

fn remove<T: Object>(spaces: &mut Spaces<T>, object: &T) -> Option<Arc<T>> {
    let space = spaces.get_mut(object.namespace())?;
    let before = space.objects.remove(object.name())?;
    if let Some(names) = space.clusters.get_mut(before.cluster()) {
        names.remove(before.name());
        if names.is_empty() {
            space.clusters.remove(before.cluster());
        }
    }
    if space.objects.is_empty() {
        spaces.remove(object.namespace());
    }
    Some(before)
}

/// The clusters of those in `some` that are not in `others` as they are.
fn missing<T: Object>(some: &Spaces<T>, others: &Spaces<T>) -> Vec<ObjectRef<Root>> {
    let objects = some.values().flat_map(|space| space.objects.values());
    let is_missing = |object: &&Arc<T>| {
        let space = others.get(object.namespace());
        let other = space.and_then(|space| space.objects.get(object.name()));
        let version = object.resource_version();
        version.is_none() || other.is_none_or(|other| other.resource_version() != version)
    };
    let missing = objects.filter(is_missing);
    missing.filter_map(|object| of(&**object)).collect()
}

fn of(object: &impl Object) -> Option<ObjectRef<Root>> {
    let cluster = Some(object.cluster()).filter(|cluster| !cluster.is_empty())?;
    Some(ObjectRef::new(cluster).within(object.namespace()))
}

impl<T> Default for Space<T> {
    fn default() -> Self {
        Self {
            objects: HashMap::new(),
            clusters: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Thing {
        name: &'static str,
        cluster: &'static str,
        version: &'static str,
    }

    impl Object for Thing {
        fn namespace(&self) -> &str {
            "a"
        }

        fn name(&self) -> &str {
            self.name
        }

        fn cluster(&self) -> &str {
            self.cluster
        }

        fn resource_version(&self) -> Option<&str> {
            Some(self.version)
        }
    }

    fn thing(name: &'static str, cluster: &'static str, version: &'static str) -> Thing {
        Thing {
            name,
            cluster,
            version,
        }
    }

    fn names(found: &[Arc<Thing>]) -> Vec<&'static str> {
        found.iter().map(|thing| thing.name).collect()
    }

    fn list(writer: &mut Writer<Thing>, things: &[Thing]) -> Vec<String> {
        let mut about = writer.take(Event::<Thing>::Init);
        for one in things {
            about.extend(writer.take(Event::InitApply(one.clone())));
        }
        assert!(about.is_empty(), "nothing before the list has ended");
        told(writer.take(Event::<Thing>::InitDone))
    }

    fn told(about: Vec<ObjectRef<Root>>) -> Vec<String> {
        let mut names: Vec<String> = about.into_iter().map(|it| it.name).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn objects_are_found_by_name_and_by_cluster() {
        let (index, mut writer) = index();
        let things = [
            thing("y", "chat", "1"),
            thing("x", "chat", "1"),
            thing("z", "game", "1"),
            thing("w", "", "1"),
        ];
        assert_eq!(list(&mut writer, &things), ["chat", "game"]);
        assert!(index.filled().await);
        assert_eq!(names(&index.of("a", "chat")), ["x", "y"]);
        assert_eq!(names(&index.of("a", "game")), ["z"]);
        assert!(index.of("b", "chat").is_empty());
        assert_eq!(index.named("a", "w").unwrap().name, "w");
        assert_eq!(index.named("b", "w"), None);
        assert_eq!(
            told(writer.take(Event::Delete(things[0].clone()))),
            ["chat"]
        );
        assert_eq!(names(&index.of("a", "chat")), ["x"]);
        assert_eq!(
            told(writer.take(Event::Delete(things[1].clone()))),
            ["chat"]
        );
        assert!(index.of("a", "chat").is_empty());
    }

    #[test]
    fn an_object_that_changes_hands_is_told_of_to_both() {
        let (index, mut writer) = index();
        list(&mut writer, &[thing("x", "chat", "1")]);
        let moved = Event::Apply(thing("x", "game", "2"));
        assert_eq!(told(writer.take(moved)), ["chat", "game"]);
        assert!(index.of("a", "chat").is_empty());
        assert_eq!(names(&index.of("a", "game")), ["x"]);
    }

    #[test]
    fn a_list_that_comes_again_tells_of_what_was_missed_and_of_nothing_else() {
        let (index, mut writer) = index();
        let first = [
            thing("same", "a", "1"),
            thing("changed", "b", "1"),
            thing("gone", "c", "1"),
        ];
        list(&mut writer, &first);
        let second = [
            thing("same", "a", "1"),
            thing("changed", "b", "2"),
            thing("new", "d", "1"),
        ];
        assert_eq!(list(&mut writer, &second), ["b", "c", "d"]);
        assert_eq!(index.named("a", "gone"), None);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_watch_that_ended_is_told() {
        let (index, writer) = index::<Thing>();
        drop(writer);
        assert!(!index.filled().await);
    }
}
