//! Clients are spread over pods that differ.

use super::*;

const BALANCED: ConditionType = ConditionType::Balanced;

fn told(plan: &Plan) -> (bool, &'static str) {
    let found = plan.conditions.iter().find(|it| it.r#type == BALANCED);
    found.map(|it| (it.holds, it.reason)).unwrap()
}

fn fleet(spec: &WseClusterSpec, sessions: &[u32]) -> Observation {
    let revision = wanted(spec);
    let named = sessions.iter().zip('a'..);
    let pods = named.map(|(sessions, name)| {
        pod(
            &name.to_string(),
            &revision,
            PodState::Ready,
            Some(*sessions),
        )
    });
    observing(pods.collect())
}

fn shed(pod: &str, sessions: u32) -> Action {
    Action::Shed {
        pod: pod.into(),
        sessions,
    }
}

/// A pass over a fleet that is otherwise as wanted.
fn look(sessions: &[u32], change: impl FnOnce(&mut WseClusterSpec, &mut Observation)) -> Plan {
    let mut spec = spec(sessions.len() as u32);
    let mut observation = fleet(&spec, sessions);
    change(&mut spec, &mut observation);
    plan(&subject(&spec), &observation, &watched(), at(0)).0
}

#[test]
fn what_a_pod_has_above_the_mean_may_leave() {
    for (sessions, actions, reason) in [
        (&[500, 500, 500][..], vec![], "Even"),
        (
            &[1_000, 1_000, 0, 0],
            vec![shed("a", 500), shed("b", 500)],
            "Rebalancing",
        ),
        (&[900, 600, 600], vec![shed("a", 200)], "Rebalancing"),
        // Chance alone does that.
        (&[130, 90, 80], vec![], "Even"),
        (&[9, 0], vec![], "Even"),
        (&[0, 0], vec![], "Even"),
        (&[7], vec![], "Even"),
        // Half of 1,000 a second over 10 s.
        (
            &[14_000, 14_000, 0, 0],
            vec![shed("a", 2_500), shed("b", 2_500)],
            "Rebalancing",
        ),
    ] {
        let plan = look(sessions, |_, _| {});
        assert_eq!(plan.actions, actions, "{sessions:?}");
        assert_eq!(told(&plan).1, reason, "{sessions:?}");
        assert_eq!(told(&plan).0, reason == "Even", "{sessions:?}");
    }
}

#[test]
fn nobody_is_asked_while_anything_else_is_wrong() {
    type Change = fn(&mut WseClusterSpec, &mut Observation);
    let wrong: [(&str, Change); 6] = [
        ("a pod is not ready", |_, seen| {
            seen.pods[1].state = PodState::Unready;
        }),
        ("a pod says nothing", |_, seen| seen.pods[1].load = None),
        ("a pod cannot reach Redis", |_, seen| {
            seen.pods[1].load.as_mut().unwrap().degraded = true;
        }),
        ("a pod drains", |_, seen| seen.pods[1].asked_to_drain = true),
        ("a pod is too many", |spec, _| {
            spec.scaling = Scaling::fixed(1);
        }),
        ("pods are replaced", |spec, _| {
            spec.image = Some("other".into());
        }),
    ];
    for (what, change) in wrong {
        let plan = look(&[1_000, 0], change);
        let sheds = plan
            .actions
            .iter()
            .any(|it| matches!(it, Action::Shed { .. }));
        assert!(!sheds, "{what}: {:?}", plan.actions);
        assert_eq!(told(&plan), (true, "NotJudged"), "{what}");
    }
    let off = look(&[1_000, 0], |spec, _| {
        spec.drain.rebalance = Rebalance::Never;
    });
    assert_eq!(
        (off.actions.as_slice(), told(&off)),
        (&[][..], (false, "RebalanceNever"))
    );
    let young = spec(2);
    let seen = fleet(&young, &[1_000, 0]);
    let (plan, _) = plan(&subject(&young), &seen, &Memory::default(), at(0));
    assert_eq!(plan.actions, []);
}

#[test]
fn rounds_end_in_an_even_fleet_and_hold_scale_in_meanwhile() {
    let spec = spec(4);
    let (mut sessions, mut memory) = ([5_000, 5_000, 0, 0], watched());
    let mut even = None;
    for second in 0..120 {
        let (plan, next) = plan(
            &subject(&spec),
            &fleet(&spec, &sessions),
            &memory,
            at(second),
        );
        memory = next;
        if told(&plan).1 == "Even" {
            even.get_or_insert(second);
        }
        let mut all = 0;
        for action in &plan.actions {
            let Action::Shed {
                pod,
                sessions: shed,
            } = action
            else {
                panic!("{action:?}");
            };
            let index = usize::from(pod.as_bytes()[0] - b'a');
            sessions[index] -= shed;
            all += shed;
        }
        assert!(all <= 5_000, "half of 1,000 a second for 10 s");
        sessions.iter_mut().for_each(|it| *it += all / 4);
        if all > 0 {
            let fewer = super::spec(3);
            let (plan, _) = super::plan(
                &subject(&fewer),
                &fleet(&fewer, &sessions),
                &memory,
                at(second + 5),
            );
            assert_eq!(settled(&plan), "ScaleInHeld");
        }
    }
    let even = even.expect("even within two minutes");
    let most = f64::from(*sessions.iter().max().unwrap());
    let mean = f64::from(sessions.iter().sum::<u32>()) / 4.0;
    assert!(most / mean <= 1.2, "{sessions:?} after {even} s");
}

#[test]
fn rounds_go_on_for_as_long_as_they_help() {
    let spec = spec(20);
    let (mut sessions, mut memory) = ([0; 20], watched());
    sessions[..10].fill(14_000);
    // 70,000 are above the mean. Of 5,000 that a round asks, half come back to fuller pods.
    for round in 0..40 {
        let (plan, next) = plan(
            &subject(&spec),
            &fleet(&spec, &sessions),
            &memory,
            at(15 * round),
        );
        memory = next;
        if told(&plan).1 == "Even" {
            return;
        }
        assert_eq!(told(&plan).1, "Rebalancing", "round {round}: {sessions:?}");
        for action in &plan.actions {
            let Action::Shed {
                pod,
                sessions: shed,
            } = action
            else {
                panic!("{action:?}");
            };
            sessions[usize::from(pod.as_bytes()[0] - b'a')] -= shed;
            sessions.iter_mut().for_each(|it| *it += shed / 20);
        }
    }
    panic!("not even: {sessions:?}");
}

#[test]
fn clients_that_come_back_to_the_same_pod_are_left_alone_in_the_end() {
    let spec = spec(2);
    let mut memory = watched();
    let mut rounds = 0;
    for second in 0..600 {
        let (plan, next) = plan(
            &subject(&spec),
            &fleet(&spec, &[1_000, 0]),
            &memory,
            at(second),
        );
        memory = next;
        rounds += plan.actions.len();
        if second == 599 {
            assert_eq!(told(&plan), (false, "ClientsReturn"));
        }
    }
    assert_eq!(rounds, 8);
    // Other pods are another fleet.
    let mut seen = fleet(&spec, &[1_000, 0]);
    seen.pods[1].name = "new".into();
    let (plan, _) = plan(&subject(&spec), &seen, &memory, at(600));
    assert_eq!(plan.actions, [shed("a", 500)]);
}
