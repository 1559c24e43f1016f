//! Properties of any pass, and of fleets that passes are carried out on.

use proptest::prelude::*;

use super::world::World;
use super::*;

/// More passes than any of these fleets needs to come to rest.
const LONG: usize = 400;

fn any_pod(revisions: &'static [&'static str]) -> impl Strategy<Value = Pod> {
    use PodState::{Down, Leave, Ready, Unready};
    let state =
        prop_oneof![4 => Just(Ready), 2 => Just(Unready), 1 => Just(Down), 1 => Just(Leave)];
    let load = proptest::option::weighted(0.8, (0..50u32, any::<bool>()));
    (prop::sample::select(revisions), state, any::<bool>(), load).prop_map(
        |(revision, state, asked_to_drain, load)| Pod {
            name: String::new(),
            revision: revision.into(),
            state,
            asked_to_drain,
            load: load.map(|(sessions, refuses)| Load {
                sessions,
                refuses,
                ..Load::default()
            }),
        },
    )
}

fn any_fleet() -> impl Strategy<Value = Vec<Pod>> {
    proptest::collection::vec(any_pod(&["wanted", "old", "older"]), 0..10).prop_map(|mut pods| {
        for (index, pod) in pods.iter_mut().enumerate() {
            pod.name = format!("given-{index}");
        }
        pods
    })
}

fn any_selection() -> impl Strategy<Value = Option<Serves>> {
    let revision = prop::sample::select(vec!["wanted", "old", "older", "gone"]);
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Serves::All)),
        3 => revision.prop_map(|it| Some(Serves::Revision(it.into()))),
    ]
}

/// What happens to a fleet from outside.
#[derive(Clone, Copy, Debug)]
enum Event {
    Crash(usize),
    Image(u8),
    Replicas(u32),
    Stumble(usize),
    Surge(i32),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..20usize).prop_map(Event::Crash),
        (0..3u8).prop_map(Event::Image),
        (1..6u32).prop_map(Event::Replicas),
        (0..20usize).prop_map(Event::Stumble),
        (1..7i32).prop_map(Event::Surge),
    ]
}

fn sized(replicas: u32, surge: i32) -> WseClusterSpec {
    let mut spec = spec(replicas);
    spec.rollout.surge = IntOrString::Int(surge);
    // These are about moves that must be; those for balance are counted elsewhere.
    spec.drain.rebalance = Rebalance::Never;
    spec
}

fn of_image(spec: &mut WseClusterSpec, image: u8) {
    spec.image = Some(format!("gateway:{image}"));
}

/// Gives the word "wanted" the meaning that it has for this spec.
fn mean(observation: &mut Observation, wanted: &str) {
    let ids = observation.pods.iter_mut().map(|pod| &mut pod.revision);
    let selected = observation.serves.iter_mut().filter_map(|it| match it {
        Serves::Revision(id) => Some(id),
        Serves::All => None,
    });
    for id in ids.chain(selected).filter(|id| *id == "wanted") {
        wanted.clone_into(id);
    }
}

fn running(count: u32, sessions: u32, spec: &WseClusterSpec, seed: u64) -> World {
    let id = wanted(spec);
    let name = |index| format!("old-{index}");
    let pods = (0..count).map(|index| pod(&name(index), &id, PodState::Ready, Some(sessions)));
    World::new(pods.collect(), Some(Serves::Revision(id.clone())), seed)
}

/// Lets time pass until nothing is left to do.
fn settle(world: &mut World, spec: &WseClusterSpec) {
    for _ in 0..LONG {
        world.pass_time();
        if settled(&world.pass(spec)) == "Stable" {
            return;
        }
    }
    panic!("still {:?}: {world:?}", world.pass(spec).conditions);
}

proptest! {
    #[test]
    fn any_pass_is_safe(
        pods in any_fleet(), serves in any_selection(), replicas in 1..6u32, surge in 1..8i32, age in 0..30u64,
    ) {
        let spec = sized(replicas, surge);
        let mut observation = Observation { serves, ..observing(pods) };
        mean(&mut observation, &wanted(&spec));
        let memory = Memory::since(at(0) - Duration::from_secs(age));
        let (plan, next) = plan(&subject(&spec), &observation, &memory, at(0));
        prop_assert_eq!(&super::plan(&subject(&spec), &observation, &memory, at(0)), &(plan.clone(), next));

        let id = &plan.revisions[0].id;
        let counted: Vec<&Pod> = observation.pods.iter().filter(|pod| pod.state != PodState::Leave).collect();
        let (current, old): (Vec<&Pod>, Vec<&Pod>) = counted.iter().partition(|pod| pod.revision == *id);
        let made = (plan.revisions[0].replicas as usize).saturating_sub(current.len());
        let room = (replicas as usize + surge as usize).saturating_sub(counted.len());
        prop_assert!(made <= room, "{made} pods for {room} places");
        if old.is_empty() {
            prop_assert!(plan.revisions[0].replicas >= replicas, "never below what is wanted");
            prop_assert_eq!(plan.moves, 0);
        }

        let drained = |pod: &Pod| plan.actions.contains(&drain(&pod.name));
        let serving = |pods: &[&Pod]| pods.iter().filter(|pod| pod.serves()).count();
        let stay: Vec<&Pod> = counted.iter().copied().filter(|pod| !drained(pod)).collect();
        prop_assert!(serving(&stay) >= serving(&counted).min(replicas as usize), "enough pods serve on");

        let emptying = current.iter().any(|pod| pod.asked_to_drain);
        let victims = current.iter().filter(|pod| drained(pod)).count();
        prop_assert!(victims == 0 || (victims == 1 && !emptying), "never two victims");
        prop_assert!(victims == 0 || old.is_empty(), "a rollout holds scale-in");
        prop_assert!(victims == 0 || age >= SCALE_IN_WINDOW.as_secs(), "a young memory holds");
        let unknown = current.iter().any(|pod| pod.load.is_none() && pod.state != PodState::Down);
        prop_assert!(victims == 0 || !unknown, "what is not known holds");

        let turned = observation.serves == Some(Serves::Revision(id.clone()));
        let fits = old.len() <= surge as usize && surge as u32 >= replicas;
        if fits && !turned {
            let costs = |pod: &&&Pod| drained(pod) && !pod.is_idle();
            prop_assert_eq!(old.iter().filter(costs).count(), 0, "nobody leaves before the Service has turned");
        }
        for revision in &plan.revisions {
            let of_it: Vec<&Pod> = counted.iter().copied().filter(|pod| pod.revision == revision.id).collect();
            let gone = of_it.len().saturating_sub(revision.replicas as usize);
            let free = of_it.iter().filter(|pod| pod.is_empty()).count();
            prop_assert!(gone <= free, "only what is empty goes");
            prop_assert!(gone == 0 || of_it.iter().all(|pod| pod.is_empty() || pod.serves()), "nobody else can go instead");
        }
    }

    #[test]
    fn any_fleet_ends_as_wanted_whatever_happened(
        pods in any_fleet(), serves in any_selection(), replicas in 1..6u32, surge in 1..8i32, seed: u64,
        events in proptest::collection::vec((0..12usize, any_event()), 0..12),
    ) {
        let mut spec = sized(replicas, surge);
        of_image(&mut spec, 0);
        let mut observation = Observation { serves, ..observing(pods) };
        mean(&mut observation, &wanted(&spec));
        observation.pods.retain(|pod| pod.state != PodState::Leave);
        let mut world = World::new(observation.pods, observation.serves, seed);
        for (passes, event) in events {
            for _ in 0..passes {
                world.pass_time();
                world.pass(&spec);
            }
            match event {
                Event::Crash(index) => world.crash(index),
                Event::Image(image) => of_image(&mut spec, image),
                Event::Replicas(replicas) => spec.scaling = Scaling::fixed(replicas),
                Event::Stumble(index) => world.stumble(index),
                Event::Surge(surge) => spec.rollout.surge = IntOrString::Int(surge),
            }
        }
        settle(&mut world, &spec);
        let id = wanted(&spec);
        prop_assert_eq!(world.pods.len(), spec.scaling.most() as usize);
        prop_assert!(world.pods.iter().all(|pod| pod.revision == id && pod.serves()));

        // What is as it should be is left alone.
        world.pass_time();
        let before = (world.made, world.moves());
        let plan = world.pass(&spec);
        prop_assert_eq!(&plan.actions, &[]);
        prop_assert_eq!(counts(&plan), [spec.scaling.most()]);
        prop_assert_eq!((plan.serves, plan.moves), (Serves::Revision(id), 0));
        prop_assert_eq!((world.made, world.moves()), before);
    }

    #[test]
    fn with_room_each_client_moves_exactly_once(
        replicas in 1..6u32, more in 0..3i32, sessions in 0..40u32, seed: u64,
    ) {
        let mut spec = sized(replicas, replicas.cast_signed() + more);
        let mut world = running(replicas, sessions, &spec, seed);
        of_image(&mut spec, 1);
        let expected = world.pass(&spec).moves;
        prop_assert_eq!(expected, u64::from(replicas * sessions));
        settle(&mut world, &spec);
        prop_assert!(world.clients.iter().all(|client| client.moves == 1));
        prop_assert_eq!(world.made, replicas as usize);
    }

    #[test]
    fn a_revision_that_never_starts_costs_nobody_anything(
        replicas in 1..6u32, surge in 1..7i32, sessions in 0..9u32, seed: u64, fix in 0..3u8,
    ) {
        let mut spec = sized(replicas, surge);
        of_image(&mut spec, 0);
        let mut world = running(replicas, sessions, &spec, seed);
        of_image(&mut spec, 1);
        world.broken = Some(wanted(&spec));
        for _ in 0..50 {
            world.pass_time();
            prop_assert_eq!(&world.pass(&spec).actions, &[]);
        }
        prop_assert_eq!(world.moves(), 0);
        prop_assert_eq!(world.made, replicas.min(surge as u32) as usize, "no pod is made again and again");
        // Back, on with another, or mended.
        of_image(&mut spec, fix);
        world.broken = world.broken.filter(|_| fix != 1);
        settle(&mut world, &spec);
        prop_assert!(fix != 0 || world.moves() == 0, "a way back moves nobody");
    }
}

proptest! {
    #[test]
    fn new_pods_that_fail_late_keep_the_clients_that_have_not_moved(
        replicas in 1..6u32, more in 0..3i32, sessions in 1..40u32, seed: u64, later in 0..3usize,
    ) {
        let mut spec = sized(replicas, replicas.cast_signed() + more);
        let mut world = running(replicas, sessions, &spec, seed);
        of_image(&mut spec, 1);
        let drains = |world: &World| world.pods.iter().any(|pod| pod.asked_to_drain);
        for _ in 0..LONG {
            world.pass_time();
            world.pass(&spec);
            if drains(&world) {
                break;
            }
        }
        prop_assert!(drains(&world));
        for _ in 0..later {
            world.pass_time();
            world.pass(&spec);
        }
        // Not one of the new pods lives for longer than that.
        world.broken = Some(wanted(&spec));
        for index in 0..world.pods.len() {
            if world.pods[index].revision == wanted(&spec) {
                world.crash(index);
            }
        }
        world.pass(&spec);
        let draining = |world: &World| {
            world.pods.iter().any(|pod| pod.asked_to_drain && pod.sessions().is_some_and(|it| it > 0))
        };
        prop_assert!(!draining(&world), "nobody else is asked to leave: {:?}", world);
        let moves = world.moves();
        for _ in 0..50 {
            world.pass_time();
            world.pass(&spec);
            prop_assert!(!draining(&world));
        }
        prop_assert_eq!(world.moves(), moves);
        world.broken = None;
        settle(&mut world, &spec);
    }
}

#[test]
fn moves_are_what_rollouts_cost_in_the_mean() {
    for (replicas, surge, sessions) in [(2, 1, 500), (3, 1, 90), (4, 2, 60), (5, 3, 40), (2, 2, 50)]
    {
        let mut spec = sized(replicas, surge);
        let old = running(replicas, sessions, &spec, 0);
        of_image(&mut spec, 1);
        let expected = old.clone().pass(&spec).moves as f64;
        let runs = 40;
        let cost = |seed| {
            let mut world = old.clone();
            world.random = fastrand::Rng::with_seed(seed);
            // Pods that start together are ready together, as the forecast has it.
            world.slowest = 1;
            settle(&mut world, &spec);
            world.moves()
        };
        let mean = (0..runs).map(cost).sum::<u64>() as f64 / runs as f64;
        assert!(
            (mean - expected).abs() <= expected / 50.0,
            "{replicas} pods, surge {surge}: {mean}, expected {expected}"
        );
    }
}

#[test]
fn moves_in_figures() {
    for (replicas, surge, sessions, moves) in [
        (2, 1, 500, 1_250),
        (2, 2, 500, 1_000),
        (1, 1, 500, 500),
        // Two drain (200), the other two have 150 each then.
        (4, 2, 100, 500),
    ] {
        let mut spec = sized(replicas, surge);
        let mut world = running(replicas, sessions, &spec, 0);
        assert_eq!(world.pass(&spec).moves, 0);
        of_image(&mut spec, 1);
        assert_eq!(world.pass(&spec).moves, moves, "{replicas}, {surge}");
    }
}

#[test]
fn moves_are_forecast_for_the_largest_fleet() {
    let mut spec = sized(100, 1);
    let mut world = running(100, 1_000, &spec, 0);
    of_image(&mut spec, 1);
    let moves = world.pass(&spec).moves;
    assert!((100_000..10_000_000).contains(&moves), "{moves}");
}
