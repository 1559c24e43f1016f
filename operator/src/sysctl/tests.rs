//! Which settings pods get: tables, and what holds for all of them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::tier::Tier;

const ACCEPT: &str = "net.core.somaxconn";
const FIN: &str = "net.ipv4.tcp_fin_timeout";
const RECEIVE: &str = "net.ipv4.tcp_rmem";
const UNSENT: &str = "net.ipv4.tcp_notsent_lowat";
const COOKIES: &str = "net.ipv4.tcp_syncookies";
const FILES: &str = "fs.file-max";

fn node(name: &str, kubelet: &str, kernel: &str, allows: bool) -> Node {
    let label = allows.then(|| (ALLOWED_LABEL.to_owned(), ALLOWED.to_owned()));
    Node {
        name: name.into(),
        labels: label.into_iter().collect(),
        kubelet: kubelet.into(),
        kernel: kernel.into(),
        ..Node::default()
    }
}

fn settings(names: &[&str]) -> Vec<Setting> {
    names
        .iter()
        .map(|name| Setting::from((*name, "1")))
        .collect()
}

fn names(settings: &[Setting]) -> Vec<&str> {
    settings.iter().map(|it| it.name.as_str()).collect()
}

fn chosen(wanted: &[&str], nodes: Option<&[Node]>, policy: Policy, allowed: &[&str]) -> Choice {
    let placement = Placement {
        nodes,
        node_selector: &BTreeMap::new(),
        tolerations: &[],
    };
    let allowed = allowed.iter().map(|it| (*it).to_owned()).collect();
    choose(&settings(wanted), &placement, policy, &allowed)
}

/// Why the only wanted setting is left out.
fn refused(wanted: &str, nodes: Option<&[Node]>) -> Option<Reason> {
    let choice = chosen(&[wanted], nodes, Policy::Omit, &[]);
    assert_eq!(choice.applied.len() + choice.omitted.len(), 1);
    choice.omitted.into_iter().next().map(|(_, reason)| reason)
}

#[test]
fn the_lowest_kubelet_and_kernel_decide() {
    let new = node("new", "v1.37.0", "6.12.1", false);
    let old = node("old", "v1.28.9", "6.12.1", false);
    let rocky = node("rocky", "v1.37.0", "4.14.0-0.el8", false);
    let odd = node("odd", "edge", "6.12.1", false);
    let kubelet = |needs, node: &Node| Reason::KubeletTooOld {
        needs,
        node: node.name.clone(),
        has: node.kubelet.clone(),
    };
    let kernel = |needs, node: &Node| Reason::KernelTooOld {
        needs,
        node: node.name.clone(),
        has: node.kernel.clone(),
    };
    for (name, nodes, expected) in [
        (COOKIES, vec![&odd], None),
        (FIN, vec![&new], None),
        (FIN, vec![&new, &rocky], None),
        (FIN, vec![&new, &old], Some(kubelet(Version(1, 29), &old))),
        (
            FIN,
            vec![&old, &odd, &new],
            Some(kubelet(Version(1, 29), &odd)),
        ),
        (UNSENT, vec![&new], None),
        (
            RECEIVE,
            vec![&new, &rocky],
            Some(kernel(Version(4, 15), &rocky)),
        ),
        (
            RECEIVE,
            vec![&rocky, &old],
            Some(kubelet(Version(1, 32), &old)),
        ),
        (FIN, vec![], Some(Reason::NoNode)),
        (COOKIES, vec![], None),
        (FILES, vec![&new], Some(Reason::NodeLevel)),
        (ACCEPT, vec![&new], Some(Reason::Unsafe)),
    ] {
        let nodes: Vec<Node> = nodes.into_iter().cloned().collect();
        assert_eq!(refused(name, Some(&nodes)), expected, "{name} {nodes:?}");
    }
}

#[test]
fn of_nodes_that_nobody_may_see_only_what_all_hold_safe_is_asked() {
    assert_eq!(refused(COOKIES, None), None);
    assert_eq!(refused(FIN, None), Some(Reason::NodesUnknown));
    assert_eq!(refused(FILES, None), Some(Reason::NodeLevel));
}

#[test]
fn an_unsafe_setting_is_applied_only_when_required_allowed_and_proven() {
    let plain = node("plain", "v1.34.0", "6.1.0", false);
    let allows = node("allows", "v1.34.0", "6.1.0", true);
    let (both, one) = ([plain.clone(), allows], [plain]);
    for (nodes, policy, allowed, applied, unproven) in [
        (Some(&both[..]), Policy::Require, &[ACCEPT][..], true, false),
        (Some(&both[..]), Policy::Require, &[][..], false, true),
        (
            Some(&both[..]),
            Policy::Require,
            &["net.other"][..],
            false,
            true,
        ),
        (Some(&both[..]), Policy::Omit, &[ACCEPT][..], false, false),
        (Some(&one[..]), Policy::Require, &[ACCEPT][..], false, false),
        (Some(&[][..]), Policy::Require, &[ACCEPT][..], false, false),
        (None, Policy::Require, &[][..], false, true),
        // What was proven stays so, or a right that is taken away would replace every pod.
        (None, Policy::Require, &[ACCEPT][..], true, false),
    ] {
        let choice = chosen(&[ACCEPT], nodes, policy, allowed);
        let case = format!("{nodes:?} {policy:?} {allowed:?}: {choice:?}");
        assert_eq!(choice.applied.len() == 1, applied, "{case}");
        assert_eq!(choice.restricted, applied, "{case}");
        assert_eq!(choice.unproven.len() == 1, unproven, "{case}");
        assert_eq!(choice.omitted.is_empty(), applied || unproven, "{case}");
    }
    let choice = chosen(&[ACCEPT], Some(&one), Policy::Require, &[ACCEPT]);
    assert_eq!(choice.omitted[0].1, Reason::NoNodeAllows);
}

#[test]
fn pods_with_unsafe_settings_are_judged_by_the_nodes_that_allow_them() {
    let old = node("old", "v1.28.0", "6.1.0", false);
    let allows = node("allows", "v1.34.0", "6.1.0", true);
    let nodes = [old, allows];
    let choice = chosen(&[ACCEPT, FIN], Some(&nodes), Policy::Require, &[ACCEPT]);
    assert_eq!(names(&choice.applied), [ACCEPT, FIN]);
    // Until then pods may land on the old one.
    let choice = chosen(&[ACCEPT, FIN], Some(&nodes), Policy::Require, &[]);
    assert_eq!(
        (names(&choice.applied), names(&choice.unproven)),
        (vec![], vec![ACCEPT])
    );
    assert_eq!(choice.omitted[0].0, FIN);
}

#[test]
fn every_reason_says_what_to_do() {
    let old = node("old", "v1.28.9", "4.4.0", false);
    let said = |name| {
        refused(name, Some(std::slice::from_ref(&old)))
            .unwrap()
            .to_string()
    };
    for (text, parts) in [
        (
            said(FIN),
            &["kubelet 1.29", "old", "v1.28.9", "upgrade"][..],
        ),
        (
            said(ACCEPT),
            &["kernel.unsafeSysctls", "Require", "allowedUnsafeSysctls"][..],
        ),
        (said(FILES), &["node's own configuration"][..]),
        (Reason::NodesUnknown.to_string(), &["grant", "nodes"][..]),
        (
            Reason::NoNode.to_string(),
            &["nodeSelector", "tolerations"][..],
        ),
        (
            Reason::NoNodeAllows.to_string(),
            &["allowedUnsafeSysctls", "wse.dev/unsafe-sysctls=allowed"][..],
        ),
        (
            refused(FIN, Some(&[node("n", "v1.29.0", "", false)]))
                .unwrap()
                .to_string(),
            &["kernel 4.6", "no version"][..],
        ),
    ] {
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn a_persons_value_wins_over_the_tiers() {
    let theirs = [
        Setting::from((FIN, "7")),
        Setting::from((ACCEPT, "1")),
        Setting::from((ACCEPT, "2")),
    ];
    let all = wanted(Tier::High, &theirs);
    let value = |name| {
        all.iter()
            .find(|it| it.name == name)
            .map(|it| it.value.as_str())
    };
    assert_eq!(value(FIN), Some("7"));
    assert_eq!(value(ACCEPT), Some("2"));
    assert_eq!(all.len(), of_tier(Tier::High).len() + 1);
    assert_eq!(wanted(Tier::Minimal, &[]), []);
}

fn any_setting() -> impl Strategy<Value = Setting> {
    const NAMES: &[&str] = &[
        ACCEPT,
        FIN,
        RECEIVE,
        UNSENT,
        COOKIES,
        FILES,
        "net.unknown",
        "kernel.sem",
    ];
    (prop::sample::select(NAMES), 0..3u32).prop_map(|(name, value)| Setting {
        name: name.into(),
        value: value.to_string(),
    })
}

fn any_wanted() -> impl Strategy<Value = Vec<Setting>> {
    (
        prop::sample::select(&Tier::ALL[..]),
        prop::collection::vec(any_setting(), 0..6),
    )
        .prop_map(|(tier, theirs)| wanted(tier, &theirs))
}

fn any_node() -> impl Strategy<Value = Node> {
    const KUBELETS: &[&str] = &[
        "",
        "v1.17.0",
        "v1.28.3",
        "v1.29.1",
        "v1.32.0-eks",
        "v1.37.0",
        "odd",
    ];
    const KERNELS: &[&str] = &["", "3.10.0", "4.5.0", "4.14.1", "6.8.0-generic", "odd"];
    let some = prop::sample::select;
    (some(KUBELETS), some(KERNELS), any::<[bool; 3]>()).prop_map(
        |(kubelet, kernel, [allows, tainted, unschedulable])| {
            let taint = Taint {
                key: "gpu".into(),
                value: String::new(),
                effect: Effect::NoSchedule,
            };
            Node {
                taints: tainted.then_some(taint).into_iter().collect(),
                unschedulable,
                ..node("n", kubelet, kernel, allows)
            }
        },
    )
}

fn any_nodes() -> impl Strategy<Value = Option<Vec<Node>>> {
    prop::option::of(prop::collection::vec(any_node(), 0..5))
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Omit), Just(Policy::Require)]
}

fn any_allowed() -> impl Strategy<Value = BTreeSet<String>> {
    let names = [ACCEPT, FIN, FILES, "net.unknown", "kernel.sem"].map(str::to_owned);
    prop::sample::subsequence(names.to_vec(), 0..5).prop_map(|names| names.into_iter().collect())
}

fn choose_on(
    nodes: Option<&[Node]>,
    wanted: &[Setting],
    policy: Policy,
    allowed: &BTreeSet<String>,
) -> Choice {
    let placement = Placement {
        nodes,
        node_selector: &BTreeMap::new(),
        tolerations: &[],
    };
    choose(wanted, &placement, policy, allowed)
}

proptest! {
    #[test]
    fn every_wanted_setting_is_applied_omitted_or_unproven(
        wanted in any_wanted(), nodes in any_nodes(), policy in any_policy(), allowed in any_allowed(),
    ) {
        let choice = choose_on(nodes.as_deref(), &wanted, policy, &allowed);
        let mut told: Vec<&str> = names(&choice.applied);
        told.extend(choice.omitted.iter().map(|(name, _)| name.as_str()));
        told.extend(names(&choice.unproven));
        told.sort_unstable();
        prop_assert_eq!(told, names(&wanted));
        let as_wanted = choice.applied.iter().chain(&choice.unproven).all(|it| wanted.contains(it));
        prop_assert!(as_wanted);
    }

    #[test]
    fn an_unsafe_name_is_applied_only_where_it_was_proven_and_pods_are_kept_to_nodes_that_allow_it(
        wanted in any_wanted(), nodes in any_nodes(), policy in any_policy(), allowed in any_allowed(),
    ) {
        let choice = choose_on(nodes.as_deref(), &wanted, policy, &allowed);
        let mut risky = choice.applied.iter().filter(|it| classify(&it.name) == Class::Unsafe).peekable();
        prop_assert_eq!(risky.peek().is_some(), choice.restricted);
        prop_assert!(risky.all(|it| policy == Policy::Require && allowed.contains(&it.name)));
        prop_assert!(policy == Policy::Require || choice.unproven.is_empty());
        prop_assert!(choice.unproven.iter().all(|it| !allowed.contains(&it.name)));
        prop_assert!(choice.applied.iter().all(|it| classify(&it.name) != Class::NodeLevel));
    }

    #[test]
    fn what_is_applied_is_allowed_by_every_kubelet_that_a_pod_may_meet(
        wanted in any_wanted(), nodes in any_nodes(), policy in any_policy(), allowed in any_allowed(),
    ) {
        let choice = choose_on(nodes.as_deref(), &wanted, policy, &allowed);
        let takes = |node: &&Node| {
            !node.unschedulable && node.taints.is_empty()
                && (!choice.restricted || node.labels.contains_key(ALLOWED_LABEL))
        };
        let is = |has: &str, needs: Option<Version>| {
            needs.is_none_or(|needs| Version::parse(has) >= Some(needs))
        };
        for node in nodes.iter().flatten().filter(takes) {
            for it in &choice.applied {
                if let Class::Safe { kubelet, kernel } = classify(&it.name) {
                    prop_assert!(is(&node.kubelet, kubelet) && is(&node.kernel, kernel), "{it:?} {node:?}");
                }
            }
        }
    }

    #[test]
    fn one_more_node_never_applies_more(
        wanted in any_wanted(), nodes in prop::collection::vec(any_node(), 1..5), more in any_node(),
    ) {
        let nothing = BTreeSet::new();
        let lands = |node: &Node| !node.unschedulable && node.taints.is_empty();
        // Before the first one nothing is known.
        prop_assume!(nodes.iter().any(lands));
        let few = choose_on(Some(&nodes), &wanted, Policy::Omit, &nothing);
        let mut nodes = nodes;
        nodes.push(more);
        let many = choose_on(Some(&nodes), &wanted, Policy::Omit, &nothing);
        prop_assert!(many.applied.iter().all(|it| few.applied.contains(it)));
    }

    #[test]
    fn the_order_of_nodes_does_not_matter(
        wanted in any_wanted(), nodes in any_nodes(), policy in any_policy(), allowed in any_allowed(),
    ) {
        let mut nodes: Vec<Node> = nodes.unwrap_or_default();
        for (index, node) in nodes.iter_mut().enumerate() {
            node.name = format!("n{index}");
        }
        let one = choose_on(Some(&nodes), &wanted, policy, &allowed);
        nodes.reverse();
        prop_assert_eq!(one, choose_on(Some(&nodes), &wanted, policy, &allowed));
    }
}
