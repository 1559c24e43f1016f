//! Kernel settings of new pods. In come what the spec and the tier want, the nodes, and what earlier
//! passes have learnt; out come the settings, what has to be kept for later passes, and the steps that
//! find out what a kubelet allows.
//!
//! A kubelet that does not allow a setting fails the pod, and what makes pods by count makes another
//! one at once. So an unsafe setting is first tried by a single pod that nobody replaces, the preflight.
//! If it is forbidden the failed pod stays: that it is there is what keeps another from being made. If
//! a kubelet turns a pod of the fleet away all the same, the name and the node are kept, and the
//! setting is left out for as long as pods may land on that node.

mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::Arc;

use fnv::FnvHasher;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Condition;
use crate::api::{UnsafeSysctls, WseClusterSpec};
use crate::sysctl::{
    self, Choice, Class, Node, Placement, Policy, Setting, Toleration, choose, classify,
};
use crate::tier::Tier;

/// What is known of kernel settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Kernel {
    /// Every node. None: the operator may not see them.
    pub nodes: Option<Arc<[Node]>>,
    /// Unsafe settings that a pod has shown to be allowed, by name.
    pub allowed: BTreeSet<String>,
    /// Settings that kubelets have turned pods of the fleet away for.
    pub refused: BTreeSet<Refused>,
    /// Pods of the fleet that were turned away for their settings and are still there.
    pub rejected: Vec<Rejected>,
    /// Why no pod of the fleet may be made, if that is for its settings.
    pub barred: Option<Barred>,
    /// Whether the spec was edited since the last pass.
    pub edited: bool,
    /// The pod that tries.
    pub preflight: Option<Preflight>,
    /// Pods that do not have what they ask for.
    pub astray: Vec<Astray>,
}

/// A pod in which other values are in force than it asks for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Astray {
    /// Its name.
    pub pod: String,
    /// Names of the settings.
    pub sysctls: Vec<String>,
}

/// Settings that pods may not be made with.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Barred {
    /// Names of the settings that new pods had.
    pub sysctls: Vec<String>,
    /// What was said.
    pub message: String,
}

/// A setting that the kubelet of a node does not allow.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Refused {
    /// Its name.
    pub name: String,
    /// The node's. Empty: it is the namespace that does not allow it.
    pub node: String,
}

/// A pod that a kubelet turned away.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rejected {
    /// Its name.
    pub pod: String,
    /// Where it was to run.
    pub node: String,
    /// Names of its settings.
    pub sysctls: Vec<String>,
    /// What the kubelet said.
    pub message: String,
}

/// The pod that tries unsafe settings.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Preflight {
    /// Its name.
    pub pod: String,
    /// Names what it tries, see [`Trial::digest`].
    pub digest: String,
    /// Names of its settings.
    pub sysctls: Vec<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a trial.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum Outcome {
    /// The API server did not let it be made, for this reason.
    Denied(String),
    /// It has ended without having run, for this reason.
    Failed(String),
    /// A kubelet forbids it, in these words.
    Forbidden(String),
    /// It has run, so the kubelet allows it.
    Passed,
    /// Nothing yet; it waits for this, if that is known.
    Pending(Option<String>),
}

/// A preflight that should be made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trial {
    /// Says what is tried, with which image and where: of each there is one pod only.
    pub digest: String,
    /// The unsafe settings that new pods would get.
    pub sysctls: Vec<Setting>,
}

/// What new pods get, and what later passes must know.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tuning {
    /// The settings.
    pub sysctls: Vec<Setting>,
    /// Whether new pods must land on nodes that say that they allow unsafe settings.
    pub restricted: bool,
    /// Settings that are left out, by name, with a sentence on what to do.
    pub omitted: Vec<(String, String)>,
    /// The next [`Kernel::allowed`].
    pub allowed: BTreeSet<String>,
    /// The next [`Kernel::refused`].
    pub refused: BTreeSet<Refused>,
    /// What to do now, once these have been kept.
    pub steps: Vec<Step>,
}

/// A step to take now, about a pod that is no gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Remove a pod that a kubelet turned away, and that nothing counts any more.
    Discard {
        /// Its name.
        pod: String,
    },
    /// Remove the pod that tries.
    EndPreflight,
    /// Have a single pod try. One that may not be made is asked for again and again; how often that is
    /// tried is for whoever makes it.
    Preflight(Trial),
}

/// What was decided.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) tuning: Tuning,
    pub(super) condition: Option<Condition>,
    /// A person's own settings that a pod has to be made anew for.
    pub(super) made_of: BTreeMap<String, String>,
}

/// What is decided about.
pub(super) struct Question<'a> {
    pub(super) spec: &'a WseClusterSpec,
    pub(super) tier: Tier,
    /// None: pods have no settings of their own.
    pub(super) known: Option<&'a Kernel>,
    /// The image of the wanted revision, unless its settings make another one.
    pub(super) image: &'a str,
}

pub(super) fn decide(question: &Question<'_>) -> Decision {
    let Question {
        spec,
        tier,
        known,
        image,
    } = *question;
    let Some(known) = known else {
        return Decision::default();
    };
    let theirs = theirs(spec);
    let wanted = sysctl::wanted(tier, &theirs);
    let (selector, tolerations) = (selector(spec), tolerations(spec));
    let placement = Placement {
        nodes: known.nodes.as_deref(),
        node_selector: &selector,
        tolerations: &tolerations,
    };
    let policy = match spec.kernel.unsafe_sysctls {
        UnsafeSysctls::Omit => Policy::Omit,
        UnsafeSysctls::Require => Policy::Require,
    };
    let refused = refused(known, &wanted, &placement, policy);
    let is_refused = |name: &str| refused.iter().any(|it| it.name == name);
    let (given_up, open): (Vec<Setting>, Vec<Setting>) =
        wanted.into_iter().partition(|it| is_refused(&it.name));

    let allowed = allowed(known, &open, policy);
    let choice = choose(&open, &placement, policy, &allowed);
    let trial = trial(&choice, image, &selector, &tolerations);
    let mut steps: Vec<Step> = known.rejected.iter().map(discard).collect();
    let preflight = known.preflight.as_ref();
    let is_right = |it: &Preflight| {
        trial
            .as_ref()
            .is_some_and(|trial| trial.digest == it.digest)
    };
    match (preflight, &trial) {
        (Some(it), Some(trial)) if is_right(it) => {
            if matches!(it.outcome, Outcome::Denied(_)) {
                steps.push(Step::Preflight(trial.clone()));
            }
        }
        (Some(it), _) if !matches!(it.outcome, Outcome::Denied(_)) => {
            steps.push(Step::EndPreflight);
        }
        (_, Some(trial)) => steps.push(Step::Preflight(trial.clone())),
        (_, None) => {}
    }

    let made_of = made_of(spec, &theirs, &choice);
    let by_tier = |name: &str| !theirs.iter().any(|it| it.name == name);
    let story = story::Story {
        choice: &choice,
        given_up: &given_up,
        refused: &refused,
        preflight: preflight.filter(|it| is_right(it)),
        astray: &known.astray,
        by_tier: &by_tier,
    };
    let (omitted, condition) = story.tell();
    Decision {
        tuning: Tuning {
            sysctls: choice.applied,
            restricted: choice.restricted,
            omitted,
            allowed,
            refused,
            steps,
        },
        condition: Some(condition),
        made_of,
    }
}

fn discard(rejected: &Rejected) -> Step {
    Step::Discard {
        pod: rejected.pod.clone(),
    }
}

/// What the spec asks for itself: `kernel.sysctls`, over what its template has.
fn theirs(spec: &WseClusterSpec) -> Vec<Setting> {
    let template = spec.pod_template.spec.get("securityContext");
    let template = template.and_then(|it| it.get("sysctls")?.as_array());
    let text = |it: &Value, field: &str| it.get(field)?.as_str().map(str::to_owned);
    let setting = |it: &Value| {
        Some(Setting {
            name: text(it, "name")?,
            value: text(it, "value")?,
        })
    };
    let mut settings: Vec<Setting> = template.into_iter().flatten().filter_map(setting).collect();
    settings.extend(spec.kernel.sysctls.iter().map(|it| Setting {
        name: it.name.clone(),
        value: it.value.clone(),
    }));
    settings
}

/// A node that comes or goes replaces nobody, so of the safe settings all that the spec's `kernel`
/// names count, applied or not. An unsafe one counts once it is applied: until then, and when it turns
/// out to be forbidden, the fleet stays as it is.
fn made_of(spec: &WseClusterSpec, theirs: &[Setting], choice: &Choice) -> BTreeMap<String, String> {
    let declared = spec.kernel.sysctls.iter();
    let safe = declared.filter(|it| matches!(classify(&it.name), Class::Safe { .. }));
    let safe = safe.map(|it| (it.name.clone(), it.value.clone()));
    let applied = choice.applied.iter();
    let risky = applied.filter(|it| {
        classify(&it.name) == Class::Unsafe && theirs.iter().any(|own| own.name == it.name)
    });
    let risky = risky.map(|it| (it.name.clone(), it.value.clone()));
    safe.chain(risky).collect()
}

/// What kubelets have refused, and may refuse again.
fn refused(
    known: &Kernel,
    wanted: &[Setting],
    placement: &Placement<'_>,
    policy: Policy,
) -> BTreeSet<Refused> {
    let is_wanted = |it: &&Refused| wanted.iter().any(|setting| setting.name == it.name);
    let still = |it: &&Refused| {
        if it.node.is_empty() {
            return !known.edited;
        }
        let risky = classify(&it.name) == Class::Unsafe;
        let lands = placement.eligible(risky);
        let lands = lands.is_none_or(|nodes| nodes.iter().any(|node| node.name == it.node));
        lands && (!risky || policy == Policy::Require)
    };
    let before = known
        .refused
        .iter()
        .filter(is_wanted)
        .filter(still)
        .cloned();
    let by_kubelets = known.rejected.iter();
    let by_kubelets = by_kubelets.flat_map(|it| blame(&it.sysctls, &it.message, &it.node));
    let by_namespace = known.barred.iter();
    let by_namespace = by_namespace.flat_map(|it| blame(&it.sysctls, &it.message, ""));
    before.chain(by_kubelets).chain(by_namespace).collect()
}

/// A kubelet names the first setting that it does not allow, a namespace all. If that is none of the
/// pod's it is told in other words than those of today, and every one that can be forbidden is to
/// blame.
fn blame(sysctls: &[String], message: &str, node: &str) -> Vec<Refused> {
    let names = || sysctls.iter();
    let is_part = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    let mut words = message.split(|it| !is_part(it));
    let said: Vec<&str> = words.by_ref().collect();
    let named = |name: &&String| said.contains(&name.as_str());
    let classed = |name: &&String| match classify(name) {
        Class::Safe { kubelet, .. } => kubelet.is_some(),
        Class::NodeLevel | Class::Unsafe => true,
    };
    let mut guilty: Vec<&String> = names().filter(named).collect();
    if guilty.is_empty() {
        guilty = names()
            .filter(|name| classify(name) == Class::Unsafe)
            .collect();
    }
    if guilty.is_empty() {
        guilty = names().filter(classed).collect();
    }
    let of = |name: &String| Refused {
        name: name.clone(),
        node: node.into(),
    };
    guilty.into_iter().map(of).collect()
}

/// The unsafe names that pods have shown to be allowed, of those that are wanted still.
fn allowed(known: &Kernel, open: &[Setting], policy: Policy) -> BTreeSet<String> {
    let passed = known.preflight.iter();
    let passed = passed.filter(|it| it.outcome == Outcome::Passed);
    let shown = passed.flat_map(|it| &it.sysctls).chain(&known.allowed);
    let counts = |name: &&String| {
        policy == Policy::Require
            && classify(name) == Class::Unsafe
            && open.iter().any(|it| it.name == **name)
    };
    shown.filter(counts).cloned().collect()
}

/// What has to be tried, if anything has.
fn trial(
    choice: &Choice,
    image: &str,
    selector: &BTreeMap<String, String>,
    tolerations: &[Toleration],
) -> Option<Trial> {
    if choice.unproven.is_empty() {
        return None;
    }
    let applied = choice.applied.iter();
    let risky = applied.filter(|it| classify(&it.name) == Class::Unsafe);
    let mut sysctls: Vec<Setting> = risky.chain(&choice.unproven).cloned().collect();
    sysctls.sort();
    let text = format!("{sysctls:?} {image} {selector:?} {tolerations:?}");
    let mut hasher = FnvHasher::default();
    hasher.write(text.as_bytes());
    let digest = format!("{:016x}", hasher.finish());
    Some(Trial { digest, sysctls })
}

fn selector(spec: &WseClusterSpec) -> BTreeMap<String, String> {
    let selector = spec.pod_template.spec.get("nodeSelector");
    let labels = selector.and_then(Value::as_object).into_iter().flatten();
    labels
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn tolerations(spec: &WseClusterSpec) -> Vec<Toleration> {
    let list = spec.pod_template.spec.get("tolerations");
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_object).map(toleration).collect()
}

/// What cannot be read tolerates more rather than less, so that more nodes count.
fn toleration(given: &Map<String, Value>) -> Toleration {
    let text = |field: &str| given.get(field).and_then(Value::as_str).unwrap_or_default();
    let effect = given.get("effect").and_then(Value::as_str);
    Toleration {
        key: text("key").into(),
        operator: match text("operator") {
            "" | "Equal" => sysctl::TolerationOperator::Equal,
            _ => sysctl::TolerationOperator::Exists,
        },
        value: text("value").into(),
        effect: effect.and_then(sysctl::Effect::named),
    }
}
