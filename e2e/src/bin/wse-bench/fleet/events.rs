//! What happened to a fleet, by what was seen of it one second after the other.

use serde::Serialize;

use super::source::{Pod, Seen, State};
use super::watch::Look;

/// Something that was other than a look before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Event {
    pub(super) second: u64,
    pub(super) what: What,
    /// The pod that it happened to, if it was one.
    pub(super) pod: Option<String>,
    /// In words.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum What {
    Appears,
    Desired,
    Drains,
    Gone,
    Ready,
    Tier,
}

/// All that happened between the looks that saw something.
pub(super) fn events(looks: &[Look]) -> Vec<Event> {
    let seen = looks
        .iter()
        .filter_map(|look| Some((look.second, look.seen.as_ref().ok()?)));
    let seen: Vec<(u64, &Seen)> = seen.collect();
    let mut events = Vec::new();
    for pair in seen.windows(2) {
        let ((_, before), (second, now)) = (&pair[0], &pair[1]);
        let happens = |(what, pod, text): (What, Option<String>, String)| Event {
            second: *second,
            what,
            pod,
            text,
        };
        events.extend(changes(before, now).into_iter().map(happens));
    }
    events
}

fn changes(before: &Seen, now: &Seen) -> Vec<(What, Option<String>, String)> {
    let mut changes = Vec::new();
    if let (Some(old), Some(tier)) = (&before.tier, &now.tier)
        && old != tier
    {
        changes.push((What::Tier, None, format!("tier {tier}, {old} before")));
    }
    if let (Some(old), Some(desired)) = (before.desired, now.desired)
        && old != desired
    {
        let pods = if desired == 1 { "pod" } else { "pods" };
        changes.push((
            What::Desired,
            None,
            format!("{desired} {pods} desired, {old} before"),
        ));
    }
    for pod in &now.pods {
        let old = before.pods.iter().find(|it| it.name == pod.name);
        let mut happens = |what, how: &str| {
            changes.push((what, Some(pod.name.clone()), format!("{} {how}", pod.name)));
        };
        if old.is_none() {
            happens(What::Appears, "appears");
        }
        match pod.state {
            state if old.is_some_and(|it| it.state == state) => {}
            State::Ready => happens(What::Ready, "takes clients"),
            State::Draining => happens(What::Drains, &format!("begins to drain{}", with(pod))),
            State::Down | State::Leaving | State::Starting => {}
        }
    }
    for pod in &before.pods {
        if now.pods.iter().all(|it| it.name != pod.name) {
            let text = format!("{} is gone", pod.name);
            changes.push((What::Gone, Some(pod.name.clone()), text));
        }
    }
    changes
}

fn with(pod: &Pod) -> String {
    match &pod.sessions {
        Ok(1) => ", with 1 session".to_owned(),
        Ok(sessions) => format!(", with {sessions} sessions"),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(second: u64, tier: &str, desired: u32, pods: &[(&str, State, u64)]) -> Look {
        let pods = pods.iter().map(|&(name, state, sessions)| Pod {
            name: name.into(),
            state,
            sessions: Ok(sessions),
        });
        let seen = Seen {
            tier: Some(tier.into()),
            desired: Some(desired),
            pods: pods.collect(),
        };
        Look {
            second,
            seen: Ok(seen),
        }
    }

    #[test]
    fn what_changes_between_looks_happened() {
        use State::{Draining, Ready, Starting};
        let looks = [
            look(0, "Light", 1, &[("a", Ready, 5)]),
            look(1, "Low", 2, &[("a", Ready, 90), ("b", Starting, 0)]),
            Look {
                second: 2,
                seen: Err("busy".into()),
            },
            look(3, "Low", 2, &[("a", Ready, 90), ("b", Ready, 0)]),
            look(
                4,
                "Low",
                1,
                &[("a", Draining, 90), ("b", Ready, 1), ("c", Ready, 0)],
            ),
            look(5, "Low", 1, &[("b", Ready, 91), ("c", Ready, 0)]),
        ];
        let told: Vec<(u64, String)> = events(&looks)
            .into_iter()
            .map(|it| (it.second, it.text))
            .collect();
        let expected = [
            (1, "tier Low, Light before"),
            (1, "2 pods desired, 1 before"),
            (1, "b appears"),
            (3, "b takes clients"),
            (4, "1 pod desired, 2 before"),
            (4, "a begins to drain, with 90 sessions"),
            (4, "c appears"),
            (4, "c takes clients"),
            (5, "a is gone"),
        ];
        assert_eq!(
            told,
            expected.map(|(second, text)| (second, text.to_owned()))
        );
    }
}
