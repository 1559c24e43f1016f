//! Second by second: what connections went through, and what was seen of the fleet.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::source::State;
use super::watch::Look;
use crate::moves::Moves;
use crate::ramp::Ramp;

/// A second. Counts are of what happened since the one before.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) second: u64,
    /// Connections that there should be, and that are open.
    pub(super) wanted: u64,
    pub(super) open: u64,
    /// Connections that were asked to move, by 4300.
    pub(super) asked: u64,
    pub(super) reconnects: u64,
    pub(super) failed_attempts: u64,
    pub(super) delivered: u64,
    /// What the fleet was. None: it was not seen.
    #[serde(flatten)]
    pub(super) fleet: Option<Fleet>,
    /// A look came to nothing, which is a gap; that none was due in this second is none.
    #[serde(skip)]
    pub(super) is_gap: bool,
}

/// A fleet at one second.
#[derive(Debug, Serialize)]
pub(super) struct Fleet {
    pub(super) tier: Option<String>,
    pub(super) desired: Option<u32>,
    pub(super) ready: u32,
    pub(super) draining: u32,
    pub(super) pods: BTreeMap<String, PodThen>,
}

#[derive(Debug, Serialize)]
pub(super) struct PodThen {
    pub(super) state: State,
    /// None: it did not say.
    pub(super) sessions: Option<u64>,
}

/// Something that could not be seen.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Gap {
    /// The pod. None: the whole fleet.
    pub(super) pod: Option<String>,
    /// In so many looks, and why in the last of them.
    pub(super) looks: u64,
    pub(super) why: String,
}

/// Every second from the start until nothing happened any more.
pub(super) fn series(ramp: &Ramp, moves: Option<&Moves>, looks: &[Look]) -> Vec<Row> {
    let moments = moves.map(Moves::seconds).unwrap_or_default();
    let last = looks.last().map_or(0, |look| look.second);
    let last = last.max(moments.len() as u64);
    let mut open = 0_u64;
    let row = |second: u64| {
        let before = usize::try_from(second)
            .ok()
            .and_then(|it| it.checked_sub(1));
        let moment = before
            .and_then(|it| moments.get(it))
            .copied()
            .unwrap_or_default();
        open = (open + moment.came).saturating_sub(moment.went);
        let look = looks.binary_search_by_key(&second, |look| look.second);
        let look = look.ok().map(|at| &looks[at]);
        Row {
            second,
            wanted: ramp.wanted(Duration::from_secs(second)),
            open,
            asked: moment.asked,
            reconnects: moment.returned,
            failed_attempts: moment.failed_attempts,
            delivered: moment.delivered,
            fleet: look.and_then(Fleet::of),
            is_gap: look.is_some_and(|look| look.seen.is_err()),
        }
    };
    (0..=last).map(row).collect()
}

impl Fleet {
    fn of(look: &Look) -> Option<Self> {
        let seen = look.seen.as_ref().ok()?;
        let pod = |pod: &super::source::Pod| {
            let sessions = pod.sessions.as_ref().ok().copied();
            let then = PodThen {
                state: pod.state,
                sessions,
            };
            (pod.name.clone(), then)
        };
        Some(Self {
            tier: seen.tier.clone(),
            desired: seen.desired,
            ready: seen.count(State::Ready),
            draining: seen.count(State::Draining),
            pods: seen.pods.iter().map(pod).collect(),
        })
    }
}

/// The tiers, and from which second on.
pub(super) fn tiers(looks: &[Look]) -> Vec<(u64, String)> {
    let seen = looks.iter().filter_map(|look| {
        let tier = look.seen.as_ref().ok()?.tier.clone()?;
        Some((look.second, tier))
    });
    let mut tiers: Vec<(u64, String)> = seen.collect();
    tiers.dedup_by(|now, before| now.1 == before.1);
    tiers
}

/// What could not be seen.
pub(super) fn gaps(looks: &[Look]) -> Vec<Gap> {
    let mut gaps: BTreeMap<Option<String>, (u64, String)> = BTreeMap::new();
    let mut note = |pod: Option<&str>, why: &str| {
        let gap = gaps.entry(pod.map(str::to_owned)).or_default();
        *gap = (gap.0 + 1, why.to_owned());
    };
    for look in looks {
        match &look.seen {
            Err(why) => note(None, why),
            Ok(seen) => {
                for pod in &seen.pods {
                    if let Err(Some(why)) = &pod.sessions {
                        note(Some(&pod.name), why);
                    }
                }
            }
        }
    }
    let gap = |(pod, (looks, why))| Gap { pod, looks, why };
    gaps.into_iter().map(gap).collect()
}
