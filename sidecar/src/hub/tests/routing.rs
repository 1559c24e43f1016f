//! The router between fakes of the backplane and of the reactors.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::fakes::settings;
use crate::backplane::{
    self, Backplane, BoxFuture, Interest, NodeId, Position, Publication, Sink, State,
};
use crate::config::{self, Limits};
use crate::hub::interest::{Upstream, keep};
use crate::hub::*;
use crate::topic::{Pattern, Topic};

/// A reactor that only notes what it is told.
#[derive(Default)]
struct Door {
    commands: Mutex<Vec<Command>>,
    /// What the commands taken weigh.
    bytes: AtomicUsize,
    is_full: AtomicBool,
    has_ended: AtomicBool,
    room: Notify,
}

struct Way(Arc<Door>);

impl Inbox for Way {
    fn command(&self, command: Command, bytes: usize) -> Result<(), NotTaken> {
        if self.0.has_ended.load(Ordering::SeqCst) {
            return Err(NotTaken::Ended);
        }
        if self.0.is_full.load(Ordering::SeqCst) {
            return Err(NotTaken::Full(command));
        }
        self.urge(command, bytes);
        Ok(())
    }

    fn urge(&self, command: Command, bytes: usize) {
        if self.0.has_ended.load(Ordering::SeqCst) {
            return;
        }
        self.0.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.0.commands.lock().unwrap().push(command);
    }

    fn room(&self) -> BoxFuture<()> {
        let door = Arc::clone(&self.0);
        Box::pin(async move { door.room.notified().await })
    }

    fn sessions(&self) -> usize {
        0
    }
}

impl Door {
    fn settled(&self) -> Vec<(Interest, Outcome)> {
        let mut commands = self.commands.lock().unwrap();
        let settled = commands.drain(..).flat_map(|command| match command {
            Command::Settled(settled) => settled,
            other => panic!("{other:?}"),
        });
        settled
            .map(|settled| (settled.interest, settled.outcome))
            .collect()
    }

    fn published(&self) -> Vec<String> {
        let commands = self.commands.lock().unwrap();
        let publications = commands.iter().flat_map(|command| match command {
            Command::Publications(publications) => publications.clone(),
            other => panic!("{other:?}"),
        });
        publications
            .map(|publication| publication.topic.to_string())
            .collect()
    }
}

/// A backplane that notes its calls and answers as it is told; then as if all were well.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    calls: Vec<String>,
    answers: VecDeque<Answer>,
    is_away: bool,
}

enum Answer {
    Away,
    Hang,
    /// Refuses every call that names this topic.
    Refuse(&'static str),
}

impl Upstream for Fake {
    async fn subscribe(
        &self,
        interests: Vec<Interest>,
    ) -> Result<Vec<Option<Position>>, backplane::Error> {
        let names: Vec<_> = interests.iter().map(name).collect();
        let answer = {
            let mut script = self.0.lock().unwrap();
            script.calls.push(format!("+{}", names.join(",")));
            match script.answers.front() {
                Some(Answer::Refuse(topic)) if !names.iter().any(|name| name == topic) => None,
                Some(Answer::Refuse(topic)) => Some(Answer::Refuse(topic)),
                _ => script.answers.pop_front(),
            }
        };
        match answer {
            None => Ok(vec![
                Some(Position {
                    epoch: 1,
                    offset: 3
                });
                interests.len()
            ]),
            Some(Answer::Away) => Err(backplane::Error::Away("test".into())),
            Some(Answer::Hang) => std::future::pending().await,
            Some(Answer::Refuse(_)) => Err(backplane::Error::Refused("test".into())),
        }
    }

    async fn unsubscribe(&self, interests: Vec<Interest>) {
        let names: Vec<_> = interests.iter().map(name).collect();
        self.0
            .lock()
            .unwrap()
            .calls
            .push(format!("-{}", names.join(",")));
    }

    fn state(&self) -> State {
        if self.0.lock().unwrap().is_away {
            State::Degraded
        } else {
            State::Connected
        }
    }
}

struct Bench {
    router: Router,
    doors: Vec<Arc<Door>>,
    upstream: Fake,
}

impl Bench {
    fn new() -> Self {
        let metrics = Metrics::new(&prometheus::Registry::new());
        let router = Router::new(NodeId::new("pod"), settings(Limits::default()), metrics);
        let doors: Vec<_> = (0..2).map(|_| Arc::new(Door::default())).collect();
        let reactor = |door: &Arc<Door>| Reactor {
            inbox: Box::new(Way(Arc::clone(door))),
            shown: Arc::default(),
        };
        router.attach(doors.iter().map(reactor).collect());
        let upstream = Fake::default();
        let calls = router.0.called.lock().unwrap().take().unwrap();
        tokio::spawn(keep(Arc::clone(&router.0), calls, upstream.clone()));
        Self {
            router,
            doors,
            upstream,
        }
    }

    fn answer(&self, answer: Answer) {
        self.upstream.0.lock().unwrap().answers.push_back(answer);
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.upstream.0.lock().unwrap().calls)
    }

    fn want(&self, reactor: usize, names: &[&str]) {
        let interests = names.iter().map(|name| (interest(name), 1)).collect();
        self.router.want(reactor, interests);
    }

    fn release(&self, reactor: usize, names: &[&str]) {
        self.router
            .release(reactor, names.iter().map(|name| interest(name)).collect());
    }
}

fn interest(name: &str) -> Interest {
    match Topic::parse(name, 255) {
        Ok(topic) => Interest::Topic(topic),
        Err(_) => Interest::Pattern(Pattern::parse(name, 255).unwrap()),
    }
}

fn name(interest: &Interest) -> String {
    match interest {
        Interest::Pattern(pattern) => pattern.to_string(),
        Interest::Topic(topic) => topic.to_string(),
    }
}

fn publication(topic: &str) -> Publication {
    Publication {
        topic: Topic::trusted(topic),
        position: None,
        payload: Bytes::from_static(b"{}"),
    }
}

/// Lets the task run; under paused time this is until it waits.
async fn rest() {
    sleep(Duration::from_millis(1)).await;
}

const LIVE: Outcome = Outcome::Live(Some(Position {
    epoch: 1,
    offset: 3,
}));

#[tokio::test(start_paused = true)]
async fn all_that_waits_is_one_call_and_is_dropped_with_the_last_reactor() {
    let bench = Bench::new();
    bench.want(0, &["a", "b.*"]);
    bench.want(1, &["a"]);
    rest().await;
    assert_eq!(bench.calls(), ["+a,b.*"]);
    assert_eq!(
        bench.doors[0].settled(),
        [(interest("a"), LIVE), (interest("b.*"), LIVE)]
    );
    assert_eq!(bench.doors[1].settled(), [(interest("a"), LIVE)]);
    bench.release(0, &["a", "b.*"]);
    rest().await;
    assert_eq!(bench.calls(), ["-b.*"]);
    // Dropped by one reactor and wanted by the other at the same time.
    bench.release(1, &["a"]);
    bench.want(0, &["a"]);
    rest().await;
    assert_eq!(bench.calls(), ["+a"]);
    bench.release(0, &["a"]);
    rest().await;
    bench.want(1, &["a"]);
    rest().await;
    assert_eq!(bench.calls(), ["-a", "+a"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_before_it_was_asked_for_is_not_asked_for() {
    let bench = Bench::new();
    bench.want(0, &["a", "b"]);
    bench.release(0, &["a"]);
    rest().await;
    assert_eq!(bench.calls(), ["+b"]);
}

#[tokio::test(start_paused = true)]
async fn while_the_backplane_is_away_it_is_said_once_and_asked_again_on_return() {
    let bench = Bench::new();
    bench.answer(Answer::Away);
    bench.upstream.0.lock().unwrap().is_away = true;
    bench.want(0, &["a", "b"]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.calls(), ["+a,b"]);
    assert_eq!(
        bench.doors[0].settled(),
        [
            (interest("a"), Outcome::Away),
            (interest("b"), Outcome::Away)
        ]
    );
    bench.release(0, &["b"]);
    bench.upstream.0.lock().unwrap().is_away = false;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.calls(), ["-b", "+a"]);
    assert_eq!(bench.doors[0].settled(), [(interest("a"), LIVE)]);
}

#[tokio::test(start_paused = true)]
async fn who_changes_its_mind_while_the_backplane_is_away_is_told_once_on_return() {
    let bench = Bench::new();
    bench.upstream.0.lock().unwrap().is_away = true;
    for announcement in 1..=100 {
        bench.answer(Answer::Away);
        bench.router.want(0, vec![(interest("a"), announcement)]);
        rest().await;
        if announcement < 100 {
            bench.release(0, &["a"]);
        }
    }
    sleep(Duration::from_secs(2)).await;
    let door = &bench.doors[0];
    door.commands.lock().unwrap().clear();
    bench.upstream.0.lock().unwrap().is_away = false;
    sleep(Duration::from_secs(2)).await;
    let commands = door.commands.lock().unwrap();
    let [Command::Settled(settled)] = &commands[..] else {
        panic!("{commands:?}");
    };
    let [settled] = &settled[..] else {
        panic!("{settled:?}");
    };
    assert_eq!((settled.announcement, settled.outcome), (100, LIVE));
}

#[tokio::test(start_paused = true)]
async fn a_backplane_that_does_not_answer_is_away() {
    let bench = Bench::new();
    bench.answer(Answer::Hang);
    bench.want(0, &["a"]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        bench.doors[0].settled(),
        [(interest("a"), Outcome::Away), (interest("a"), LIVE)]
    );
}

#[tokio::test(start_paused = true)]
async fn one_refused_topic_does_not_fail_the_others() {
    let bench = Bench::new();
    bench.answer(Answer::Refuse("b"));
    bench.want(0, &["a", "b", "c"]);
    rest().await;
    let expected = [
        (interest("a"), LIVE),
        (interest("b"), Outcome::Refused),
        (interest("c"), LIVE),
    ];
    assert_eq!(bench.doors[0].settled(), expected);
    assert_eq!(bench.calls(), ["+a,b,c", "+a", "+b", "+c"]);
}

#[tokio::test(start_paused = true)]
async fn publications_go_to_the_reactors_that_want_them_in_order() {
    let bench = Bench::new();
    bench.want(0, &["a", "b"]);
    bench.want(1, &["b*"]);
    rest().await;
    bench
        .doors
        .iter()
        .for_each(|door| door.commands.lock().unwrap().clear());
    let publications = ["b", "a", "bb", "c", "b"].map(publication);
    bench.router.deliver(publications.to_vec()).await;
    assert_eq!(bench.doors[0].published(), ["b", "a", "b"]);
    assert_eq!(bench.doors[1].published(), ["b", "bb", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_reactor_stops_the_backplane_until_it_has_room() {
    let bench = Bench::new();
    bench.want(0, &["a"]);
    rest().await;
    let door = &bench.doors[0];
    door.commands.lock().unwrap().clear();
    door.is_full.store(true, Ordering::SeqCst);
    let mut delivery = bench.router.deliver(vec![publication("a")]);
    assert!(
        timeout(Duration::from_secs(3_600), &mut delivery)
            .await
            .is_err()
    );
    assert!(door.published().is_empty());
    door.is_full.store(false, Ordering::SeqCst);
    door.room.notify_one();
    delivery.await;
    assert_eq!(door.published(), ["a"]);
    // What does not fit into a half of the inbox goes in all the same, with its weight.
    door.is_full.store(true, Ordering::SeqCst);
    let before = door.bytes.load(Ordering::SeqCst);
    door.room.notify_one();
    let large = Publication {
        payload: Bytes::from(vec![b'x'; 1 << 20]),
        ..publication("a")
    };
    bench.router.deliver(vec![large]).await;
    assert_eq!(door.published(), ["a", "a"]);
    assert!(door.bytes.load(Ordering::SeqCst) - before > 1 << 20);
    // A reactor that has ended takes nothing: the delivery ends.
    door.has_ended.store(true, Ordering::SeqCst);
    bench.router.deliver(vec![publication("a")]).await;
}

/// Answers, as the reactor behind a door, the question that waits there.
async fn answer_at(door: &Door, reply: Reply) {
    rest().await;
    for command in door.commands.lock().unwrap().drain(..) {
        match command {
            Command::Ask { answer, .. } => answer.send(reply.clone()).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn question() -> Question {
    Question::Send {
        id: "pod.1".into(),
        envelope: Bytes::from(vec![b'x'; 1 << 20]),
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_weighs_what_it_carries_and_a_full_reactor_does_not_take_it() {
    let bench = Bench::new();
    let [one, other] = [0, 1].map(|at| Arc::clone(&bench.doors[at]));
    other.is_full.store(true, Ordering::SeqCst);
    for (reply, expected) in [
        (Reply::Count(0), Reply::Full),
        // The session is in the other reactor.
        (Reply::Count(1), Reply::Count(1)),
    ] {
        let before = one.bytes.load(Ordering::SeqCst);
        let asked = bench.router.ask(question());
        let (all, ()) = tokio::join!(asked, answer_at(&one, reply));
        assert_eq!(all, expected);
        assert!(one.bytes.load(Ordering::SeqCst) - before > 1 << 20);
    }
    assert!(other.commands.lock().unwrap().is_empty());

    // Of a user's sessions one reactor may hold some and the full one others.
    let all_of_a_user = Question::Disconnect {
        target: Target::User("ann".into()),
        code: 4403,
        reason: String::new(),
    };
    let asked = bench.router.ask(all_of_a_user);
    let (all, ()) = tokio::join!(asked, answer_at(&one, Reply::Count(1)));
    assert_eq!(all, Reply::Full);
    let refused = bench.router.0.metrics.questions_refused.get();
    assert_eq!(refused, 3);

    // A reactor that has ended holds no session.
    other.has_ended.store(true, Ordering::SeqCst);
    let asked = bench.router.ask(question());
    let (all, ()) = tokio::join!(asked, answer_at(&one, Reply::Count(0)));
    assert_eq!(all, Reply::Count(0));
}

#[tokio::test(start_paused = true)]
async fn of_a_topic_only_the_reactors_that_have_it_by_name_are_asked() {
    let bench = Bench::new();
    bench.want(0, &["a", "*"]);
    bench.want(1, &["*"]);
    rest().await;
    bench.doors[1].is_full.store(true, Ordering::SeqCst);
    bench.doors[0].commands.lock().unwrap().clear();
    let about = |name: &str| Question::Topic { name: name.into() };
    let asked = bench.router.ask(about("a"));
    let (all, ()) = tokio::join!(asked, answer_at(&bench.doors[0], Reply::Count(3)));
    assert_eq!(all, Reply::Count(3));
    assert_eq!(bench.router.ask(about("b")).await, Reply::Count(0));
}

#[tokio::test(start_paused = true)]
async fn the_fleet_says_which_pod_is_full() {
    let metrics = Metrics::new(&prometheus::Registry::new());
    let node = NodeId::new("pod");
    let router = Router::new(node.clone(), settings(Limits::default()), metrics);
    let door = Arc::new(Door::default());
    door.is_full.store(true, Ordering::SeqCst);
    router.attach(vec![Reactor {
        inbox: Box::new(Way(Arc::clone(&door))),
        shown: Arc::default(),
    }]);
    let backplane = Backplane::join(
        &config::Backplane::Memory,
        "test/fleet",
        node.clone(),
        Arc::new(router.clone()),
        backplane::Metrics::new(&prometheus::Registry::new()).unwrap(),
    );
    let fleet = Fleet::new(router, backplane.await.unwrap());
    let id = ConnectionId::new(&node);
    let sent = fleet.send(id.clone(), Bytes::from_static(b"{}")).await;
    assert!(matches!(sent, Err(Error::Full(full)) if full == node));
    let ended = fleet.disconnect(Who::Connection(id), 4403, String::new());
    assert!(matches!(ended.await, Err(Error::Full(_))));
    let listed = fleet.connections(None, 10).await.unwrap();
    assert_eq!((listed.value, listed.missing), (vec![], vec![node]));
    assert!(
        door.commands
            .lock()
            .unwrap()
            .iter()
            .all(|command| !matches!(command, Command::Ask { .. }))
    );
}

#[tokio::test]
async fn reactors_that_come_after_the_backplane_learn_that_it_is_away() {
    let metrics = Metrics::new(&prometheus::Registry::new());
    let router = Router::new(NodeId::new("pod"), settings(Limits::default()), metrics);
    router.state(State::Degraded);
    let door = Arc::new(Door::default());
    router.attach(vec![Reactor {
        inbox: Box::new(Way(Arc::clone(&door))),
        shown: Arc::default(),
    }]);
    assert!(matches!(
        door.commands.lock().unwrap()[..],
        [Command::State(State::Degraded)]
    ));
}
