//! Asks every pod how it is, at its own pace and beside all passes. In come the pods that the caches
//! show and how busy the last plan of a cluster was; out go the last answers, which a pass only
//! reads, and the clusters of which a plan would now see something else.
//!
//! A pod that does not answer costs nobody but itself: it is not asked again before the question has
//! timed out and a growing pause has passed, and such pods have slots of their own.

mod book;
mod slots;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kube::runtime::reflector::ObjectRef;
use prometheus::IntCounterVec;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::book::Book;
pub(super) use self::book::{Pace, Place};
use self::slots::Slots;
use super::root::Root;
use super::watches::Changes;
use crate::ask::{Ask, Silence, Told};

/// Questions that are open at once in this process: each has a socket, and this many stay below the
/// 1,024 open files that a process may have at the least. Answers take milliseconds, so it is far
/// more than 2,000 pods need that answer; pods that do not answer are held to a part of it.
pub(super) const QUESTIONS: usize = 256;
/// How often it is looked whose turn it is.
const TICK: Duration = Duration::from_millis(250);
/// How long a new leader waits for the first answers, longer than a question does.
const FIRST_ROUND: Duration = Duration::from_secs(3);

/// A cluster, by namespace and name.
pub(super) type Cluster = ObjectRef<Root>;

/// Whom to ask.
pub(super) trait Pods {
    /// All clusters.
    fn clusters(&self) -> Vec<Cluster>;
    /// The pods of one that can answer. None: there is no such cluster.
    fn of(&self, cluster: &Cluster) -> Option<Vec<Place>>;
}

/// How a pod is asked.
pub(super) trait Question {
    /// Asks. It must end by itself.
    fn ask(&self, admin: SocketAddr) -> impl Future<Output = Result<Told, Silence>> + Send;
}

impl Question for Ask {
    async fn ask(&self, admin: SocketAddr) -> Result<Told, Silence> {
        self.load(admin).await
    }
}

/// What pods said last. Clones are of one.
#[derive(Clone, Default)]
pub(super) struct Prober(Arc<Mutex<Book>>);

impl Prober {
    /// What a pod said last. None: nothing that is still worth something.
    pub(super) fn told(&self, cluster: &Cluster, uid: &str) -> Option<Told> {
        self.book().told(cluster, uid, Instant::now())
    }

    /// Makes worthless what a pod said so far, and what it says to a question that is open: it was
    /// told something since. It is asked again at once.
    pub(super) fn forget(&self, cluster: &Cluster, uid: &str) {
        self.book().forget(cluster, uid, Instant::now());
    }

    /// How often the pods of a cluster are to be asked.
    pub(super) fn pace(&self, cluster: &Cluster, pace: Pace) {
        self.book().pace(cluster, pace);
    }

    /// Asks for ever, at most `questions` at once.
    pub(super) async fn run(
        &self,
        pods: &impl Pods,
        question: &impl Question,
        questions: usize,
        changes: &Changes,
        asked: &IntCounterVec,
    ) {
        let mut heard = changes.subscribe();
        self.follow_all(pods);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut slots = Slots::new(questions);
        let mut open = FuturesUnordered::new();
        let mut due = Vec::new();
        loop {
            tokio::select! {
                changed = heard.recv() => match changed {
                    Ok(cluster) => self.follow(pods, &cluster),
                    Err(RecvError::Lagged(_)) => self.follow_all(pods),
                    Err(RecvError::Closed) => return,
                },
                Some((one, answer)) = open.next() => {
                    slots.free(&one);
                    asked.with_label_values(&[outcome(&answer)]).inc();
                    if self.book().take(&one, answer.ok(), Instant::now()) {
                        // Nobody hears it when all ends.
                        let _ = changes.send(one.cluster);
                    }
                }
                _ = tick.tick() => {
                    for cluster in self.book().fade(Instant::now()) {
                        let _ = changes.send(cluster);
                    }
                    due = self.book().due(Instant::now());
                }
            }
            due.retain(|one: &book::Asked| {
                if !slots.has_room(one) {
                    return true;
                }
                if let Some(one) = self.book().begin(one, Instant::now()) {
                    slots.take(&one);
                    open.push(async move {
                        let answer = question.ask(one.admin).await;
                        (one, answer)
                    });
                }
                false
            });
        }
    }

    /// Waits until every pod was asked once, but not for long: what a new leader tells of a fleet at
    /// first should not be that nobody has answered. [`Prober::run`] must run beside it.
    pub(super) async fn first_round(&self, pods: &impl Pods) {
        self.follow_all(pods);
        let done = async {
            while !self.book().has_asked_all() {
                tokio::time::sleep(TICK).await;
            }
        };
        let _ = tokio::time::timeout(FIRST_ROUND, done).await;
    }

    /// Asks every pod now, one after another.
    #[cfg(test)]
    pub(super) async fn ask_all(&self, pods: &impl Pods, question: &impl Question) {
        self.follow_all(pods);
        let much_later = Instant::now() + Duration::from_secs(3_600);
        let all = self.book().due(much_later);
        for one in all {
            let Some(one) = self.book().begin(&one, Instant::now()) else {
                continue;
            };
            let answer = question.ask(one.admin).await.ok();
            self.book().take(&one, answer, Instant::now());
        }
    }

    fn follow(&self, pods: &impl Pods, cluster: &Cluster) {
        let found = pods.of(cluster);
        self.book().follow(cluster, found, Instant::now());
    }

    fn follow_all(&self, pods: &impl Pods) {
        let clusters = pods.clusters();
        self.book().keep_only(&clusters);
        for cluster in &clusters {
            self.follow(pods, cluster);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outcome(answer: &Result<Told, Silence>) -> &'static str {
    match answer {
        Ok(_) => "answered",
        Err(Silence::Nonsense) => "nonsense",
        Err(Silence::Refused) => "refused",
        Err(Silence::Timeout) => "timeout",
    }
}
