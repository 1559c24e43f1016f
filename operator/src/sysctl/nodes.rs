//! Where pods may land.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Version;

/// Label of the nodes whose kubelets allow unsafe settings, and key of the taint that may keep other
/// pods away from them.
pub const ALLOWED_LABEL: &str = "wse.dev/unsafe-sysctls";
/// Its value.
pub const ALLOWED: &str = "allowed";

/// Taints of this group come and go with a node's health: pods that wait for the node land on it as
/// soon as it is well, so they keep nobody's kubelet out of the reckoning.
const PASSING: [&str; 2] = ["node.cloudprovider.kubernetes.io/", "node.kubernetes.io/"];

/// One node, as far as kernel settings go.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Version of its kubelet, such as `v1.34.4`.
    pub kubelet: String,
    /// Version of its kernel, such as `6.1.0-18-amd64`.
    pub kernel: String,
    /// What keeps pods away from it.
    pub taints: Vec<Taint>,
    /// Whether it takes no new pods.
    pub unschedulable: bool,
}

/// Keeps pods away that do not tolerate it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Taint {
    /// Its name.
    pub key: String,
    /// Its value, often empty.
    #[serde(default)]
    pub value: String,
    /// How much it keeps away.
    pub effect: Effect,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum Effect {
    /// They are not placed there, and those that are there go.
    NoExecute,
    /// They are not placed there.
    NoSchedule,
    /// They are placed elsewhere if there is room.
    PreferNoSchedule,
}

/// Lets a pod onto tainted nodes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Toleration {
    /// Name of the taint. Empty: every one, with [`TolerationOperator::Exists`].
    pub key: String,
    /// What is asked of the taint's value.
    pub operator: TolerationOperator,
    /// The value, with [`TolerationOperator::Equal`].
    pub value: String,
    /// Effect of the taint. None: every one.
    pub effect: Option<Effect>,
}

/// What a toleration asks of a taint's value. Operators that are not known here are best taken for
/// `Exists`: then a node counts that pods may not land on after all, which only leaves settings out.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum TolerationOperator {
    /// That it is the toleration's.
    #[default]
    Equal,
    /// Nothing.
    Exists,
}

/// The nodes, and what a pod's template says of them.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'a> {
    /// Every node of the cluster. None: the operator may not see them.
    pub nodes: Option<&'a [Node]>,
    /// Labels that the pod asks of its node.
    pub node_selector: &'a BTreeMap<String, String>,
    /// Taints that it tolerates.
    pub tolerations: &'a [Toleration],
}

impl Effect {
    /// The one that Kubernetes calls so.
    pub fn named(name: &str) -> Option<Self> {
        [Self::NoExecute, Self::NoSchedule, Self::PreferNoSchedule]
            .into_iter()
            .find(|it| format!("{it:?}") == name)
    }
}

impl<'a> Placement<'a> {
    /// The nodes that pods may land on; with `restricted`, of those that say by their label that they
    /// allow unsafe settings. Affinities are not looked at: what they exclude counts all the same, and
    /// with more nodes fewer settings are applied.
    pub fn eligible(&self, restricted: bool) -> Option<Vec<&'a Node>> {
        let lands = |node: &&Node| {
            node.is_selected(self.node_selector)
                && node.is_open(self.tolerations, restricted)
                && (!restricted
                    || node
                        .labels
                        .get(ALLOWED_LABEL)
                        .is_some_and(|it| it == ALLOWED))
        };
        Some(self.nodes?.iter().filter(lands).collect())
    }
}

impl Node {
    fn is_selected(&self, selector: &BTreeMap<String, String>) -> bool {
        let mut wanted = selector.iter();
        wanted.all(|(key, value)| self.labels.get(key) == Some(value))
    }

    fn is_open(&self, tolerations: &[Toleration], restricted: bool) -> bool {
        let keeps_away = |taint: &&Taint| {
            taint.effect != Effect::PreferNoSchedule
                && !PASSING.iter().any(|group| taint.key.starts_with(group))
                // Pods with unsafe settings are given a toleration of it.
                && !(restricted && taint.key == ALLOWED_LABEL)
        };
        let mut taints = self.taints.iter().filter(keeps_away);
        !self.unschedulable && taints.all(|taint| tolerations.iter().any(|it| it.covers(taint)))
    }
}

impl Toleration {
    /// As the scheduler has it.
    fn covers(&self, taint: &Taint) -> bool {
        let any_key = self.key.is_empty() && self.operator == TolerationOperator::Exists;
        let value = match self.operator {
            TolerationOperator::Equal => self.value == taint.value,
            TolerationOperator::Exists => true,
        };
        let effect = self.effect.is_none_or(|effect| effect == taint.effect);
        (any_key || self.key == taint.key) && value && effect
    }
}

/// The oldest of some nodes, by kubelet and by kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lowest<'a> {
    pub(super) kubelet: &'a Node,
    pub(super) kernel: &'a Node,
}

impl<'a> Lowest<'a> {
    /// None: there are none. What says no version is the oldest of all.
    pub(super) fn of(nodes: &[&'a Node]) -> Option<Self> {
        let by = |text: fn(&Node) -> &str| {
            let nodes = nodes.iter().copied();
            // Among equals the first by name, so that what is said does not change with their order.
            nodes.min_by_key(|node| (Version::parse(text(node)), node.name.as_str()))
        };
        Some(Self {
            kubelet: by(|node| &node.kubelet)?,
            kernel: by(|node| &node.kernel)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: Effect) -> Taint {
        Taint {
            key: key.into(),
            value: value.into(),
            effect,
        }
    }

    fn toleration(key: &str, value: Option<&str>, effect: Option<Effect>) -> Toleration {
        Toleration {
            key: key.into(),
            operator: match value {
                Some(_) => TolerationOperator::Equal,
                None => TolerationOperator::Exists,
            },
            value: value.unwrap_or_default().into(),
            effect,
        }
    }

    fn lands(node: &Node, selector: &[(&str, &str)], tolerations: &[Toleration]) -> bool {
        let nodes = [node.clone()];
        let selector = selector
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()));
        let placement = Placement {
            nodes: Some(&nodes),
            node_selector: &selector.collect(),
            tolerations,
        };
        placement.eligible(false).unwrap().len() == 1
    }

    #[test]
    fn a_taint_keeps_away_whoever_does_not_tolerate_it() {
        use Effect::{NoExecute, NoSchedule, PreferNoSchedule};
        for (taint_, tolerations, expected) in [
            (taint("gpu", "yes", NoSchedule), vec![], false),
            (taint("gpu", "yes", NoExecute), vec![], false),
            (taint("gpu", "yes", PreferNoSchedule), vec![], true),
            (
                taint("gpu", "yes", NoSchedule),
                vec![toleration("gpu", Some("yes"), None)],
                true,
            ),
            (
                taint("gpu", "yes", NoSchedule),
                vec![toleration("gpu", Some("no"), None)],
                false,
            ),
            (
                taint("gpu", "", NoSchedule),
                vec![toleration("gpu", Some(""), None)],
                true,
            ),
            (
                taint("gpu", "yes", NoSchedule),
                vec![toleration("gpu", None, None)],
                true,
            ),
            (
                taint("gpu", "yes", NoSchedule),
                vec![toleration("tpu", None, None)],
                false,
            ),
            (
                taint("gpu", "yes", NoSchedule),
                vec![toleration("", None, None)],
                true,
            ),
            (
                taint("gpu", "yes", NoSchedule),
                vec![toleration("", Some("yes"), None)],
                false,
            ),
            (
                taint("gpu", "yes", NoSchedule),
                vec![toleration("gpu", None, Some(NoExecute))],
                false,
            ),
            (
                taint("gpu", "yes", NoExecute),
                vec![
                    toleration("tpu", None, None),
                    toleration("gpu", None, Some(NoExecute)),
                ],
                true,
            ),
            (
                taint("node.kubernetes.io/not-ready", "", NoExecute),
                vec![],
                true,
            ),
            (
                taint("node.kubernetes.io/disk-pressure", "", NoSchedule),
                vec![],
                true,
            ),
        ] {
            let node = Node {
                taints: vec![taint_.clone()],
                ..Node::default()
            };
            assert_eq!(
                lands(&node, &[], &tolerations),
                expected,
                "{taint_:?} {tolerations:?}"
            );
        }
    }

    #[test]
    fn every_taint_must_be_tolerated() {
        let node = Node {
            taints: vec![
                taint("a", "", Effect::NoSchedule),
                taint("b", "", Effect::NoSchedule),
            ],
            ..Node::default()
        };
        let (a, b) = (toleration("a", None, None), toleration("b", None, None));
        assert!(!lands(&node, &[], std::slice::from_ref(&a)));
        assert!(lands(&node, &[], &[a, b]));
    }

    #[test]
    fn a_node_must_have_every_label_that_is_asked_for() {
        let node = Node {
            labels: [("zone", "a"), ("disk", "ssd")]
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
            ..Node::default()
        };
        for (selector, expected) in [
            (&[][..], true),
            (&[("zone", "a")][..], true),
            (&[("zone", "a"), ("disk", "ssd")][..], true),
            (&[("zone", "b")][..], false),
            (&[("zone", "a"), ("arch", "arm64")][..], false),
        ] {
            assert_eq!(lands(&node, selector, &[]), expected, "{selector:?}");
        }
    }

    #[test]
    fn a_node_that_takes_no_pods_does_not_count() {
        let node = Node {
            unschedulable: true,
            ..Node::default()
        };
        assert!(!lands(&node, &[], &[]));
    }

    #[test]
    fn only_labelled_nodes_take_pods_with_unsafe_settings() {
        let node = |name: &str, label: Option<&str>| Node {
            name: name.into(),
            labels: label
                .map(|it| (ALLOWED_LABEL.into(), it.into()))
                .into_iter()
                .collect(),
            taints: vec![taint(ALLOWED_LABEL, ALLOWED, Effect::NoSchedule)],
            ..Node::default()
        };
        let nodes = [
            node("a", Some(ALLOWED)),
            node("b", Some("no")),
            node("c", None),
        ];
        let placement = Placement {
            nodes: Some(&nodes),
            node_selector: &BTreeMap::new(),
            tolerations: &[],
        };
        let names = |restricted| {
            let nodes = placement.eligible(restricted).unwrap();
            nodes
                .iter()
                .map(|node| node.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(true), ["a"]);
        assert_eq!(names(false), [""; 0], "others do not tolerate the taint");
        let unknown = Placement {
            nodes: None,
            ..placement
        };
        assert_eq!(unknown.eligible(true), None);
    }

    #[test]
    fn the_oldest_node_is_the_lowest_and_no_version_is_older_than_any() {
        let node = |name: &str, kubelet: &str, kernel: &str| Node {
            name: name.into(),
            kubelet: kubelet.into(),
            kernel: kernel.into(),
            ..Node::default()
        };
        let (new, old) = (node("a", "v1.34.1", "5.4.0"), node("b", "v1.9.3", "6.10.1"));
        let lowest = Lowest::of(&[&new, &old]).unwrap();
        assert_eq!([&lowest.kubelet.name, &lowest.kernel.name], ["b", "a"]);
        let odd = node("c", "edge", "");
        let lowest = Lowest::of(&[&new, &odd, &old]).unwrap();
        assert_eq!([&lowest.kubelet.name, &lowest.kernel.name], ["c", "c"]);
        assert!(Lowest::of(&[]).is_none());
    }
}
