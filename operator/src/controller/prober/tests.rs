//! Simulated pods, in simulated time.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use prometheus::{IntCounterVec, Opts};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{Cluster, Pace, Place, Pods, Prober, QUESTIONS, Question};
use crate::ask::{Silence, Told};
use crate::controller::watches::{self, Changes};
use crate::plan::Load;

/// What a pod does with a question.
#[derive(Clone, Copy)]
enum Pod {
    Answers { sessions: u32, after: Duration },
    Dead,
}

const PATIENCE: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_millis(10);

/// Pods, and what was asked of them.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    places: BTreeMap<String, Vec<Place>>,
    pods: HashMap<SocketAddr, Pod>,
    /// When each was asked.
    asked: HashMap<SocketAddr, Vec<Instant>>,
    open: HashMap<SocketAddr, usize>,
    /// How often one was asked while it was being asked.
    overlaps: usize,
}

impl World {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// Adds pods to a cluster, and gives their addresses.
    fn add(&self, cluster: &str, count: u32, pod: Pod) -> Vec<SocketAddr> {
        self.with(|state| {
            let all = state.pods.len() as u32;
            let added = (all..all + count).map(|index| {
                let admin = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + index), 9090));
                let place = Place {
                    uid: admin.to_string(),
                    admin,
                    restarts: 0,
                };
                state.places.entry(cluster.into()).or_default().push(place);
                state.pods.insert(admin, pod);
                admin
            });
            added.collect()
        })
    }

    fn set(&self, admin: SocketAddr, pod: Pod) {
        self.with(|state| state.pods.insert(admin, pod));
    }

    fn asked(&self, admin: SocketAddr) -> Vec<Instant> {
        self.with(|state| state.asked.get(&admin).cloned().unwrap_or_default())
    }

    /// The times between one question and the next.
    fn pauses(&self, admin: SocketAddr) -> Vec<Duration> {
        let asked = self.asked(admin);
        asked.windows(2).map(|two| two[1] - two[0]).collect()
    }
}

impl Pods for World {
    fn clusters(&self) -> Vec<Cluster> {
        self.with(|state| state.places.keys().map(|name| cluster(name)).collect())
    }

    fn of(&self, cluster: &Cluster) -> Option<Vec<Place>> {
        self.with(|state| state.places.get(&cluster.name).cloned())
    }
}

impl Question for World {
    async fn ask(&self, admin: SocketAddr) -> Result<Told, Silence> {
        let pod = self.with(|state| {
            state.asked.entry(admin).or_default().push(Instant::now());
            let open = state.open.entry(admin).or_default();
            *open += 1;
            state.overlaps += usize::from(*open > 1);
            state.pods[&admin]
        });
        let answer = match pod {
            Pod::Answers { sessions, after } => {
                sleep(after).await;
                Ok(told(sessions))
            }
            Pod::Dead => {
                sleep(PATIENCE).await;
                Err(Silence::Timeout)
            }
        };
        self.with(|state| *state.open.get_mut(&admin).unwrap() -= 1);
        answer
    }
}

fn cluster(name: &str) -> Cluster {
    ObjectRef::new(name).within("a")
}

fn told(sessions: u32) -> Told {
    Told {
        load: Load {
            sessions,
            ..Load::default()
        },
        sysctls: Arc::default(),
        drains: false,
    }
}

fn answers(sessions: u32) -> Pod {
    Pod::Answers {
        sessions,
        after: SOON,
    }
}

/// A prober that runs until it is dropped.
struct Running {
    prober: Prober,
    changes: Changes,
    outcomes: IntCounterVec,
    task: JoinHandle<()>,
}

impl Running {
    fn start(world: &World) -> Self {
        let (prober, changes) = (Prober::default(), watches::changes());
        let outcomes = IntCounterVec::new(Opts::new("questions", "x"), &["outcome"]).unwrap();
        let task = {
            let (prober, changes, outcomes) = (prober.clone(), changes.clone(), outcomes.clone());
            let world = world.clone();
            tokio::spawn(async move {
                let asked = &outcomes;
                prober.run(&world, &world, QUESTIONS, &changes, asked).await;
            })
        };
        Self {
            prober,
            changes,
            outcomes,
            task,
        }
    }

    fn sessions(&self, name: &str, admin: SocketAddr) -> Option<u32> {
        let told = self.prober.told(&cluster(name), &admin.to_string());
        told.map(|told| told.load.sessions)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_asked_about_every_five_seconds_and_every_second_while_something_is_under_way() {
    let world = World::default();
    let [pod] = world.add("chat", 1, answers(1))[..] else {
        unreachable!()
    };
    let running = Running::start(&world);
    seconds(100).await;
    let at_rest = world.asked(pod).len();
    assert!((20..=26).contains(&at_rest), "{at_rest} in 100 s");
    running.prober.pace(&cluster("chat"), Pace::Busy);
    seconds(100).await;
    let busy = world.asked(pod).len() - at_rest;
    assert!((90..=110).contains(&busy), "{busy} in 100 s");
    running.prober.pace(&cluster("chat"), Pace::Rest);
    seconds(100).await;
    assert!(world.asked(pod).len() - at_rest - busy <= 27);
    let outcomes = running.outcomes.with_label_values(&["answered"]);
    assert_eq!(outcomes.get(), world.asked(pod).len() as u64);
}

#[tokio::test(start_paused = true)]
async fn two_thousand_pods_are_not_asked_in_one_burst() {
    let world = World::default();
    let mut pods = Vec::new();
    for index in 0..1_000 {
        pods.extend(world.add(&format!("chat-{index}"), 2, answers(1)));
    }
    let began = Instant::now();
    let _running = Running::start(&world);
    seconds(60).await;
    let mut per_second = [0; 61];
    let mut first_tenth = 0;
    for asked in pods.iter().flat_map(|pod| world.asked(*pod)) {
        per_second[(asked - began).as_secs() as usize] += 1;
        first_tenth += usize::from(asked - began < Duration::from_millis(100));
    }
    assert!(first_tenth < 200, "{first_tenth} at once");
    // At 5 s each, and a fifth of that left to chance, 444 are due in a second.
    let most = per_second[5..].iter().max().unwrap();
    assert!(*most < 700, "{per_second:?}");
    assert!(pods.iter().all(|pod| world.asked(*pod).len() >= 11));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_answer_is_asked_less_and_less_but_always_again() {
    let world = World::default();
    let [pod] = world.add("chat", 1, Pod::Dead)[..] else {
        unreachable!()
    };
    let running = Running::start(&world);
    sleep(SOON).await;
    running.prober.pace(&cluster("chat"), Pace::Busy);
    seconds(200).await;
    let pauses = world.pauses(pod);
    assert!(pauses[0] < Duration::from_secs(4), "{pauses:?}");
    assert_eq!(world.with(|state| state.overlaps), 0);
    let last = pauses.last().unwrap();
    // Two seconds of patience, and the pause.
    assert!((10..=13).contains(&last.as_secs()), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(13)));
    assert!(running.outcomes.with_label_values(&["timeout"]).get() > 15);

    world.set(pod, answers(7));
    seconds(13).await;
    assert_eq!(running.sessions("chat", pod), Some(7));
    let before = world.asked(pod).len();
    seconds(10).await;
    assert!(world.asked(pod).len() >= before + 8, "as often as before");
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_for_a_while_and_a_pass_is_asked_for_when_it_is_lost() {
    let world = World::default();
    let [pod] = world.add("chat", 1, answers(7))[..] else {
        unreachable!()
    };
    let running = Running::start(&world);
    let mut heard = running.changes.subscribe();
    assert_eq!(running.sessions("chat", pod), None, "not asked yet");
    seconds(20).await;
    assert_eq!(heard.try_recv().unwrap(), cluster("chat"), "first answer");
    assert!(heard.try_recv().is_err(), "once");

    world.set(pod, Pod::Dead);
    let answered = world.asked(pod).len();
    while running.sessions("chat", pod).is_some() {
        sleep(Duration::from_millis(50)).await;
    }
    let asked = world.asked(pod);
    let silent = asked.len() - answered;
    assert!(
        silent >= 3,
        "worth nothing after {silent} unanswered questions"
    );
    let age = Instant::now() - asked[answered - 1];
    assert!(age >= Duration::from_secs(15), "{age:?}");
    seconds(1).await;
    assert_eq!(heard.try_recv().unwrap(), cluster("chat"), "lost");
    seconds(60).await;
    assert!(heard.try_recv().is_err(), "once");
}

#[tokio::test(start_paused = true)]
async fn what_a_pod_says_to_a_question_from_before_it_was_told_something_is_worth_nothing() {
    let world = World::default();
    let slow = |sessions| Pod::Answers {
        sessions,
        after: Duration::from_millis(1_500),
    };
    let [pod] = world.add("chat", 1, slow(7))[..] else {
        unreachable!()
    };
    let running = Running::start(&world);
    let asked = |count| {
        let world = world.clone();
        async move {
            while world.asked(pod).len() < count {
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    asked(2).await;
    assert_eq!(running.sessions("chat", pod), Some(7));
    running.prober.forget(&cluster("chat"), &pod.to_string());
    assert_eq!(running.sessions("chat", pod), None);
    world.set(pod, slow(0));
    // The second question ends now, and its answer is of before.
    asked(3).await;
    assert_eq!(running.sessions("chat", pod), None);
    assert!(world.pauses(pod)[1] < Duration::from_secs(2), "at once");
    seconds(2).await;
    assert_eq!(running.sessions("chat", pod), Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_one_process_said_is_nothing_about_the_next() {
    let world = World::default();
    let slow = |sessions| Pod::Answers {
        sessions,
        after: Duration::from_secs(1),
    };
    let [pod] = world.add("chat", 1, slow(7))[..] else {
        unreachable!()
    };
    let running = Running::start(&world);
    while world.asked(pod).len() < 2 {
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(running.sessions("chat", pod), Some(7));
    sleep(Duration::from_millis(300)).await;
    world.with(|state| state.places.get_mut("chat").unwrap()[0].restarts = 1);
    running.changes.send(cluster("chat")).unwrap();
    sleep(SOON).await;
    assert_eq!(running.sessions("chat", pod), None);
    // The second question was to the process before.
    world.set(pod, slow(8));
    sleep(Duration::from_millis(800)).await;
    assert_eq!(running.sessions("chat", pod), None);
    seconds(3).await;
    assert_eq!(running.sessions("chat", pod), Some(8));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_dead_pods_keep_no_other_from_being_asked() {
    for clusters in [1, 100] {
        let world = World::default();
        for index in 0..clusters {
            world.add(&format!("dead-{index}"), 1_000 / clusters, Pod::Dead);
        }
        let well = world.add("well", 50, answers(1));
        let running = Running::start(&world);
        let began = Instant::now();
        sleep(SOON).await;
        running.prober.pace(&cluster("well"), Pace::Busy);
        seconds(60).await;
        for pod in well {
            let asked = world.asked(pod);
            let first = asked[0] - began;
            // Where no pod is known to answer yet, all wait for one another.
            let bound = if clusters == 1 { 2 } else { 12 };
            assert!(first <= Duration::from_secs(bound), "{first:?}");
            let pauses = world.pauses(pod);
            let longest = pauses.iter().max().unwrap();
            assert!(*longest <= Duration::from_millis(6_000), "{longest:?}");
            assert!(asked.len() > 40, "{}", asked.len());
        }
        let most = running.outcomes.with_label_values(&["timeout"]).get();
        assert!(most >= 700, "the dead ones are asked too: {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_gone_is_not_asked_any_more() {
    let world = World::default();
    let [pod] = world.add("chat", 1, answers(1))[..] else {
        unreachable!()
    };
    let running = Running::start(&world);
    seconds(20).await;
    world.with(|state| state.places.clear());
    running.changes.send(cluster("chat")).unwrap();
    seconds(1).await;
    let asked = world.asked(pod).len();
    assert_eq!(running.sessions("chat", pod), None);
    seconds(60).await;
    assert_eq!(world.asked(pod).len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_waits_for_first_answers_but_not_for_pods_that_give_none() {
    let world = World::default();
    world.add("chat", 100, answers(1));
    let running = Running::start(&world);
    running.prober.first_round(&world).await;
    let pods = world.of(&cluster("chat")).unwrap();
    let told = pods
        .iter()
        .filter(|it| running.sessions("chat", it.admin).is_some());
    assert_eq!(told.count(), 100);
    world.add("dead", 1_000, Pod::Dead);
    let waits = running.prober.first_round(&world);
    assert!(timeout(Duration::from_secs(4), waits).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_pass_is_asked_for_when_a_plan_would_see_something_else() {
    let world = World::default();
    let [pod] = world.add("chat", 1, answers(100))[..] else {
        unreachable!()
    };
    let running = Running::start(&world);
    let mut heard = running.changes.subscribe();
    for (sessions, asks_for_one) in [
        (100, true),
        (110, false),
        // Small steps add up.
        (111, true),
        (101, false),
        (0, true),
        (1_000, true),
        (1_050, false),
        (1_051, true),
    ] {
        world.set(pod, answers(sessions));
        seconds(6).await;
        assert_eq!(heard.try_recv().is_ok(), asks_for_one, "{sessions}");
        assert!(heard.try_recv().is_err(), "more than once");
    }
}
