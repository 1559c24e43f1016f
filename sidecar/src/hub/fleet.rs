//! The fleet, as the backends' API and the process's own life see it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::command::Leave;
use super::control::{self, Question, Reply, Target};
use super::{ConnectionId, ConnectionInfo, Error, Gathered, Router, TopicInfo, Who, interest};
use crate::backplane::{self, Backplane, NodeId, Position, Publish, To};
use crate::topic::Topic;

/// Topics that a reactor lists beyond those asked for. A topic with fewer subscribers in some reactor
/// than that reactor's last one listed is counted too low.
const SPARE: usize = 1_000;

/// All pods together, through the one that was asked. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    router: Router,
    backplane: Backplane,
}

impl Fleet {
    /// The fleet that `backplane` joined with `router` as its sink. Must be called in a tokio runtime,
    /// once for a router: the task that tells the backplane of interest begins here.
    ///
    /// # Panics
    /// When the router belongs to a fleet already.
    pub fn new(router: Router, backplane: Backplane) -> Self {
        let mut called = router
            .0
            .called
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let calls = called.take().expect("a router belongs to one fleet");
        drop(called);
        tokio::spawn(interest::keep(
            Arc::clone(&router.0),
            calls,
            backplane.clone(),
        ));
        Self { router, backplane }
    }

    /// Publishes an envelope (JSON text) on a topic, reserved ones too ([`Topic::user`],
    /// [`Topic::all`]), under the topic's policy. `key` makes it idempotent.
    ///
    /// # Errors
    /// As [`crate::backplane::Backplane::publish`].
    pub async fn publish(
        &self,
        topic: Topic,
        envelope: Bytes,
        key: Option<String>,
    ) -> Result<Option<Position>, backplane::Error> {
        let policy = self.router.settings().policies.of(&topic);
        self.backplane
            .publish(Publish {
                topic,
                payload: envelope,
                idempotency_key: key,
                history: policy.history,
                durability: policy.durability,
                when_away: policy.when_away,
            })
            .await
    }

    /// Sends an envelope to one session. The value says whether it was there.
    ///
    /// # Errors
    /// [`Error::Full`] when the pod that holds it has no room for the call; [`Error::Backplane`] when that is
    /// another pod and cannot be asked.
    pub async fn send(&self, to: ConnectionId, envelope: Bytes) -> Result<Gathered<bool>, Error> {
        let node = to.node();
        let question = Question::Send {
            id: to.to_string(),
            envelope,
        };
        let gathered = self.ask_node(node, question).await?;
        Ok(gathered.map(|reply| count(&reply) > 0))
    }

    /// Closes sessions with a code and a reason. The value counts them.
    ///
    /// # Errors
    /// [`Error::Full`] when the pod that holds the one session has no room for the call;
    /// [`Error::Backplane`] when other pods cannot be asked.
    pub async fn disconnect(
        &self,
        who: Who,
        code: u16,
        reason: String,
    ) -> Result<Gathered<u64>, Error> {
        let (node, target) = match who {
            Who::Connection(id) => (Some(id.node()), Target::Connection(id.to_string())),
            Who::User(user) => (None, Target::User(user)),
        };
        let question = Question::Disconnect {
            target,
            code,
            reason,
        };
        let gathered = match node {
            Some(node) => self.ask_node(node, question).await?,
            None => self.ask_all(question).await?,
        };
        Ok(gathered.map(|reply| count(&reply)))
    }

    /// Up to `limit` sessions, of one user or of all.
    ///
    /// # Errors
    /// [`Error::Backplane`] when other pods cannot be asked.
    pub async fn connections(
        &self,
        user: Option<String>,
        limit: usize,
    ) -> Result<Gathered<Vec<ConnectionInfo>>, Error> {
        let gathered = self.ask_all(Question::Connections { user, limit }).await?;
        Ok(gathered.map(listed))
    }

    /// One session.
    ///
    /// # Errors
    /// [`Error::Full`] when the pod that holds it has no room for the call; [`Error::Backplane`] when that is
    /// another pod and cannot be asked.
    pub async fn connection(
        &self,
        id: ConnectionId,
    ) -> Result<Gathered<Option<ConnectionInfo>>, Error> {
        let node = id.node();
        let question = Question::Connection { id: id.to_string() };
        let gathered = self.ask_node(node, question).await?;
        Ok(gathered.map(|reply| listed(reply).pop()))
    }

    /// Up to `limit` topics that have subscribers and begin with `prefix`, the largest first. Heads are
    /// not asked for.
    ///
    /// # Errors
    /// [`Error::Backplane`] when other pods cannot be asked.
    pub async fn topics(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Gathered<Vec<TopicInfo>>, Error> {
        let question = Question::Topics {
            prefix: prefix.to_owned(),
            // Topics are spread over reactors and pods, and each names its own largest.
            limit: limit.saturating_add(SPARE),
        };
        let gathered = self.ask_all(question).await?;
        let info = |(name, subscribers): (String, u64)| TopicInfo {
            topic: Topic::trusted(&name),
            subscribers,
            head: None,
        };
        Ok(gathered.map(|reply| match reply {
            Reply::Topics(topics) => topics.into_iter().take(limit).map(info).collect(),
            _ => Vec::new(),
        }))
    }

    /// One topic, with its head.
    ///
    /// # Errors
    /// [`Error::Backplane`] when other pods cannot be asked.
    pub async fn topic(&self, topic: &Topic) -> Result<Gathered<TopicInfo>, Error> {
        let question = Question::Topic {
            name: topic.to_string(),
        };
        let (gathered, past) =
            tokio::join!(self.ask_all(question), self.backplane.read(topic, None, 0));
        Ok(gathered?.map(|reply| TopicInfo {
            topic: topic.clone(),
            subscribers: count(&reply),
            head: past.ok().map(|past| past.head),
        }))
    }

    /// Asks every session of this pod to leave with 4300, each at its own uniformly random moment of
    /// the window; what is left at the deadline is closed at once. A second call changes nothing.
    pub fn leave(&self, window: Duration, deadline: Duration) {
        self.router.leave(Leave {
            begin: Instant::now(),
            window,
            deadline,
        });
    }

    /// Asks so many sessions of this pod to leave with 4300, each at its own uniformly random moment of
    /// the window: drawn at random, each with the same chance, from those that are not leaving. All of
    /// them when there are fewer. Returns how many were asked.
    pub async fn shed(&self, sessions: usize, window: Duration) -> usize {
        self.router.shed(sessions, window).await
    }

    /// Takes [`Fleet::leave`] and [`Fleet::shed`] back for the sessions that have not left.
    pub fn stay(&self) {
        self.router.stay();
    }

    /// Sessions in this pod.
    pub fn sessions(&self) -> usize {
        self.router.sessions()
    }

    /// Subscribers, in this pod, of the topic that has most of them.
    pub fn largest_topic(&self) -> usize {
        self.router.largest_topic()
    }

    /// Topics and patterns that the sessions of this pod have.
    pub fn subscriptions(&self) -> usize {
        self.router.subscriptions()
    }

    /// The way to this pod's reactors.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Asks one pod. This one is asked without the backplane, so that it answers while that is away.
    async fn ask_node(&self, node: NodeId, question: Question) -> Result<Gathered<Reply>, Error> {
        let gathered = if node == *self.router.node() {
            Gathered {
                value: self.router.ask(question).await,
                missing: Vec::new(),
            }
        } else {
            let (gathered, full) = self.ask(To::Node(node.clone()), question).await?;
            if !full.is_empty() {
                return Err(Error::Full(node));
            }
            gathered
        };
        match gathered.value {
            Reply::Full => Err(Error::Full(node)),
            _ => Ok(gathered),
        }
    }

    /// Asks all pods. One without room for the question is missing like one that does not answer.
    async fn ask_all(&self, question: Question) -> Result<Gathered<Reply>, Error> {
        let (mut gathered, full) = self.ask(To::All, question).await?;
        gathered.missing.extend(full);
        Ok(gathered)
    }

    /// The answers, and the pods that had no room for the question.
    async fn ask(
        &self,
        to: To,
        question: Question,
    ) -> Result<(Gathered<Reply>, Vec<NodeId>), Error> {
        let timeout = self.router.settings().fleet_timeout;
        let request = control::encode(&question);
        let replies = self.backplane.control(to, request, timeout).await?;
        let mut gathered = Gathered {
            value: question.nothing(),
            missing: replies.missing,
        };
        let mut full = Vec::new();
        for (node, reply) in replies.answered {
            let reply = control::decode::<Reply>(&reply);
            if reply == Some(Reply::Full) {
                full.push(node);
                continue;
            }
            let joined =
                reply.and_then(|reply| gathered.value.clone().join(reply, question.limit()));
            match joined {
                Some(value) => gathered.value = value,
                // A pod of another release that does not know the question.
                None => gathered.missing.push(node),
            }
        }
        Ok((gathered, full))
    }
}

impl<T> Gathered<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Gathered<U> {
        Gathered {
            value: change(self.value),
            missing: self.missing,
        }
    }
}

fn count(reply: &Reply) -> u64 {
    match reply {
        Reply::Count(count) => *count,
        _ => 0,
    }
}

fn listed(reply: Reply) -> Vec<ConnectionInfo> {
    match reply {
        Reply::Connections(all) => all,
        _ => Vec::new(),
    }
}
