//! Which of the wanted settings pods get.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::nodes::Lowest;
use super::{ALLOWED, ALLOWED_LABEL, Class, Node, Placement, Version, classify, of_tier};
use crate::tier::Tier;

/// One kernel setting.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Setting {
    /// Such as `net.ipv4.tcp_fin_timeout`.
    pub name: String,
    /// As it is written to its file.
    pub value: String,
}

/// What is done with settings that a kubelet must be told to allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Policy {
    /// They are left out.
    Omit,
    /// They are applied where a node allows them, once a pod has proven that it does.
    Require,
}

/// What pods get, and what they do not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choice {
    /// What they get, by name.
    pub applied: Vec<Setting>,
    /// What they do not get, by name, and why.
    pub omitted: Vec<(String, Reason)>,
    /// Unsafe settings that must be proven before they are applied, by name. They are in neither of
    /// the others.
    pub unproven: Vec<Setting>,
    /// Whether something unsafe is applied, so that pods must land on nodes with [`ALLOWED_LABEL`].
    pub restricted: bool,
}

/// Why a setting is left out. Its text is a sentence for people that says what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// A node's kernel does not have it for each pod.
    KernelTooOld {
        /// The first kernel that has.
        needs: Version,
        /// The node with the oldest kernel.
        node: String,
        /// Its kernel.
        has: String,
    },
    /// A node's kubelet does not hold it safe.
    KubeletTooOld {
        /// The first kubelet that does.
        needs: Version,
        /// The node with the oldest kubelet.
        node: String,
        /// Its kubelet.
        has: String,
    },
    /// Pods may land on no node.
    NoNode,
    /// No node that pods may land on says that its kubelet allows it.
    NoNodeAllows,
    /// It is not a pod's.
    NodeLevel,
    /// The operator cannot see which kubelets there are.
    NodesUnknown,
    /// A kubelet must be told to allow it, and nobody asked for that.
    Unsafe,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelTooOld { needs, node, has } => write!(
                f,
                "needs kernel {needs} on every node that the pods may land on, and node {node} has {}: \
                 upgrade it, or keep the pods away from it",
                version(has)
            ),
            Self::KubeletTooOld { needs, node, has } => write!(
                f,
                "needs kubelet {needs} on every node that the pods may land on, and node {node} has {}: \
                 upgrade it, or keep the pods away from it",
                version(has)
            ),
            Self::NoNode => write!(
                f,
                "waits for a node that the pods may land on: see podTemplate.spec.nodeSelector and \
                 tolerations"
            ),
            Self::NoNodeAllows => write!(
                f,
                "is allowed by no node that the pods may land on: name it in allowedUnsafeSysctls of a \
                 node's kubelet, and give that node the label {ALLOWED_LABEL}={ALLOWED}"
            ),
            Self::NodeLevel => write!(
                f,
                "belongs to the whole node, not to a pod: set it in the node's own configuration"
            ),
            Self::NodesUnknown => write!(
                f,
                "depends on the nodes' kubelets, which the operator may not see: grant it get, list and \
                 watch on nodes"
            ),
            Self::Unsafe => write!(
                f,
                "is unsafe to a kubelet that was not told to allow it: name it in allowedUnsafeSysctls of \
                 the kubelets of nodes with the label {ALLOWED_LABEL}={ALLOWED}, and set \
                 kernel.unsafeSysctls to Require"
            ),
        }
    }
}

/// What the tier gives and a person asks for; the person's value wins. By name, each once: of a
/// person's settings with the same name the last one counts.
pub fn wanted(tier: Tier, theirs: &[Setting]) -> Vec<Setting> {
    let ours = of_tier(tier).iter().copied();
    let theirs = theirs
        .iter()
        .map(|it| (it.name.as_str(), it.value.as_str()));
    let by_name: BTreeMap<&str, &str> = ours.chain(theirs).collect();
    by_name.into_iter().map(Setting::from).collect()
}

/// Chooses from `wanted`, in which each name is once. `allowed` are the unsafe names that pods have
/// proven to be allowed on nodes with [`ALLOWED_LABEL`].
pub fn choose(
    wanted: &[Setting],
    placement: &Placement<'_>,
    policy: Policy,
    allowed: &BTreeSet<String>,
) -> Choice {
    // That the nodes are not known does not take back what a pod has proven.
    let some_node_allows = placement
        .eligible(true)
        .is_none_or(|nodes| !nodes.is_empty());
    let may_be_applied = policy == Policy::Require && some_node_allows;
    let proven = |it: &Setting| {
        classify(&it.name) == Class::Unsafe && may_be_applied && allowed.contains(&it.name)
    };
    let restricted = wanted.iter().any(proven);
    let nodes = placement.eligible(restricted);
    let mut choice = Choice {
        restricted,
        ..Choice::default()
    };
    for it in wanted {
        let refused = match classify(&it.name) {
            Class::NodeLevel => Some(Reason::NodeLevel),
            Class::Safe { kubelet, kernel } => too_old(nodes.as_deref(), kubelet, kernel),
            Class::Unsafe if policy == Policy::Omit => Some(Reason::Unsafe),
            Class::Unsafe if !some_node_allows => Some(Reason::NoNodeAllows),
            Class::Unsafe if !proven(it) => {
                choice.unproven.push(it.clone());
                continue;
            }
            Class::Unsafe => None,
        };
        match refused {
            None => choice.applied.push(it.clone()),
            Some(reason) => choice.omitted.push((it.name.clone(), reason)),
        }
    }
    choice.applied.sort();
    choice.omitted.sort_by(|one, other| one.0.cmp(&other.0));
    choice.unproven.sort();
    choice
}

/// Why not every one of the nodes holds a setting safe that needs these versions.
fn too_old(
    nodes: Option<&[&Node]>,
    kubelet: Option<Version>,
    kernel: Option<Version>,
) -> Option<Reason> {
    if kubelet.is_none() && kernel.is_none() {
        return None;
    }
    let Some(nodes) = nodes else {
        return Some(Reason::NodesUnknown);
    };
    let Some(lowest) = Lowest::of(nodes) else {
        return Some(Reason::NoNode);
    };
    let is_below = |has: &str, needs: Option<Version>| {
        needs.filter(|needs| Version::parse(has).is_none_or(|has| has < *needs))
    };
    if let Some(needs) = is_below(&lowest.kubelet.kubelet, kubelet) {
        return Some(Reason::KubeletTooOld {
            needs,
            node: lowest.kubelet.name.clone(),
            has: lowest.kubelet.kubelet.clone(),
        });
    }
    let needs = is_below(&lowest.kernel.kernel, kernel)?;
    Some(Reason::KernelTooOld {
        needs,
        node: lowest.kernel.name.clone(),
        has: lowest.kernel.kernel.clone(),
    })
}

fn version(has: &str) -> &str {
    if has.is_empty() { "no version" } else { has }
}

impl From<(&str, &str)> for Setting {
    fn from((name, value): (&str, &str)) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}
