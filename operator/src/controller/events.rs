//! Events: what changed, told once. All their names are here.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use super::names;
use super::pass::Pass;
use crate::api::WseClusterStatus;
use crate::plan::{Change, ConditionType, Plan, Warning};

/// Longest note that the API server takes, in bytes.
const NOTE_BYTES: usize = 1_024;

/// One event.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct News {
    warns: bool,
    reason: &'static str,
    action: &'static str,
    note: String,
    /// What else it is about: a kind and a name.
    related: Option<(&'static str, String)>,
}

impl News {
    pub(super) fn drain(pod: &str) -> Self {
        Self::of_pod("DrainStarted", "Drain", pod, "is asked to empty itself")
    }

    pub(super) fn undrain(pod: &str) -> Self {
        Self::of_pod("DrainTakenBack", "Undrain", pod, "takes clients again")
    }

    pub(super) fn emptied(pod: &str) -> Self {
        Self::of_pod("PodEmptied", "Drain", pod, "has no clients left")
    }

    pub(super) fn preflight(pod: &str) -> Self {
        let what = "tries kernel settings that a kubelet may forbid";
        Self::of_pod("PreflightStarted", "Preflight", pod, what)
    }

    pub(super) fn shed(pod: &str, sessions: u32) -> Self {
        let what = format!("asks {sessions} of its clients to find another, to spread them");
        Self::of_pod("Rebalanced", "Shed", pod, &what)
    }

    /// What the spec's newest edit does, before it is done.
    pub(super) fn change(generation: i64, change: Change) -> Self {
        Self::normal(
            "ChangeAnnounced",
            "Plan",
            format!("generation {generation} {change}"),
        )
    }

    pub(super) fn surprise(warning: &Warning) -> Self {
        Self::warning(warning.reason, "Plan", warning.message.clone())
    }

    pub(super) fn overridden(fields: &[String]) -> Self {
        let fields = fields.join(", ");
        let note = format!("the operator's own fields replace these: {fields}");
        Self::warning("PodTemplateOverridden", "Render", note)
    }

    fn of_pod(reason: &'static str, action: &'static str, pod: &str, what: &str) -> Self {
        let related = Some(("Pod", pod.to_owned()));
        Self {
            related,
            ..Self::normal(reason, action, format!("{pod} {what}"))
        }
    }

    fn of_revision(reason: &'static str, cluster: &str, revision: &str, note: String) -> Self {
        let related = Some(("ReplicaSet", names::replica_set(cluster, revision)));
        Self {
            related,
            ..Self::normal(reason, "Roll", note)
        }
    }

    fn normal(reason: &'static str, action: &'static str, note: String) -> Self {
        Self {
            warns: false,
            reason,
            action,
            note,
            related: None,
        }
    }

    fn warning(reason: &'static str, action: &'static str, note: String) -> Self {
        Self {
            warns: true,
            ..Self::normal(reason, action, note)
        }
    }
}

impl Pass<'_> {
    /// Publishes it. One that is lost is no reason to stop.
    pub(super) async fn publish(&self, news: &News) {
        let mut note = news.note.clone();
        note.truncate(note.floor_char_boundary(NOTE_BYTES));
        let event = Event {
            type_: if news.warns {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: news.reason.into(),
            note: Some(note),
            action: news.action.into(),
            secondary: news.related.as_ref().map(|(kind, name)| ObjectReference {
                kind: Some((*kind).into()),
                name: Some(name.clone()),
                namespace: Some(self.root.namespace().into()),
                ..ObjectReference::default()
            }),
        };
        let about: ObjectReference = self.root.object_ref(&());
        // A new one each time: to a recorder all events of one reason are repetitions of the first, and
        // it shows them with the first one's text for minutes.
        let recorder = Recorder::new(self.context.client.clone(), self.context.reporter.clone());
        if let Err(error) = recorder.publish(&event, &about).await {
            tracing::warn!(cluster = self.root.full_name(), reason = news.reason, %error, "an event was lost");
        }
    }
}

/// What is new in a status.
pub(super) fn between(
    cluster: &str,
    old: &WseClusterStatus,
    new: &WseClusterStatus,
    plan: Option<&Plan>,
) -> Vec<News> {
    let mut news = Vec::new();
    let (rolled, rolls) = (rolls(old), rolls(new));
    let revision = |status: &WseClusterStatus| status.revision.clone().unwrap_or_default();
    let (from, to) = (revision(old), revision(new));
    match plan {
        // Also one that an earlier pass began and could not tell of.
        Some(plan) if rolls && (from != to || !rolled) => {
            let moves = plan.moves;
            let note =
                format!("revision {to} replaces {from}; about {moves} client moves are expected");
            news.push(News::of_revision("RolloutStarted", cluster, &to, note));
        }
        _ if rolled && !rolls => {
            let note = format!("revision {to} has replaced the others");
            news.push(News::of_revision("RolloutEnded", cluster, &to, note));
        }
        _ => {}
    }
    let reachable = ConditionType::BackplaneReachable.name();
    let away = |status: &WseClusterStatus| {
        condition(status, reachable).is_some_and(|it| it.reason == "RedisAway")
    };
    // Where no pod answers nothing is known, not even that it is back.
    let back = condition(new, reachable).is_some_and(|it| it.status == "True");
    match (away(old), away(new)) {
        (false, true) => news.push(News::warning(
            "BackplaneAway",
            "Observe",
            message(new, reachable),
        )),
        (true, false) if back => news.push(News::normal(
            "BackplaneBack",
            "Observe",
            message(new, reachable),
        )),
        _ => {}
    }
    news.extend(tuned(old, new));
    let paused = |status: &WseClusterStatus| condition(status, super::tell::PAUSED).is_some();
    match (paused(old), paused(new)) {
        (false, true) => news.push(News::normal(
            "Paused",
            "Pause",
            message(new, super::tell::PAUSED),
        )),
        (true, false) => news.push(News::normal(
            "Resumed",
            "Pause",
            "the operator acts again".into(),
        )),
        _ => {}
    }
    news
}

/// What is new in kernel settings.
fn tuned(old: &WseClusterStatus, new: &WseClusterStatus) -> Option<News> {
    let name = ConditionType::KernelTuned.name();
    let now = condition(new, name)?;
    let before = condition(old, name);
    let (was, is) = (
        before.is_some_and(|it| it.status == "True"),
        now.status == "True",
    );
    if is {
        let note = || message(new, name);
        return (before.is_some() && !was).then(|| News::normal("KernelTuned", "Tune", note()));
    }
    let told = before.is_some_and(|it| it.reason == now.reason);
    let reason = match now.reason.as_str() {
        "SysctlForbidden" => "SysctlForbidden",
        "PreflightDenied" => "PreflightDenied",
        "PreflightFailed" => "PreflightFailed",
        // Its start has an event of its own.
        "PreflightPending" => return None,
        _ => "SysctlsOmitted",
    };
    (!told).then(|| News::warning(reason, "Tune", message(new, name)))
}

/// A refusal that was not told yet.
pub(super) fn refused(old: &WseClusterStatus, reason: &'static str, message: &str) -> Option<News> {
    let told =
        condition(old, "Ready").is_some_and(|it| it.reason == reason && it.message == message);
    (!told).then(|| News::warning(reason, "Apply", message.to_owned()))
}

fn rolls(status: &WseClusterStatus) -> bool {
    condition(status, "Settled").is_some_and(|it| it.reason == "RollingOut")
}

fn message(status: &WseClusterStatus, condition_: &str) -> String {
    condition(status, condition_)
        .map(|it| it.message.clone())
        .unwrap_or_default()
}

fn condition<'a>(
    status: &'a WseClusterStatus,
    type_: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    status.conditions.iter().find(|it| it.type_ == type_)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(conditions: &[(&str, &str, &str)]) -> WseClusterStatus {
        let one = |(kind, status, reason): &(&str, &str, &str)| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": reason,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let conditions: Vec<Value> = conditions.iter().map(one).collect();
        serde_json::from_value(json!({"conditions": conditions})).unwrap()
    }

    fn reasons(from: &(&str, &str, &str), to: &(&str, &str, &str)) -> Vec<&'static str> {
        let news = between("chat", &status(&[*from]), &status(&[*to]), None);
        news.iter().map(|it| it.reason).collect()
    }

    #[test]
    fn only_pods_that_say_so_bring_the_backplane_back() {
        let away = ("BackplaneReachable", "False", "RedisAway");
        let unknown = ("BackplaneReachable", "False", "Unknown");
        let connected = ("BackplaneReachable", "True", "Connected");
        assert_eq!(reasons(&connected, &away), ["BackplaneAway"]);
        assert_eq!(reasons(&away, &connected), ["BackplaneBack"]);
        assert_eq!(reasons(&away, &unknown), [""; 0]);
        assert_eq!(reasons(&away, &away), [""; 0]);
    }
}
