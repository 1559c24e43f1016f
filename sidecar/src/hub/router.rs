//! The pod's side of the backplane: which reactors want what, and the way of publications and
//! questions to them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::command::{Announce, Command, Inbox, Leave, NotTaken};
use super::control::{self, Question, Reply};
use super::interest::{Call, MOST_REACTORS, Reactors, Table};
use super::metrics::Metrics;
use super::policy::Settings;
use super::ranking::{self, Shown};
use crate::backplane::{BoxFuture, Interest, NodeId, Publication, Sink, State};
use crate::topic::Topic;

/// Publications go to a reactor in commands of about this size, so that one never fills its inbox.
const CHUNK_BYTES: usize = 256 << 10;

/// What a publication weighs beside its payload, in bytes: about what it occupies in an inbox.
const PUBLICATION_BYTES: usize = 96;

/// Shared by all reactors of the pod; given to the backplane as its sink. Cheap to clone.
#[derive(Clone)]
pub struct Router(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) node: NodeId,
    pub(super) settings: ArcSwap<Settings>,
    pub(super) table: RwLock<Table>,
    pub(super) calls: mpsc::UnboundedSender<Call>,
    /// Taken by the one task that answers calls.
    pub(super) called: Mutex<Option<mpsc::UnboundedReceiver<Call>>>,
    reactors: OnceLock<Vec<Reactor>>,
    /// Told to reactors that are attached after the backplane has joined.
    is_degraded: AtomicBool,
    pub(super) metrics: Metrics,
}

/// One reactor, from outside.
pub struct Reactor {
    /// The way to it.
    pub inbox: Box<dyn Inbox>,
    /// Its totals.
    pub shown: Arc<Shown>,
}

impl Router {
    /// A router of the pod that is this node of its fleet. Nothing arrives before
    /// [`Router::attach`].
    pub fn new(node: NodeId, settings: Arc<Settings>, metrics: Metrics) -> Self {
        let (calls, called) = mpsc::unbounded_channel();
        Self(Arc::new(Shared {
            node,
            settings: ArcSwap::new(settings),
            table: RwLock::new(Table::default()),
            calls,
            called: Mutex::new(Some(called)),
            reactors: OnceLock::new(),
            is_degraded: AtomicBool::new(false),
            metrics,
        }))
    }

    /// Tells it its reactors, once, in the order of their numbers.
    ///
    /// # Panics
    /// When it was told before, or they are more than 128.
    pub fn attach(&self, reactors: Vec<Reactor>) {
        assert!(
            reactors.len() <= MOST_REACTORS,
            "a set of reactors holds {MOST_REACTORS}"
        );
        assert!(
            self.0.reactors.set(reactors).is_ok(),
            "a router is told its reactors once"
        );
        if self.0.is_degraded.load(Ordering::SeqCst) {
            self.0.urge_all(|| Command::State(State::Degraded));
        }
    }

    /// This pod's name in its fleet.
    pub fn node(&self) -> &NodeId {
        &self.0.node
    }

    /// The settings now.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.settings.load_full()
    }

    /// Replaces the settings, here and in every reactor.
    pub fn reload(&self, settings: Arc<Settings>) {
        self.0.settings.store(Arc::clone(&settings));
        self.0.urge_all(|| Command::Settings(Arc::clone(&settings)));
    }

    /// Sessions of this pod.
    pub fn sessions(&self) -> usize {
        let reactors = self.0.reactors();
        reactors
            .iter()
            .map(|reactor| reactor.inbox.sessions())
            .sum()
    }

    /// Subscribers, in this pod, of the topic that has most of them.
    pub fn largest_topic(&self) -> usize {
        ranking::largest_topic(self.0.reactors().iter().map(|reactor| &*reactor.shown))
    }

    /// Topics and patterns that the sessions of this pod have.
    pub fn subscriptions(&self) -> usize {
        ranking::subscriptions(self.0.reactors().iter().map(|reactor| &*reactor.shown))
    }

    pub(super) fn leave(&self, leave: Leave) {
        self.0.urge_all(|| Command::Leave(leave));
    }

    pub(super) fn stay(&self) {
        self.0.urge_all(|| Command::Stay);
    }

    /// Asks the reactors of this pod that may know something, and puts the answers together.
    pub(super) async fn ask(&self, question: Question) -> Reply {
        let concerned = self.0.concerned(&question);
        let question = Arc::new(question);
        let bytes = question.bytes();
        let mut asked = Vec::new();
        let mut is_full = false;
        for reactor in concerned {
            let reactor = &self.0.reactors()[reactor];
            let (answer, answered) = oneshot::channel();
            let ask = Command::Ask {
                question: Arc::clone(&question),
                answer,
            };
            match reactor.inbox.command(ask, bytes) {
                Ok(()) => asked.push(answered),
                // It holds no session.
                Err(NotTaken::Ended) => {}
                Err(NotTaken::Full(_)) => is_full = true,
            }
        }
        let mut all = question.nothing();
        for answered in asked {
            // A reactor that has ended meanwhile holds no session any more.
            let Ok(reply) = answered.await else {
                continue;
            };
            all = all.join(reply, question.limit()).unwrap_or(Reply::Unknown);
        }
        if is_full {
            self.0.metrics.questions_refused.inc();
            if !question.is_answered_by(&all) {
                return Reply::Full;
            }
        }
        all
    }
}

impl Shared {
    pub(super) fn reactors(&self) -> &[Reactor] {
        self.reactors.get().map_or(&[], Vec::as_slice)
    }

    /// Those that can answer: of a topic's subscribers only reactors know that want it by name.
    fn concerned(&self, question: &Question) -> Reactors {
        match question {
            Question::Topic { name } => {
                let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
                table.naming(&Topic::trusted(name))
            }
            _ => Reactors::first(self.reactors().len()),
        }
    }

    fn urge_all(&self, command: impl Fn() -> Command) {
        for reactor in self.reactors() {
            // A few of these wait at most.
            reactor.inbox.urge(command(), 0);
        }
    }

    /// Sorts publications by the reactors that want them, each reactor's in order.
    fn route(&self, publications: Vec<Publication>) -> Vec<Vec<Publication>> {
        let mut routed = vec![Vec::new(); self.reactors().len()];
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        for publication in publications {
            // Copies share the payload.
            for reactor in table.wanting(&publication.topic) {
                routed[reactor].push(publication.clone());
            }
        }
        routed
    }

    /// Queues publications at one reactor, and waits for room there: meanwhile the backplane stops
    /// reading, so that a reactor that is stuck cannot grow the process.
    async fn queue(&self, reactor: &Reactor, publications: Vec<Publication>) {
        let mut rest = publications.into_iter().peekable();
        while rest.peek().is_some() {
            let mut bytes = 0;
            let mut chunk = Vec::new();
            while let Some(publication) = rest.next_if(|_| bytes < CHUNK_BYTES) {
                bytes += publication.payload.len() + PUBLICATION_BYTES;
                chunk.push(publication);
            }
            let chunk = Command::Publications(chunk);
            let chunk = match reactor.inbox.command(chunk, bytes) {
                Ok(()) => continue,
                Err(NotTaken::Ended) => return,
                Err(NotTaken::Full(chunk)) => chunk,
            };
            self.metrics.waits.inc();
            reactor.inbox.room().await;
            // Half of the inbox is free now. What does not fit even so is larger than that, or questions
            // have taken the room: it must go in, and it counts.
            if let Err(NotTaken::Full(chunk)) = reactor.inbox.command(chunk, bytes) {
                reactor.inbox.urge(chunk, bytes);
            }
        }
    }
}

impl Sink for Router {
    /// Must be called for one batch after another: the order of calls is the order of delivery.
    fn deliver(&self, publications: Vec<Publication>) -> BoxFuture<()> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let routed = shared.route(publications);
            for (reactor, publications) in shared.reactors().iter().zip(routed) {
                shared.queue(reactor, publications).await;
            }
        })
    }

    fn control(&self, request: bytes::Bytes) -> BoxFuture<bytes::Bytes> {
        let router = self.clone();
        Box::pin(async move {
            let reply = match control::decode(&request) {
                Some(question) => router.ask(question).await,
                None => Reply::Unknown,
            };
            control::encode(&reply)
        })
    }

    fn state(&self, state: State) {
        let is_degraded = state == State::Degraded;
        self.0.is_degraded.store(is_degraded, Ordering::SeqCst);
        self.0.urge_all(|| Command::State(state));
    }
}

impl Announce for Router {
    fn want(&self, reactor: usize, interests: Vec<(Interest, u64)>) {
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        for (interest, _) in &interests {
            table.add(interest, reactor);
        }
        drop(table);
        // The task that reads these ends only with the process.
        let _ = self.0.calls.send(Call::Want { reactor, interests });
    }

    fn release(&self, reactor: usize, interests: Vec<Interest>) {
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        for interest in &interests {
            table.remove(interest, reactor);
        }
        drop(table);
        let _ = self.0.calls.send(Call::Drop { interests });
    }
}
