//! From old revisions to the wanted one. Never more than `replicas` + `surge` pods, and never fewer
//! than `replicas` that serve, if there were so many.
//!
//! With room for a whole second fleet, all new pods are ready before the Service turns to them, and
//! the old ones drain only after that: each client moves once. With less room it goes in steps: new
//! pods serve beside old ones, and for each new pod that is ready an old one drains.
//!
//! A pod that fails is never a reason to take another one away: what is not ready does not count as
//! serving, and only what serves lets old pods go. New pods that fail after old ones began to drain
//! bring these back.

use std::cmp::Reverse;

use super::{Pod, PodState, Revision, Serves};

/// A fleet, seen as pods of the wanted revision and others. Pods that were told to end are neither.
pub(super) struct Rollout<'a> {
    pub(super) wanted: &'a str,
    pub(super) replicas: usize,
    /// How many pods may exist above `replicas`.
    pub(super) surge: usize,
    /// The pods that new clients are sent to now.
    pub(super) selected: Option<&'a Serves>,
    pub(super) current: Vec<&'a Pod>,
    pub(super) old: Vec<&'a Pod>,
}

impl<'a> Rollout<'a> {
    /// Pods of the wanted revision that take clients.
    pub(super) fn ready(&self) -> usize {
        self.current.iter().filter(|pod| pod.serves()).count()
    }

    /// How many pods of the wanted revision there may be by now.
    pub(super) fn grown(&self) -> usize {
        let with_room = self.current.len() + self.room();
        self.current.len().max(self.replicas.min(with_room))
    }

    /// The old pods that are not needed any more: to be drained, or let go if they are down.
    pub(super) fn leaving(&self) -> Vec<&'a Pod> {
        let stay = || self.old.iter().copied().filter(|pod| !pod.asked_to_drain);
        let (ready, open) = (self.ready(), self.may_drain());
        if open && ready >= self.replicas {
            return stay().collect();
        }
        let mut leaving: Vec<&Pod> = Vec::new();
        if open {
            leaving.extend(stay().filter(|pod| pod.serves()));
            leaving.sort_by_key(|pod| (pod.sessions().unwrap_or(u32::MAX), &pod.name));
            leaving.truncate((leaving.len() + ready).saturating_sub(self.replicas));
        }
        // Pods that do not serve give way to new ones when these have no room, but never so many that
        // fewer than `replicas` could serve once they are well.
        let missing = self.replicas.saturating_sub(self.current.len());
        let short = missing.saturating_sub(self.room());
        let spare = (stay().count() + ready).saturating_sub(leaving.len() + self.replicas);
        let mut broken: Vec<&Pod> = stay()
            .filter(|pod| !pod.serves() && (open || pod.is_idle()))
            .collect();
        broken.sort_by_key(|pod| {
            let proven = self.serving(&pod.revision);
            let sessions = pod.sessions().unwrap_or(u32::MAX);
            (sessions, self.selects(&pod.revision), proven, &pod.name)
        });
        leaving.extend(broken.into_iter().take(short.min(spare)));
        leaving
    }

    /// The old pods that drain and are needed after all, because new ones went down meanwhile: the
    /// fullest first, since most clients are spared. An emptied one has nobody left to spare.
    pub(super) fn returning(&self) -> Vec<&'a Pod> {
        // A pod whose process is there is one that may serve in a moment; not to be replaced for that.
        let up = |pod: &&&Pod| !pod.asked_to_drain && pod.state != PodState::Down;
        let all = self.current.iter().chain(&self.old);
        let missing = self.replicas.saturating_sub(all.filter(up).count());
        let drains = |pod: &&Pod| pod.asked_to_drain && !pod.is_empty();
        let mut returning: Vec<&Pod> = self.old.iter().copied().filter(drains).collect();
        returning.sort_by_key(|pod| (Reverse(pod.sessions()), &pod.name));
        returning.truncate(missing);
        returning
    }

    /// How many pods each old revision keeps. Whoever removes pods by count takes those that are not
    /// ready first, so a count goes down only when all that do not serve, or are just asked to drain,
    /// are empty.
    pub(super) fn kept(&self, leaving: &[&Pod]) -> Vec<Revision> {
        let mut ids: Vec<&str> = self.old.iter().map(|pod| pod.revision.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let leaves = |pod: &Pod| pod.asked_to_drain || is_among(leaving, pod);
        let keep = |id: &str| {
            let of_it = || self.old.iter().filter(|pod| pod.revision == id);
            let stays = |pod: &Pod| pod.serves() && !leaves(pod);
            let safe = of_it().all(|pod| stays(pod) || pod.is_empty());
            let goes = |pod: &Pod| safe && pod.is_empty() && leaves(pod);
            of_it().filter(|pod| !goes(pod)).count() as u32
        };
        ids.into_iter()
            .map(|id| Revision {
                id: id.to_owned(),
                replicas: keep(id),
            })
            .collect()
    }

    /// The pods that new clients should be sent to, once those that leave have been asked to.
    pub(super) fn serves(&self, leaving: &[&Pod]) -> Serves {
        if self.old.is_empty() || self.ready() >= self.replicas {
            return Serves::Revision(self.wanted.to_owned());
        }
        let all = || self.current.iter().chain(&self.old);
        let stays = |pod: &Pod| pod.serves() && !is_among(leaving, pod);
        match self.selected {
            Some(Serves::Revision(id))
                if self.is_whole() && all().any(|pod| pod.revision == *id && stays(pod)) =>
            {
                Serves::Revision(id.clone())
            }
            _ => Serves::All,
        }
    }

    /// Whether there is room for a whole second fleet.
    pub(super) fn is_whole(&self) -> bool {
        self.surge >= self.replicas
    }

    /// Whether old pods may be sent away as soon as enough others serve. With a whole second fleet that
    /// is when the Service is seen to select it, so that nobody who leaves comes to another old pod;
    /// unless the old pods are so many that it has no room beside them.
    fn may_drain(&self) -> bool {
        let lasts = |pod: &&&Pod| !pod.asked_to_drain && !pod.is_idle();
        let fits = self.old.iter().filter(lasts).count() <= self.surge;
        !self.is_whole() || !fits || self.selects(self.wanted)
    }

    fn selects(&self, revision: &str) -> bool {
        matches!(self.selected, Some(Serves::Revision(id)) if id == revision)
    }

    fn serving(&self, revision: &str) -> usize {
        let of_it = |pod: &&&Pod| pod.revision == revision && pod.serves();
        self.old.iter().filter(of_it).count()
    }

    /// How many more pods may start.
    fn room(&self) -> usize {
        let all = self.current.len() + self.old.len();
        (self.replicas + self.surge).saturating_sub(all)
    }
}

fn is_among(pods: &[&Pod], pod: &Pod) -> bool {
    pods.iter().any(|it| it.name == pod.name)
}

/// Splits the pods that count by whether they are of the wanted revision.
pub(super) fn split<'a>(pods: &'a [Pod], wanted: &str) -> (Vec<&'a Pod>, Vec<&'a Pod>) {
    let counted = pods.iter().filter(|pod| pod.state != PodState::Leave);
    counted.partition(|pod| pod.revision == wanted)
}
