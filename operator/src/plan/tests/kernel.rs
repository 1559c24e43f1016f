//! Kernel settings: what new pods get, and that nothing that a kubelet forbids can loop.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::sysctl::{self, ALLOWED_LABEL, Node};

const ACCEPT: &str = "net.core.somaxconn";
const FIN: &str = "net.ipv4.tcp_fin_timeout";

/// A cluster of two pods that asks for these settings.
fn asking(sysctls: &[(&str, &str)], unsafe_sysctls: &str) -> WseClusterSpec {
    let mut spec = serde_json::to_value(spec(2)).unwrap();
    let of = |(name, value): &(&str, &str)| json!({"name": name, "value": value});
    let sysctls: Vec<Value> = sysctls.iter().map(of).collect();
    spec["capacity"] = json!({"tier": "Light"});
    spec["kernel"] = json!({"sysctls": sysctls, "unsafeSysctls": unsafe_sysctls});
    serde_json::from_value(spec).unwrap()
}

fn requiring() -> WseClusterSpec {
    asking(&[(ACCEPT, "8192")], "Require")
}

fn node(name: &str, allows: bool) -> Node {
    let label = allows.then(|| (ALLOWED_LABEL.to_owned(), "allowed".to_owned()));
    Node {
        name: name.into(),
        labels: label.into_iter().collect(),
        kubelet: "v1.34.4".into(),
        kernel: "6.1.0".into(),
        ..Node::default()
    }
}

fn nodes() -> Kernel {
    Kernel {
        nodes: Some(vec![node("a", false), node("b", true)].into()),
        ..Kernel::default()
    }
}

fn planned(spec: &WseClusterSpec, kernel: Kernel) -> Plan {
    let observation = Observation {
        kernel: Some(kernel),
        ..Observation::default()
    };
    plan(&subject(spec), &observation, &watched(), at(0)).0
}

fn tuned(plan: &Plan) -> &Condition {
    let of_it = |condition: &&Condition| condition.r#type == ConditionType::KernelTuned;
    plan.conditions.iter().find(of_it).unwrap()
}

fn applied(plan: &Plan) -> Vec<&str> {
    let settings = plan.tuning.sysctls.iter();
    settings.map(|it| it.name.as_str()).collect()
}

fn trial(plan: &Plan) -> Option<&Trial> {
    plan.tuning.steps.iter().find_map(|step| match step {
        Step::Preflight(trial) => Some(trial),
        Step::Discard { .. } | Step::EndPreflight => None,
    })
}

/// The preflight that the plan asks for, with this outcome.
fn tried(plan: &Plan, outcome: Outcome) -> Option<Preflight> {
    let trial = trial(plan).expect("something is to be tried");
    Some(Preflight {
        pod: "chat-preflight".into(),
        digest: trial.digest.clone(),
        sysctls: trial.sysctls.iter().map(|it| it.name.clone()).collect(),
        outcome,
    })
}

fn turned_away(node: &str, sysctls: &[&str], message: &str) -> Rejected {
    Rejected {
        pod: "chat-1".into(),
        node: node.into(),
        sysctls: sysctls.iter().map(|it| (*it).to_owned()).collect(),
        message: message.into(),
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

#[test]
fn where_pods_have_no_settings_of_their_own_there_is_nothing_to_tell() {
    let spec = requiring();
    let (plan, _) = plan(&subject(&spec), &Observation::default(), &watched(), at(0));
    assert_eq!(plan.tuning, Tuning::default());
    let of_it = |it: &Condition| it.r#type == ConditionType::KernelTuned;
    assert!(!plan.conditions.iter().any(of_it));
}

#[test]
fn a_tier_brings_settings_and_moves_nobody() {
    let mut high = spec(2);
    high.capacity.tier = TierChoice::High;
    let mut light = spec(2);
    light.capacity.tier = TierChoice::Light;
    let (one, other) = (planned(&high, nodes()), planned(&light, nodes()));
    assert!(applied(&one).contains(&FIN) && !applied(&other).contains(&FIN));
    assert_eq!(one.revisions[0].id, other.revisions[0].id);
    assert!(
        tuned(&one).holds,
        "what a newer kubelet would give is nobody's fault: {one:?}"
    );
    assert_eq!(tuned(&one).reason, "CoversNodes");
    assert_eq!(tuned(&other).reason, "CoversTier");
}

#[test]
fn a_setting_of_the_spec_makes_other_pods_and_nodes_that_come_or_go_do_not() {
    let plain = planned(&asking(&[], "Omit"), nodes());
    let spec = asking(&[(FIN, "7")], "Omit");
    let mine = planned(&spec, nodes());
    assert_eq!(applied(&mine), [FIN]);
    assert_ne!(mine.revisions[0].id, plain.revisions[0].id);

    let mut old = nodes();
    let ancient = Node {
        kubelet: "v1.28.0".into(),
        ..node("c", false)
    };
    old.nodes = Some(vec![node("a", false), ancient].into());
    for kernel in [old, Kernel::default()] {
        let plan = planned(&spec, kernel);
        assert_eq!(applied(&plan), [""; 0]);
        assert!(!tuned(&plan).holds);
        assert_eq!(plan.revisions[0].id, mine.revisions[0].id);
    }
    // The node's own can never be a pod's.
    let node_level = planned(&asking(&[("fs.file-max", "1")], "Omit"), nodes());
    assert_eq!(node_level.revisions[0].id, plain.revisions[0].id);
    assert_eq!(tuned(&node_level).reason, "NodeLevelSysctls");
}

#[test]
fn a_setting_of_the_template_is_judged_as_any_other() {
    let mut spec = asking(&[], "Omit");
    let context = json!({"sysctls": [{"name": ACCEPT, "value": "1"}, {"name": FIN, "value": "5"}]});
    spec.pod_template
        .spec
        .insert("securityContext".into(), context);
    let plan = planned(&spec, nodes());
    assert_eq!(applied(&plan), [FIN]);
    assert_eq!(plan.tuning.omitted[0].0, ACCEPT);
    assert_eq!(tuned(&plan).reason, "UnsafeSysctlsOmitted");
}

#[test]
fn an_unsafe_setting_is_tried_first_and_the_fleet_stays_as_it_is() {
    let before = planned(&asking(&[], "Omit"), nodes()).revisions;
    let spec = requiring();
    let first = planned(&spec, nodes());
    assert_eq!(first.revisions, before);
    assert_eq!(tuned(&first).reason, "PreflightPending");
    let wanted = [sysctl::Setting::from((ACCEPT, "8192"))];
    assert_eq!(trial(&first).unwrap().sysctls, wanted);

    for (outcome, reason, says) in [
        (Outcome::Pending(None), "PreflightPending", "being tried"),
        (
            Outcome::Pending(Some("Unschedulable".into())),
            "PreflightPending",
            "Unschedulable",
        ),
        (
            Outcome::Forbidden("not allowlisted".into()),
            "SysctlForbidden",
            "allowedUnsafeSysctls",
        ),
        (
            Outcome::Failed("Evicted".into()),
            "PreflightFailed",
            "Delete the pod",
        ),
        (
            Outcome::Denied("violates PodSecurity".into()),
            "PreflightDenied",
            "violates PodSecurity",
        ),
    ] {
        let again = matches!(outcome, Outcome::Denied(_));
        let plan = planned(
            &spec,
            Kernel {
                preflight: tried(&first, outcome),
                ..nodes()
            },
        );
        assert_eq!(plan.revisions, before, "{reason}");
        assert_eq!(applied(&plan), [""; 0], "{reason}");
        assert_eq!(tuned(&plan).reason, reason);
        assert!(tuned(&plan).message.contains(says), "{:?}", tuned(&plan));
        assert_eq!(
            plan.tuning.steps.len(),
            usize::from(again),
            "{reason}: {plan:?}"
        );
        let ready = |it: &&Condition| it.r#type == ConditionType::Ready;
        let ready_before = first.conditions.iter().find(ready);
        assert_eq!(plan.conditions.iter().find(ready), ready_before, "{reason}");
    }
}

#[test]
fn what_a_pod_has_shown_is_kept_and_makes_other_pods() {
    let spec = requiring();
    let first = planned(&spec, nodes());
    let passed = Kernel {
        preflight: tried(&first, Outcome::Passed),
        ..nodes()
    };
    let plan = planned(&spec, passed);
    assert_eq!(plan.tuning.allowed, names(&[ACCEPT]));
    assert_eq!(plan.tuning.steps, [Step::EndPreflight]);
    assert_eq!(applied(&plan), [ACCEPT]);
    assert!(plan.tuning.restricted);
    assert_ne!(plan.revisions[0].id, first.revisions[0].id);

    let kept = Kernel {
        allowed: plan.tuning.allowed.clone(),
        ..nodes()
    };
    let later = planned(&spec, kept.clone());
    assert_eq!(
        (&later.tuning.steps, &later.revisions),
        (&vec![], &plan.revisions)
    );
    assert!(tuned(&later).holds);

    // One that nobody wants any more has to be tried again one day.
    let omits = planned(&asking(&[(ACCEPT, "8192")], "Omit"), kept);
    assert_eq!(
        (omits.tuning.allowed, omits.revisions),
        (names(&[]), first.revisions)
    );
}

#[test]
fn a_trial_that_nobody_needs_is_ended_and_another_waits_for_its_end() {
    let first = planned(&requiring(), nodes());
    for outcome in [Outcome::Pending(None), Outcome::Forbidden("x".into())] {
        let kernel = Kernel {
            preflight: tried(&first, outcome),
            ..nodes()
        };
        let omits = planned(&asking(&[(ACCEPT, "8192")], "Omit"), kernel.clone());
        assert_eq!(omits.tuning.steps, [Step::EndPreflight]);
        let other = planned(&asking(&[(ACCEPT, "9000")], "Require"), kernel);
        assert_eq!(other.tuning.steps, [Step::EndPreflight]);
    }
}

#[test]
fn without_a_node_that_allows_it_nothing_is_tried() {
    let kernel = Kernel {
        nodes: Some(vec![node("a", false)].into()),
        ..Kernel::default()
    };
    let plan = planned(&requiring(), kernel);
    assert_eq!(plan.tuning.steps, []);
    assert_eq!(tuned(&plan).reason, "NoNodeAllows");
}

#[test]
fn a_pod_that_is_turned_away_takes_its_setting_along_until_the_node_changes() {
    let spec = requiring();
    let before = planned(&spec, nodes()).revisions;
    let message = format!("forbidden sysctl: \"{ACCEPT}\" not allowlisted");
    let kernel = Kernel {
        allowed: names(&[ACCEPT]),
        rejected: vec![turned_away("b", &[FIN, ACCEPT], &message)],
        ..nodes()
    };
    let plan = planned(&spec, kernel);
    assert_eq!(plan.revisions, before);
    assert_eq!(
        plan.tuning.steps,
        [Step::Discard {
            pod: "chat-1".into()
        }]
    );
    assert_eq!(plan.tuning.allowed, names(&[]));
    assert_eq!(tuned(&plan).reason, "SysctlForbidden");

    let kept = |nodes: Vec<Node>| Kernel {
        nodes: Some(nodes.into()),
        refused: plan.tuning.refused.clone(),
        ..Kernel::default()
    };
    // The pod is gone, and nothing is tried.
    let later = planned(
        &spec,
        kept(vec![node("a", false), node("b", true), node("c", true)]),
    );
    assert_eq!(
        (&later.tuning.steps, &later.tuning.refused),
        (&vec![], &plan.tuning.refused)
    );
    assert!(
        tuned(&later).message.contains("kubelet of b"),
        "{:?}",
        tuned(&later)
    );
    // Its label is taken away, and another node allows it.
    let later = planned(&spec, kept(vec![node("b", false), node("c", true)]));
    assert!(trial(&later).is_some() && later.tuning.refused.is_empty());
}

#[test]
fn the_kubelets_words_say_which_setting_it_was() {
    let guilty = |sysctls: &[&str], message: &str| {
        let mut spec = asking(&[(FIN, "7"), (ACCEPT, "1"), ("net.other", "1")], "Require");
        spec.capacity.tier = TierChoice::Light;
        let kernel = Kernel {
            rejected: vec![turned_away("b", sysctls, message)],
            ..nodes()
        };
        let refused = planned(&spec, kernel).tuning.refused;
        refused.into_iter().map(|it| it.name).collect::<Vec<_>>()
    };
    let all = [FIN, ACCEPT, "net.other"];
    assert_eq!(guilty(&all, &format!("\"{FIN}\" not allowlisted")), [FIN]);
    let parenthesised =
        format!("violates PodSecurity: forbidden sysctls ({ACCEPT}, net.other.more)");
    assert_eq!(guilty(&all, &parenthesised), [ACCEPT]);
    assert_eq!(guilty(&all, "no"), [ACCEPT, "net.other"]);
    assert_eq!(guilty(&[FIN, "net.ipv4.tcp_syncookies"], "no"), [FIN]);
}

#[test]
fn what_a_namespace_forbids_is_left_out_until_the_next_edit() {
    let mut high = spec(2);
    high.capacity.tier = TierChoice::High;
    let before = planned(&high, nodes());
    let barred = Barred {
        sysctls: applied(&before).into_iter().map(str::to_owned).collect(),
        message: format!("violates PodSecurity \"baseline:v1.28\": forbidden sysctls ({FIN})"),
    };
    let plan = planned(
        &high,
        Kernel {
            barred: Some(barred),
            ..nodes()
        },
    );
    assert!(!applied(&plan).contains(&FIN) && applied(&plan).len() == applied(&before).len() - 1);
    assert_eq!(plan.revisions, before.revisions);
    assert!(
        tuned(&plan).message.contains("pod security level"),
        "{:?}",
        tuned(&plan)
    );
    for (edited, left_out) in [(false, true), (true, false)] {
        let refused = plan.tuning.refused.clone();
        let later = planned(
            &high,
            Kernel {
                refused,
                edited,
                ..nodes()
            },
        );
        assert_eq!(!applied(&later).contains(&FIN), left_out, "{edited}");
    }
}

#[test]
fn what_a_gateway_does_not_see_is_told() {
    let astray = |pod: &str| Astray {
        pod: pod.into(),
        sysctls: vec![FIN.into()],
    };
    let kernel = Kernel {
        astray: vec![astray("chat-2"), astray("chat-1")],
        ..nodes()
    };
    let plan = planned(&asking(&[], "Omit"), kernel);
    let told = tuned(&plan);
    assert_eq!((told.holds, told.reason), (false, "NotInForce"));
    assert!(
        told.message.starts_with(FIN) && told.message.contains("chat-1"),
        "{told:?}"
    );
}

/// A place where kubelets allow some settings, and a template by count makes a new pod for each that
/// is turned away.
struct Place {
    nodes: Vec<Node>,
    /// Names that the kubelets of labelled nodes allow, by node.
    allows: Vec<BTreeSet<String>>,
    kernel: Kernel,
    trials: Vec<String>,
    turned_away: usize,
}

impl Place {
    fn pass(&mut self, spec: &WseClusterSpec, random: &mut fastrand::Rng) -> Plan {
        self.kernel.nodes = Some(self.nodes.clone().into());
        let plan = planned(spec, self.kernel.clone());
        self.kernel.allowed.clone_from(&plan.tuning.allowed);
        self.kernel.refused.clone_from(&plan.tuning.refused);
        self.kernel.rejected.clear();
        for step in &plan.tuning.steps {
            match step {
                Step::Discard { .. } => {}
                Step::EndPreflight => self.kernel.preflight = None,
                Step::Preflight(trial) => {
                    assert!(self.kernel.preflight.is_none(), "one at a time");
                    self.trials.push(trial.digest.clone());
                    let names: Vec<String> =
                        trial.sysctls.iter().map(|it| it.name.clone()).collect();
                    let outcome = match self.lands(&names, true, random) {
                        Some((node, false)) => Outcome::Forbidden(self.nodes[node].name.clone()),
                        Some((_, true)) => Outcome::Passed,
                        None => Outcome::Pending(None),
                    };
                    self.kernel.preflight = tried(&plan, outcome);
                }
            }
        }
        // A pod is made by count.
        let names: Vec<String> = plan
            .tuning
            .sysctls
            .iter()
            .map(|it| it.name.clone())
            .collect();
        if let Some((node, false)) = self.lands(&names, plan.tuning.restricted, random) {
            self.turned_away += 1;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let node = self.nodes[node].name.clone();
            self.kernel
                .rejected
                .push(turned_away(&node, &names, "not allowlisted"));
        }
        plan
    }

    /// A node, and whether its kubelet allows the names.
    fn lands(
        &self,
        names: &[String],
        restricted: bool,
        random: &mut fastrand::Rng,
    ) -> Option<(usize, bool)> {
        let open =
            |index: &usize| !restricted || self.nodes[*index].labels.contains_key(ALLOWED_LABEL);
        let nodes: Vec<usize> = (0..self.nodes.len()).filter(open).collect();
        let node = *random.choice(&nodes)?;
        let fine = |name: &String| match sysctl::classify(name) {
            sysctl::Class::Safe { .. } => true,
            sysctl::Class::Unsafe => self.allows[node].contains(name),
            sysctl::Class::NodeLevel => false,
        };
        Some((node, names.iter().all(fine)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Labels may lie, kubelets may forbid: after a few passes nothing is made any more that fails.
    #[test]
    fn what_kubelets_forbid_never_loops(
        labelled in prop::collection::vec(any::<bool>(), 1..4),
        allowed in prop::collection::vec(prop::collection::vec(any::<bool>(), 3), 4),
        wanted in prop::collection::vec(any::<bool>(), 3),
        seed in any::<u64>(),
    ) {
        const RISKY: [&str; 3] = [ACCEPT, "net.other", "kernel.sem"];
        let pick = |which: &[bool]| {
            let names = RISKY.into_iter().zip(which);
            names.filter(|(_, on)| **on).map(|(name, _)| name).collect::<Vec<_>>()
        };
        let mut random = fastrand::Rng::with_seed(seed);
        let mut place = Place {
            nodes: labelled.iter().enumerate().map(|(index, allows)| node(&format!("n{index}"), *allows)).collect(),
            allows: allowed.iter().map(|which| names(&pick(which))).collect(),
            kernel: Kernel::default(),
            trials: Vec::new(),
            turned_away: 0,
        };
        let asked: Vec<(&str, &str)> = pick(&wanted).into_iter().map(|name| (name, "1")).collect();
        let spec = asking(&asked, "Require");
        for _ in 0..80 {
            place.pass(&spec, &mut random);
        }
        let nodes = place.nodes.len();
        prop_assert!(place.turned_away <= RISKY.len() * nodes, "{} turned away", place.turned_away);
        prop_assert!(place.trials.len() <= 1 + RISKY.len() * nodes, "{:?}", place.trials);
        let honest = place.nodes.iter().zip(&place.allows).all(|(node, allows)| {
            !node.labels.contains_key(ALLOWED_LABEL) || asked.iter().all(|(name, _)| allows.contains(*name))
        });
        if honest {
            prop_assert_eq!(place.turned_away, 0, "no label lies");
            prop_assert!(place.trials.len() <= 1);
        }
    }
}
