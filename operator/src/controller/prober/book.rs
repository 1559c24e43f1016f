//! Which pod is asked when, and what it said: no I/O, and the time is an argument.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Cluster;
use crate::ask::Told;

/// How long an answer counts, from when the question was asked. A pod that does not answer is asked
/// at least three times before its last answer is worth nothing.
const FRESH: Duration = Duration::from_secs(15);
/// A pod that was just found is asked at some moment within this time, so that a new leader does not
/// ask all of them in one burst.
const FIRST: Duration = Duration::from_secs(1);
/// The pause after an unanswered question; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The part of a wait that is left to chance, so that pods do not come to be asked together.
const JITTER: f64 = 0.2;
/// A change of sessions that a plan is made for at once: more than this many, and more than one in
/// [`NOTABLE_SHARE`]. A plan that is made anyway sees every change.
const NOTABLE_SESSIONS: u32 = 10;
const NOTABLE_SHARE: u32 = 20;

/// How often the pods of a cluster are asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::controller) enum Pace {
    /// Something is under way that waits for what they say.
    Busy,
    /// Nothing is.
    #[default]
    Rest,
}

impl Pace {
    fn every(self) -> Duration {
        match self {
            Self::Busy => Duration::from_secs(1),
            Self::Rest => Duration::from_secs(5),
        }
    }
}

/// A pod that can answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::controller) struct Place {
    pub(in crate::controller) uid: String,
    /// Where its admin port is.
    pub(in crate::controller) admin: SocketAddr,
    /// How often its gateway was started again. What one process said is nothing about the next.
    pub(in crate::controller) restarts: i32,
}

/// A question that is due or open.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) cluster: Cluster,
    pub(super) admin: SocketAddr,
    /// Whether the pod answered its last question.
    pub(super) proven: bool,
    uid: String,
    era: u64,
    at: Instant,
}

/// All pods.
#[derive(Default)]
pub(super) struct Book {
    /// The last that began.
    era: u64,
    clusters: HashMap<Cluster, Fleet>,
}

#[derive(Default)]
struct Fleet {
    pace: Pace,
    pods: HashMap<String, Pod>,
}

struct Pod {
    place: Place,
    /// A new one begins whenever what was said until then becomes worthless, and no two are the same.
    /// An answer counts only in the era in which its question was asked.
    era: u64,
    is_open: bool,
    /// What its next turn is counted from.
    last: Last,
    /// The part of its next wait that it waits, by chance.
    share: f64,
    answer: Option<Answer>,
    /// The answer for which a pass was asked for last. Small changes add up against this one.
    noted: Option<Told>,
}

#[derive(Clone)]
struct Answer {
    told: Told,
    /// When the question was asked.
    asked: Instant,
}

#[derive(Clone, Copy)]
enum Last {
    /// It answered a question of that time.
    Answered(Instant),
    /// It was found then, and not asked yet.
    Found(Instant),
    /// It was told something, so whatever it said is old.
    Forgotten(Instant),
    /// So many questions in a row stayed unanswered, the last until then.
    Silent(u32, Instant),
}

impl Book {
    /// Takes over which pods a cluster has. None: it is gone.
    pub(super) fn follow(&mut self, cluster: &Cluster, found: Option<Vec<Place>>, now: Instant) {
        let Some(found) = found else {
            self.clusters.remove(cluster);
            return;
        };
        let era = &mut self.era;
        let fleet = self.clusters.entry(cluster.clone()).or_default();
        let uids: HashSet<&str> = found.iter().map(|place| place.uid.as_str()).collect();
        fleet.pods.retain(|uid, _| uids.contains(uid.as_str()));
        for place in found {
            match fleet.pods.get_mut(&place.uid) {
                Some(pod) if pod.place == place => {}
                Some(_) | None => {
                    *era += 1;
                    let pod = Pod::found(place.clone(), *era, now);
                    fleet.pods.insert(place.uid, pod);
                }
            }
        }
    }

    /// Drops the clusters that are not among these.
    pub(super) fn keep_only(&mut self, clusters: &[Cluster]) {
        let known: HashSet<&Cluster> = clusters.iter().collect();
        self.clusters.retain(|cluster, _| known.contains(cluster));
    }

    pub(super) fn pace(&mut self, cluster: &Cluster, pace: Pace) {
        if let Some(fleet) = self.clusters.get_mut(cluster) {
            fleet.pace = pace;
        }
    }

    pub(super) fn told(&self, cluster: &Cluster, uid: &str, now: Instant) -> Option<Told> {
        let answer = self.clusters.get(cluster)?.pods.get(uid)?.answer.as_ref()?;
        answer.is_fresh(now).then(|| answer.told.clone())
    }

    pub(super) fn forget(&mut self, cluster: &Cluster, uid: &str, now: Instant) {
        self.era += 1;
        let era = self.era;
        let Some(pod) = self.pod(cluster, uid) else {
            return;
        };
        pod.era = era;
        pod.answer = None;
        pod.noted = None;
        // One that was silent may be so now.
        if matches!(pod.last, Last::Answered(_)) {
            pod.last = Last::Forgotten(now);
        }
    }

    /// Whether no pod waits for its first question.
    pub(super) fn has_asked_all(&self) -> bool {
        let mut pods = self.clusters.values().flat_map(|fleet| fleet.pods.values());
        pods.all(|pod| !matches!(pod.last, Last::Found(_)))
    }

    /// The clusters of which a pod's answer has just become too old.
    pub(super) fn fade(&mut self, now: Instant) -> Vec<Cluster> {
        let mut faded = Vec::new();
        for (cluster, fleet) in &mut self.clusters {
            let mut any = false;
            for pod in fleet.pods.values_mut() {
                if pod
                    .answer
                    .as_ref()
                    .is_some_and(|answer| !answer.is_fresh(now))
                {
                    pod.answer = None;
                    any |= pod.noted.take().is_some();
                }
            }
            if any {
                faded.push(cluster.clone());
            }
        }
        faded
    }

    /// Whose turn it is: those that answer before those that do not, and then whoever waits longest.
    pub(super) fn due(&self, now: Instant) -> Vec<Asked> {
        let mut due = Vec::new();
        for (cluster, fleet) in &self.clusters {
            for pod in fleet.pods.values() {
                let turn = pod.turn(fleet.pace);
                if !pod.is_open && turn <= now {
                    due.push((pod.silences(), turn, pod.question(cluster, now)));
                }
            }
        }
        due.sort_by_key(|(silences, turn, _)| (*silences, *turn));
        due.into_iter().map(|(_, _, question)| question).collect()
    }

    /// Opens a question whose turn it was. None: the pod is gone, or is being asked.
    pub(super) fn begin(&mut self, due: &Asked, now: Instant) -> Option<Asked> {
        let pod = self.pod(&due.cluster, &due.uid)?;
        if pod.is_open {
            return None;
        }
        pod.is_open = true;
        Some(pod.question(&due.cluster, now))
    }

    /// Takes an answer, or that there was none. Whether a plan should be made for it.
    pub(super) fn take(&mut self, asked: &Asked, told: Option<Told>, now: Instant) -> bool {
        let Some(pod) = self.pod(&asked.cluster, &asked.uid) else {
            return false;
        };
        pod.is_open = false;
        if pod.era != asked.era {
            return false;
        }
        let jitter = match pod.last {
            // Pods that were found together are spread over the whole of the first wait.
            Last::Found(_) => 1.0,
            _ => JITTER,
        };
        pod.share = 1.0 - jitter * fastrand::f64();
        let Some(told) = told else {
            pod.last = Last::Silent(pod.silences().saturating_add(1), now);
            return false;
        };
        pod.last = Last::Answered(asked.at);
        let notable = pod
            .noted
            .as_ref()
            .is_none_or(|noted| is_notable(noted, &told));
        if notable {
            pod.noted = Some(told.clone());
        }
        pod.answer = Some(Answer {
            told,
            asked: asked.at,
        });
        notable
    }

    fn pod(&mut self, cluster: &Cluster, uid: &str) -> Option<&mut Pod> {
        self.clusters.get_mut(cluster)?.pods.get_mut(uid)
    }
}

impl Pod {
    fn found(place: Place, era: u64, now: Instant) -> Self {
        Self {
            place,
            era,
            is_open: false,
            last: Last::Found(now),
            share: fastrand::f64(),
            answer: None,
            noted: None,
        }
    }

    /// When it is to be asked next.
    fn turn(&self, pace: Pace) -> Instant {
        match self.last {
            Last::Answered(asked) => asked + pace.every().mul_f64(self.share),
            Last::Found(found) => found + FIRST.mul_f64(self.share),
            Last::Forgotten(then) => then,
            Last::Silent(times, ended) => {
                let pause = FIRST_PAUSE * (1 << times.saturating_sub(1).min(8));
                ended + pause.min(LONGEST_PAUSE).mul_f64(self.share)
            }
        }
    }

    fn silences(&self) -> u32 {
        match self.last {
            Last::Silent(times, _) => times,
            Last::Answered(_) | Last::Found(_) | Last::Forgotten(_) => 0,
        }
    }

    fn question(&self, cluster: &Cluster, now: Instant) -> Asked {
        Asked {
            cluster: cluster.clone(),
            admin: self.place.admin,
            proven: matches!(self.last, Last::Answered(_) | Last::Forgotten(_)),
            uid: self.place.uid.clone(),
            era: self.era,
            at: now,
        }
    }
}

impl Answer {
    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.asked) <= FRESH
    }
}

/// Whether a plan may come out otherwise.
fn is_notable(before: &Told, after: &Told) -> bool {
    let state = |told: &Told| {
        let load = &told.load;
        (told.drains, load.refuses, load.is_emptied(), load.degraded)
    };
    let (old, new) = (before.load.sessions, after.load.sessions);
    state(before) != state(after) || old.abs_diff(new) > NOTABLE_SESSIONS.max(old / NOTABLE_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Load;

    #[test]
    fn whatever_a_plan_decides_by_is_notable() {
        let before = Told {
            load: Load {
                sessions: 3,
                ..Load::default()
            },
            sysctls: Default::default(),
            drains: false,
        };
        assert!(!is_notable(&before, &before));
        let mut after = before.clone();
        after.load.sessions = 0;
        assert!(!is_notable(&before, &after));
        let with = |change: fn(&mut Told)| {
            let mut after = before.clone();
            change(&mut after);
            after
        };
        for change in [
            |it: &mut Told| it.drains = true,
            |it: &mut Told| it.load.degraded = true,
            |it: &mut Told| it.load.refuses = true,
            |it: &mut Told| it.load.sessions = 14,
        ] {
            let after = with(change);
            assert!(is_notable(&before, &after), "{after:?}");
            assert!(is_notable(&after, &before), "{after:?}");
        }
        let leaves = with(|it| it.load.refuses = true);
        let mut emptied = leaves.clone();
        emptied.load.sessions = 0;
        assert!(is_notable(&leaves, &emptied));
    }
}
