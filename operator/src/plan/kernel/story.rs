//! What to tell people of kernel settings.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Condition, ConditionType};
use super::{Astray, Outcome, Preflight, Refused};
use crate::sysctl::{Choice, Reason, Setting};

/// One word for machines, the gravest first: the first that holds for a setting is the condition's.
const WORDS: [&str; 11] = [
    "SysctlForbidden",
    "PreflightDenied",
    "PreflightFailed",
    "PreflightPending",
    "NoNodeAllows",
    "NodesUnknown",
    "NoNode",
    "NodesTooOld",
    "NodeLevelSysctls",
    "UnsafeSysctlsOmitted",
    "NotInForce",
];

const TRIED: &str = "is being tried by a preflight pod";

/// What there is to tell.
pub(super) struct Story<'a> {
    pub(super) choice: &'a Choice,
    /// Settings that are not tried any more.
    pub(super) given_up: &'a [Setting],
    pub(super) refused: &'a BTreeSet<Refused>,
    /// The pod that tries what is unproven.
    pub(super) preflight: Option<&'a Preflight>,
    pub(super) astray: &'a [Astray],
    /// Whether only the tier wants the setting of this name.
    pub(super) by_tier: &'a dyn Fn(&str) -> bool,
}

/// A setting that is left out.
struct Omitted<'a> {
    name: &'a str,
    word: &'static str,
    text: String,
}

impl Story<'_> {
    /// What is left out, by name and with what to do, and the condition.
    pub(super) fn tell(&self) -> (Vec<(String, String)>, Condition) {
        let mut omitted = self.omitted();
        omitted.sort_by_key(|it| it.name);
        let condition = self.condition(&omitted);
        let omitted = omitted.into_iter().map(|it| (it.name.to_owned(), it.text));
        (omitted.collect(), condition)
    }

    fn omitted(&self) -> Vec<Omitted<'_>> {
        let left_out = self.choice.omitted.iter().map(|(name, reason)| Omitted {
            name,
            word: word(reason),
            text: reason.to_string(),
        });
        let given_up = self.given_up.iter().map(|it| Omitted {
            name: &it.name,
            word: "SysctlForbidden",
            text: self.refusal(&it.name),
        });
        let (word, text) = self.trial();
        let unproven = self.choice.unproven.iter().map(move |it| Omitted {
            name: &it.name,
            word,
            text: text.clone(),
        });
        left_out.chain(given_up).chain(unproven).collect()
    }

    fn refusal(&self, name: &str) -> String {
        let of_it = || self.refused.iter().filter(|it| it.name == name);
        if of_it().any(|it| it.node.is_empty()) {
            return "is forbidden by the pod security level of the namespace: choose a higher one or a \
                    newer version of it; it is tried again at the next edit of the WseCluster"
                .into();
        }
        let nodes: Vec<&str> = of_it().map(|it| it.node.as_str()).collect();
        let nodes = nodes.join(", ");
        if crate::sysctl::classify(name) == crate::sysctl::Class::Unsafe {
            format!(
                "is forbidden by the kubelet of {nodes}, whose label says otherwise: name it in \
                 allowedUnsafeSysctls there, then take the label {} away and give it again",
                crate::sysctl::ALLOWED_LABEL
            )
        } else {
            format!("is forbidden by the kubelet of {nodes}: keep the pods away from there")
        }
    }

    /// How the trial of what is unproven stands.
    fn trial(&self) -> (&'static str, String) {
        let Some(it) = self.preflight else {
            return ("PreflightPending", TRIED.into());
        };
        let pod = &it.pod;
        match &it.outcome {
            Outcome::Denied(why) => (
                "PreflightDenied",
                format!(
                    "cannot be tried, the pod {pod} may not be made: {why}. If this is the pod security \
                     level of the namespace, unsafe settings need `privileged`"
                ),
            ),
            Outcome::Failed(why) => (
                "PreflightFailed",
                format!(
                    "could not be tried, the pod {pod} has failed: {why}. Delete the pod to try again"
                ),
            ),
            Outcome::Forbidden(why) => (
                "SysctlForbidden",
                format!(
                    "is forbidden where the pod {pod} was to run: {why}. Name it in \
                     allowedUnsafeSysctls of the kubelet there, or take that node's label {} away; \
                     then delete the pod to try again",
                    crate::sysctl::ALLOWED_LABEL
                ),
            ),
            Outcome::Passed | Outcome::Pending(None) => ("PreflightPending", TRIED.into()),
            Outcome::Pending(Some(why)) => (
                "PreflightPending",
                format!("is being tried by the pod {pod}, which waits: {why}"),
            ),
        }
    }

    fn condition(&self, omitted: &[Omitted<'_>]) -> Condition {
        let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for it in omitted {
            texts.entry(&it.text).or_default().push(it.name);
        }
        let mut said: Vec<String> = texts
            .into_iter()
            .map(|(text, names)| format!("{}: {text}", names.join(", ")))
            .collect();
        said.sort();
        // A kubelet that is older than the newest is what everybody has, and nobody asked for these.
        let excused = |it: &&Omitted<'_>| it.word == "NodesTooOld" && (self.by_tier)(it.name);
        let blamed = omitted.iter().filter(|it| !excused(it));
        let mut words: Vec<&'static str> = blamed.map(|it| it.word).collect();
        if let Some(text) = self.astray() {
            words.push("NotInForce");
            said.push(text);
        }
        let reason = WORDS.into_iter().find(|word| words.contains(word));
        if let Some(reason) = reason {
            return condition(false, reason, said.join("; "));
        }
        let applied = match self.choice.applied.len() {
            0 => "new pods keep the kernel's own settings".to_owned(),
            count => format!("new pods get {count} kernel settings"),
        };
        if said.is_empty() {
            return condition(true, "CoversTier", applied);
        }
        let message = format!("{applied}, as far as the nodes allow; {}", said.join("; "));
        condition(true, "CoversNodes", message)
    }

    /// Pods in which other values are in force than they ask for.
    fn astray(&self) -> Option<String> {
        let first = self.astray.iter().min_by_key(|it| &it.pod)?;
        let names = first.sysctls.join(", ");
        let more = match self.astray.len() - 1 {
            0 => String::new(),
            more => format!(", and not in {more} more pods either"),
        };
        Some(format!(
            "{names}: what the pod {} asks for is not in force in it{more}: see what else on its node \
             sets it, and replace the pod",
            first.pod
        ))
    }
}

fn word(reason: &Reason) -> &'static str {
    match reason {
        Reason::KernelTooOld { .. } | Reason::KubeletTooOld { .. } => "NodesTooOld",
        Reason::NoNode => "NoNode",
        Reason::NoNodeAllows => "NoNodeAllows",
        Reason::NodeLevel => "NodeLevelSysctls",
        Reason::NodesUnknown => "NodesUnknown",
        Reason::Unsafe => "UnsafeSysctlsOmitted",
    }
}

fn condition(holds: bool, reason: &'static str, message: String) -> Condition {
    Condition {
        r#type: ConditionType::KernelTuned,
        holds,
        reason,
        message,
    }
}
