//! How many pods are chosen, and what is told of it.

use super::*;

/// A fleet that scales between `least` and `most` pods of 1,000 connections each.
fn scaled(least: u32, most: u32) -> WseClusterSpec {
    let mut spec = spec(1);
    spec.scaling = serde_json::from_value(json!({
        "mode": "Autoscale", "minReplicas": least, "maxReplicas": most,
    }))
    .unwrap();
    spec.limits = serde_json::from_value(json!({"connections": 1_000})).unwrap();
    spec.capacity.tier = TierChoice::Light;
    spec
}

/// A fleet over time, as whoever carries plans out reports it.
struct Fleet {
    spec: WseClusterSpec,
    memory: Memory,
    desired: Option<u32>,
    seconds: u64,
}

impl Fleet {
    /// One that has been watched for long enough.
    fn new(spec: WseClusterSpec, desired: u32) -> Self {
        let long = Duration::from_secs(10_000);
        Self {
            spec,
            memory: Memory::since(at(0) - long),
            desired: Some(desired),
            seconds: 0,
        }
    }

    /// A pass over pods with these sessions; None: it says nothing.
    fn pass(&mut self, sessions: &[Option<u32>]) -> Plan {
        self.look(sessions.iter().map(|sessions| {
            sessions.map(|sessions| Load {
                sessions,
                ..Load::default()
            })
        }))
    }

    fn look(&mut self, loads: impl Iterator<Item = Option<Load>>) -> Plan {
        let revision = wanted(&self.spec);
        let pods = loads.enumerate().map(|(index, load)| Pod {
            load,
            ..pod(&format!("p{index}"), &revision, PodState::Ready, None)
        });
        let observation = Observation {
            desired: self.desired,
            ..observing(pods.collect())
        };
        let (plan, memory) = plan(
            &subject(&self.spec),
            &observation,
            &self.memory,
            at(self.seconds),
        );
        self.memory = memory;
        self.desired = Some(plan.desired);
        plan
    }

    /// The pods that are wanted, each with as many sessions.
    fn each(&mut self, sessions: u32) -> Plan {
        let count = self.desired.unwrap() as usize;
        self.pass(&vec![Some(sessions); count])
    }

    fn wait(&mut self, seconds: u64) {
        self.seconds += seconds;
    }
}

fn told(plan: &Plan, about: ConditionType) -> (bool, &'static str) {
    let found = plan.conditions.iter().find(|it| it.r#type == about);
    found.map(|it| (it.holds, it.reason)).unwrap()
}

const ACTIVE: ConditionType = ConditionType::ScalingActive;
const SIZED: ConditionType = ConditionType::Sized;

#[test]
fn a_load_asks_for_pods_at_the_target() {
    // 700 of 1,000 each is the target; near it nothing changes.
    for (pods, sessions, expected) in [
        (2, 700, 3),
        (3, 700, 4),
        (4, 700, 4),
        (4, 740, 4),
        (4, 790, 5),
        (4, 640, 4),
        (10, 900, 13),
    ] {
        let mut fleet = Fleet::new(scaled(1, 50), pods);
        let plan = fleet.each(sessions);
        assert_eq!(plan.desired, expected, "{pods} pods of {sessions}");
    }
}

#[test]
fn a_fleet_of_one_pays_for_no_second_one() {
    let mut fleet = Fleet::new(scaled(1, 50), 1);
    assert_eq!(fleet.each(650).desired, 1);
    assert_eq!(fleet.each(800).desired, 2);
    // 1,600 in two pods: three, so that two are left when one is lost.
    assert_eq!(fleet.each(700).desired, 3);
}

#[test]
fn a_new_fleet_is_as_large_as_its_tier_asks() {
    for (connections, least, most, expected) in [
        (100, 1, 50, 1),
        (100, 3, 50, 3),
        (5_000, 1, 50, 2),
        (99_000, 1, 50, 8),
        (99_000, 1, 5, 5),
    ] {
        let mut spec = scaled(least, most);
        spec.capacity.tier = TierChoice::Auto;
        spec.capacity.expected_connections = Some(connections);
        let (plan, _) = plan(
            &subject(&spec),
            &Observation::default(),
            &Memory::default(),
            at(0),
        );
        assert_eq!(
            plan.desired, expected,
            "{connections} between {least} and {most}"
        );
        assert_eq!(counts(&plan), [expected]);
    }
}

#[test]
fn pods_are_added_in_steps() {
    let mut fleet = Fleet::new(scaled(1, 50), 4);
    let mut sizes = Vec::new();
    for _ in 0..5 {
        // 4,000 connections a pod: a flash crowd. Pods that start say nothing yet.
        let plan = fleet.pass(&[Some(4_000); 4]);
        sizes.push(plan.desired);
        if sizes.len() < 3 {
            assert_eq!(told(&plan, SIZED), (false, "GrowthPaced"));
        }
        fleet.wait(8);
    }
    // Four more or twice as many within 15 s, whichever is more.
    assert_eq!(sizes, [8, 8, 16, 16, 23]);
}

#[test]
fn a_load_that_must_last_is_waited_for() {
    let mut spec = scaled(1, 50);
    spec.scaling.autoscale = serde_json::from_value(json!({
        "scaleUp": {"stabilizationWindowSeconds": 60},
    }))
    .unwrap();
    let mut fleet = Fleet::new(spec, 2);
    assert_eq!(fleet.each(900).desired, 2);
    fleet.wait(59);
    assert_eq!(fleet.each(900).desired, 2);
    fleet.wait(10);
    assert_eq!(fleet.each(900).desired, 3);
}

#[test]
fn pods_go_when_fewer_were_enough_for_a_window() {
    let mut fleet = Fleet::new(scaled(1, 50), 6);
    assert_eq!(fleet.each(700).desired, 6);
    // Less by and by; a peak in between counts for a window.
    for (seconds, sessions, expected, reason) in [
        (10, 300, 6, "ScaleInStabilizing"),
        (100, 100, 6, "ScaleInStabilizing"),
        (100, 400, 6, "ScaleInStabilizing"),
        (101, 100, 4, "ScaleInStabilizing"),
        (200, 100, 1, "LoadMeasured"),
    ] {
        fleet.wait(seconds);
        let plan = fleet.pass(&[Some(sessions); 6]);
        let seen = (plan.desired, told(&plan, ACTIVE).1);
        assert_eq!(
            seen,
            (expected, reason),
            "{sessions} at {} s",
            fleet.seconds
        );
    }
}

#[test]
fn an_operator_that_has_just_started_takes_no_pod_away() {
    let mut fleet = Fleet::new(scaled(1, 50), 6);
    fleet.memory = Memory::default();
    for _ in 0..30 {
        let plan = fleet.each(10);
        assert_eq!(
            (plan.desired, told(&plan, ACTIVE)),
            (6, (true, "ScaleInStabilizing"))
        );
        fleet.wait(10);
    }
    assert!(fleet.each(10).desired < 6);
}

#[test]
fn what_is_not_known_takes_no_pod_away_and_adds_none() {
    let mut fleet = Fleet::new(scaled(1, 50), 4);
    for (sessions, expected) in [
        (vec![Some(10), Some(10), Some(10), None], 4),
        (vec![None; 4], 4),
        (vec![], 4),
        // What the others say is enough for more.
        (vec![Some(1_100), Some(1_100), Some(1_100), None], 5),
    ] {
        fleet.wait(1_000);
        let plan = fleet.pass(&sessions);
        assert_eq!(plan.desired, expected, "{sessions:?}");
        if expected == 4 {
            assert_eq!(told(&plan, ACTIVE), (false, "LoadMissing"), "{sessions:?}");
        }
    }
    // It recovers, and the window begins anew.
    let plan = fleet.pass(&[Some(10); 5]);
    assert_eq!(
        (plan.desired, told(&plan, ACTIVE).1),
        (5, "ScaleInStabilizing")
    );
    fleet.wait(301);
    assert_eq!(fleet.pass(&[Some(10); 5]).desired, 1);
}

#[test]
fn what_is_not_known_is_told_although_it_changes_nothing() {
    let mut fleet = Fleet::new(scaled(3, 50), 3);
    for (sessions, holds) in [
        ([Some(10), Some(10), Some(10)], (true, "LoadMeasured")),
        ([Some(10), Some(10), None], (false, "LoadMissing")),
        ([None; 3], (false, "LoadMissing")),
    ] {
        let plan = fleet.pass(&sessions);
        assert_eq!(
            (plan.desired, told(&plan, ACTIVE)),
            (3, holds),
            "{sessions:?}"
        );
    }
}

#[test]
fn nonsense_is_as_nothing() {
    let mut spec = scaled(1, 50);
    spec.capacity.tier = TierChoice::Auto;
    let mut fleet = Fleet::new(spec, 3);
    let nonsense = [
        Load {
            sessions: u32::MAX,
            ..Load::default()
        },
        Load {
            cpu_millicores: u64::MAX,
            ..Load::default()
        },
    ];
    for load in nonsense {
        let well = Load {
            sessions: 100,
            ..Load::default()
        };
        let plan = fleet.look([well, well, load].map(Some).into_iter());
        assert_eq!(
            (plan.desired, told(&plan, ACTIVE)),
            (3, (false, "LoadMissing")),
            "{load:?}"
        );
        assert_eq!(plan.tier, Tier::Low, "{load:?}");
    }
}

#[test]
fn each_dimension_can_be_the_one() {
    let full = |load: Load| Load {
        sessions: 10,
        ..load
    };
    for (load, words) in [
        (
            full(Load {
                cpu_millicores: 95,
                ..Load::default()
            }),
            "the load asks for 2 pods, by its processor time",
        ),
        (
            full(Load {
                messages_per_second: 14_500,
                ..Load::default()
            }),
            "the load asks for 2 pods, by its messages",
        ),
        (
            full(Load {
                bytes_per_second: 120_000_000,
                ..Load::default()
            }),
            "the load asks for 2 pods, by its bytes",
        ),
        (
            full(Load {
                memory_bytes: Some(150),
                memory_limit_bytes: Some(160),
                ..Load::default()
            }),
            "the load asks for 2 pods, by its memory",
        ),
    ] {
        let mut fleet = Fleet::new(scaled(1, 50), 1);
        let plan = fleet.look([Some(load)].into_iter());
        let message = &plan
            .conditions
            .iter()
            .find(|it| it.r#type == ACTIVE)
            .unwrap()
            .message;
        assert_eq!((plan.desired, message.as_str()), (2, words));
    }
}

#[test]
fn a_pod_that_is_full_alone_gets_one_more_beside_it_where_nobody_spreads_clients() {
    let full = [Some(950), Some(600), Some(600), Some(600)];
    let mut fleet = Fleet::new(scaled(1, 50), 4);
    for _ in 0..3 {
        let plan = fleet.pass(&full);
        assert_eq!(plan.desired, 4);
        assert!(
            !plan.actions.is_empty(),
            "its clients are asked to find others"
        );
        fleet.wait(60);
    }
    fleet.spec.drain.rebalance = Rebalance::Never;
    for _ in 0..9 {
        let plan = fleet.pass(&full);
        assert_eq!(plan.desired, 5, "and no more than one");
        fleet.wait(60);
    }
}

#[test]
fn near_the_target_a_full_pod_does_not_ask_for_one_more_with_each_look() {
    let mut spec = scaled(1, 100);
    spec.drain.rebalance = Rebalance::Never;
    let mut fleet = Fleet::new(spec, 40);
    let mut sessions = vec![Some(740); 40];
    sessions[0] = Some(950);
    for _ in 0..40 {
        fleet.pass(&sessions);
        fleet.wait(10);
    }
    // 29,810 at 700 each are 43.
    assert_eq!(fleet.pass(&sessions).desired, 44);
}

#[test]
fn the_tier_does_not_fall_while_a_pod_does_not_say_what_it_carries() {
    let mut spec = scaled(1, 50);
    spec.capacity.tier = TierChoice::Auto;
    let mut fleet = Fleet::new(spec, 4);
    for (sessions, tier) in [
        (vec![Some(300); 4], Tier::High),
        (vec![None; 4], Tier::High),
        (vec![None, Some(10), Some(10), Some(10)], Tier::High),
        (
            vec![None, Some(3_000), Some(3_000), Some(3_000)],
            Tier::VeryHigh,
        ),
        (vec![Some(10); 4], Tier::Low),
    ] {
        assert_eq!(fleet.pass(&sessions).tier, tier, "{sessions:?}");
    }
}

#[test]
fn the_bounds_are_kept_and_told() {
    let mut fleet = Fleet::new(scaled(1, 5), 5);
    let plan = fleet.each(900);
    assert_eq!(
        (plan.desired, told(&plan, SIZED)),
        (5, (false, "AtMaxReplicas"))
    );
    // A smaller bound is a person's word, and is followed at once.
    fleet.spec.scaling.max_replicas = Some(3);
    assert_eq!(fleet.pass(&[Some(900); 5]).desired, 3);
    fleet.spec.scaling.max_replicas = Some(9);
    fleet.spec.scaling.min_replicas = Some(8);
    assert_eq!(fleet.pass(&[Some(100); 3]).desired, 8);
}

#[test]
fn a_low_limit_of_open_files_makes_more_pods() {
    let mut spec = scaled(1, 50);
    spec.limits = Default::default();
    spec.capacity.tier = TierChoice::Maximum;
    let load = |capacity| Load {
        sessions: 10_000,
        capacity: Some(capacity),
        ..Load::default()
    };
    for (capacity, expected) in [(20_000, 8), (1_000_000, 8), (10_000, 12)] {
        let mut fleet = Fleet::new(spec.clone(), 8);
        let plan = fleet.look([Some(load(capacity)); 8].into_iter());
        assert_eq!(plan.desired, expected, "{capacity}");
    }
}

#[test]
fn others_decide_in_the_other_modes() {
    let mut spec = scaled(1, 50);
    spec.scaling = serde_json::from_value(json!({"mode": "External", "replicas": 4})).unwrap();
    let mut fleet = Fleet::new(spec, 9);
    let plan = fleet.each(5_000);
    assert_eq!((plan.desired, counts(&plan)), (4, vec![9]));
    assert!(plan.conditions.iter().all(|it| it.r#type != ACTIVE));
}
