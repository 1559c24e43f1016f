//! What this pod wants to receive, and its requests for more: taken in batches, joined in one
//! pipeline, then the heads read in another. One request after the other: what is wanted and what is
//! joined cannot fall apart.

use std::sync::Arc;

use hashbrown::HashSet;
use tokio::sync::{mpsc, oneshot};

use super::Core;
use super::inbox::{Event, Inbox};
use super::session::{Fault, Session};
use crate::backplane::interests::Interests;
use crate::backplane::{Error, Interest, Position};
use crate::topic::Topic;

/// Requests taken at once, at most.
const BATCH: usize = 256;

/// Where the heads of a subscribe call go.
pub(super) type HeadsSender = oneshot::Sender<Result<Vec<Option<Position>>, Error>>;

/// A call of one of the verbs.
pub(super) enum Request {
    Subscribe {
        interests: Vec<Interest>,
        reply: HeadsSender,
    },
    Unsubscribe {
        interests: Vec<Interest>,
        reply: oneshot::Sender<()>,
    },
}

/// What is wanted, whether or not Redis is there.
pub(super) struct Wanted {
    pub(super) interests: Interests,
    /// Wanted now and not when the session last looked, or the other way round. What came and went in
    /// between is not in it, so it is never larger than what was wanted then and is wanted now.
    changed: HashSet<Interest>,
    requests: mpsc::Receiver<Request>,
}

impl Wanted {
    pub(super) fn new(requests: mpsc::Receiver<Request>) -> Self {
        Self {
            interests: Interests::default(),
            changed: HashSet::new(),
            requests,
        }
    }

    /// Does `work` while requests are answered as they are without Redis. None: every handle of the
    /// backplane is gone.
    pub(super) async fn while_away<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                request = self.requests.recv() => match request? {
                    Request::Subscribe { interests, reply } => {
                        self.want(interests);
                        let away = Error::Away("Redis cannot be reached".to_owned());
                        let _ = reply.send(Err(away));
                    }
                    Request::Unsubscribe { interests, reply } => {
                        self.no_longer(interests);
                        let _ = reply.send(());
                    }
                },
            }
        }
    }

    /// Forgets what changed: a session is about to take everything.
    pub(super) fn take_all(&mut self) -> &Interests {
        self.changed.clear();
        &self.interests
    }

    fn want(&mut self, interests: Vec<Interest>) {
        for interest in interests {
            if self.interests.add(&interest) {
                self.toggle(interest);
            }
        }
    }

    fn no_longer(&mut self, interests: Vec<Interest>) {
        for interest in interests {
            if self.interests.remove(&interest) {
                self.toggle(interest);
            }
        }
    }

    /// A second change takes the first one back.
    fn toggle(&mut self, interest: Interest) {
        if !self.changed.remove(&interest) {
            self.changed.insert(interest);
        }
    }
}

/// The channels that one session has joined.
pub(super) struct Subscriptions<'a> {
    core: &'a Core,
    session: &'a Arc<Session>,
    inbox: Inbox,
    joined: Interests,
    firehoses: bool,
}

impl<'a> Subscriptions<'a> {
    pub(super) fn new(core: &'a Core, session: &'a Arc<Session>, inbox: Inbox) -> Self {
        Self {
            core,
            session,
            inbox,
            joined: Interests::default(),
            firehoses: false,
        }
    }

    /// Joins everything that is wanted, without telling the reader: it has been told.
    pub(super) async fn join_all(&mut self, wanted: &[Interest]) -> Result<(), Fault> {
        self.join(wanted).await?;
        self.firehoses(!self.joined.patterns.is_empty()).await
    }

    /// Joins and leaves what was asked for meanwhile. False: nothing was.
    pub(super) async fn join_changed(&mut self, wanted: &mut Wanted) -> Result<bool, Fault> {
        let changed: Vec<Interest> = wanted.changed.drain().collect();
        let topics = self.converge(&changed, &wanted.interests).await?;
        self.heads(&topics).await?;
        Ok(!changed.is_empty())
    }

    /// Serves requests until the session ends or every handle is gone (None).
    pub(super) async fn serve(&mut self, wanted: &mut Wanted) -> Option<()> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if wanted.requests.recv_many(&mut batch, BATCH).await == 0 {
                return None;
            }
            if let Err(fault) = self.batch(wanted, std::mem::take(&mut batch)).await {
                tracing::warn!(?fault, "subscribing failed");
                self.session.close();
                return Some(());
            }
        }
    }

    /// A fault means that what is joined is not what is wanted: the session is of no use any more.
    async fn batch(&mut self, wanted: &mut Wanted, batch: Vec<Request>) -> Result<(), Fault> {
        let mut subscribing = Vec::new();
        let mut unsubscribing = Vec::new();
        for request in batch {
            match request {
                Request::Subscribe { interests, reply } => {
                    wanted.want(interests.clone());
                    subscribing.push((interests, reply));
                }
                Request::Unsubscribe { interests, reply } => {
                    wanted.no_longer(interests);
                    unsubscribing.push(reply);
                }
            }
        }
        let changed: Vec<Interest> = wanted.changed.drain().collect();
        let result = self.answer(&changed, wanted, &subscribing).await;
        for reply in unsubscribing {
            let _ = reply.send(());
        }
        match result {
            Ok(mut heads) => {
                for (interests, reply) in subscribing {
                    let rest = heads.split_off(interests.len());
                    let own = std::mem::replace(&mut heads, rest);
                    if interests.iter().any(|interest| topic(interest).is_none()) {
                        self.inbox.note(Event::Answer(reply, own));
                    } else {
                        let _ = reply.send(Ok(own));
                    }
                }
                Ok(())
            }
            Err(fault) => {
                for (interests, reply) in subscribing {
                    // Refused for good is not wanted any more; otherwise the next session joins it.
                    if let Fault::Refused(_) = fault {
                        wanted.no_longer(interests);
                    }
                    let _ = reply.send(Err(fault.clone().into()));
                }
                Err(fault)
            }
        }
    }

    /// The heads of all interests of the requests, one after the other.
    async fn answer(
        &mut self,
        changed: &[Interest],
        wanted: &Wanted,
        subscribing: &[(Vec<Interest>, HeadsSender)],
    ) -> Result<Vec<Option<Position>>, Fault> {
        self.converge(changed, &wanted.interests).await?;
        let interests = || subscribing.iter().flat_map(|(interests, _)| interests);
        let topics: Vec<&Topic> = interests().filter_map(topic).collect();
        let mut heads = self.heads(&topics).await?.into_iter();
        Ok(interests()
            .map(|interest| topic(interest).and_then(|_| heads.next()))
            .collect())
    }

    /// Makes what is joined what is wanted, as far as it changed. Returns the topics joined.
    async fn converge<'c>(
        &mut self,
        changed: &'c [Interest],
        wanted: &Interests,
    ) -> Result<Vec<&'c Topic>, Fault> {
        let is_new =
            |interest: &&Interest| wanted.contains(interest) && !self.joined.contains(interest);
        let is_gone =
            |interest: &&Interest| !wanted.contains(interest) && self.joined.contains(interest);
        let new: Vec<Interest> = changed.iter().filter(is_new).cloned().collect();
        let gone: Vec<Interest> = changed.iter().filter(is_gone).cloned().collect();
        for interest in &new {
            self.inbox.note(match interest {
                Interest::Pattern(pattern) => Event::AddPattern(pattern.clone()),
                Interest::Topic(topic) => Event::AddTopic(topic.clone()),
            });
        }
        self.join(&new).await?;
        self.leave(&gone).await?;
        self.firehoses(!self.joined.patterns.is_empty()).await?;
        let new = changed.iter().filter(|interest| new.contains(interest));
        Ok(new.filter_map(topic).collect())
    }

    async fn heads(&self, topics: &[&Topic]) -> Result<Vec<Position>, Fault> {
        let heads = self.core.heads(self.session, topics).await?;
        for (topic, head) in topics.iter().zip(&heads) {
            self.inbox.note(Event::Head((*topic).clone(), *head));
        }
        Ok(heads)
    }

    async fn join(&mut self, interests: &[Interest]) -> Result<(), Fault> {
        self.session.join(&self.channels(interests)).await?;
        for interest in interests {
            self.joined.add(interest);
        }
        Ok(())
    }

    /// The reader forgets them only when the server has confirmed, so that no late copy counts as new.
    async fn leave(&mut self, interests: &[Interest]) -> Result<(), Fault> {
        self.session.part(&self.channels(interests)).await?;
        for interest in interests {
            self.joined.remove(interest);
            self.inbox.note(match interest {
                Interest::Pattern(pattern) => Event::DropPattern(pattern.clone()),
                Interest::Topic(topic) => Event::DropTopic(topic.clone()),
            });
        }
        Ok(())
    }

    fn channels(&self, interests: &[Interest]) -> Vec<(u16, String)> {
        let keys = &self.core.keys;
        let channel = |topic: &Topic| {
            let k = keys.partition(topic);
            (k, keys.topic_channel(k, topic))
        };
        let mut channels: Vec<_> = interests.iter().filter_map(topic).map(channel).collect();
        channels.sort_unstable();
        channels
    }

    /// Joins or leaves the firehoses.
    async fn firehoses(&mut self, needed: bool) -> Result<(), Fault> {
        if self.firehoses == needed {
            return Ok(());
        }
        let keys = &self.core.keys;
        let channels: Vec<_> = keys.partitions().map(|k| (k, keys.firehose(k))).collect();
        if !needed {
            self.session.part(&channels).await?;
            self.firehoses = false;
            return Ok(());
        }
        self.session.join(&channels).await?;
        let mut positions = Vec::with_capacity(channels.len());
        for k in keys.partitions() {
            let seen = self.core.seen.partition(k);
            let partition = self.core.partition(self.session, k, seen, false).await?;
            positions.push(partition.position);
        }
        self.inbox.note(Event::JoinedFirehoses(positions));
        self.firehoses = true;
        Ok(())
    }
}

fn topic(interest: &Interest) -> Option<&Topic> {
    match interest {
        Interest::Pattern(_) => None,
        Interest::Topic(topic) => Some(topic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_came_and_went_without_redis_leaves_nothing_behind() {
        let (requests, incoming) = mpsc::channel(8);
        let mut wanted = Wanted::new(incoming);
        let named = |name: String| vec![Interest::Topic(Topic::trusted(&name))];
        let clients = async {
            for number in 0..100 {
                let interests = named(format!("t{number}"));
                let (reply, answer) = oneshot::channel();
                let request = Request::Subscribe {
                    interests: interests.clone(),
                    reply,
                };
                assert!(requests.send(request).await.is_ok());
                assert!(matches!(answer.await, Ok(Err(Error::Away(_)))));
                if number == 7 {
                    continue;
                }
                let (reply, answer) = oneshot::channel();
                let request = Request::Unsubscribe { interests, reply };
                assert!(requests.send(request).await.is_ok());
                assert!(answer.await.is_ok());
            }
        };
        assert!(wanted.while_away(clients).await.is_some());
        let changed: Vec<Interest> = wanted.changed.drain().collect();
        assert_eq!(changed, named("t7".to_owned()));
        assert!(wanted.interests.contains(&changed[0]));
    }
}
