//! Subscribing in two phases (DESIGN 3.3), and unsubscribing.
//!
//! A session's changes are carried out one after another, in the order in which it asked for them: a
//! change waits while an earlier one waits for the backplane. So what a session is subscribed to
//! never changes under a pending subscription, and its acknowledgements come in order. What happens
//! when a request is complete is in `join`.

use hashbrown::HashSet;

use super::command::{Outcome, Settled};
use super::entry::{Entry, Phase};
use super::local::Hub;
use super::outbox::{Ack, Action, Ending, Outbox, Refused, SessionKey};
use crate::auth::Grants;
use crate::backplane::Interest;
use crate::topic::{Pattern, Topic};

/// Changes of one session that may wait behind one that waits for the backplane.
const WAITING: usize = 64;

/// What a client wants changed.
#[derive(Debug)]
pub struct Change {
    /// Whether it wants the topics.
    pub action: Action,
    /// Topics and patterns, as the client spelled them.
    pub topics: Vec<Box<str>>,
}

/// A subscribe that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) session: SessionKey,
    /// Whether it is the first one, for the reserved topics: it is not acknowledged but makes the
    /// session ready.
    pub(super) is_first: bool,
    /// What it waits for and gets, with the client's spelling.
    pub(super) wanted: Vec<(Interest, Box<str>)>,
    /// How many of them the backplane has not answered for.
    unsettled: usize,
    /// Spelled by the client, and had already.
    pub(super) had: Vec<Box<str>>,
    pub(super) failed: Vec<(Box<str>, Refused)>,
}

impl Request {
    /// Whose it is.
    pub(super) fn session(&self) -> SessionKey {
        self.session
    }
}

impl Hub {
    /// A client wants something changed. [`Outbox::acknowledge`] is called once for it, now or later.
    pub fn change(&mut self, key: SessionKey, change: Change, out: &mut impl Outbox) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.current.is_none() {
            return self.carry_out(key, change, out);
        }
        if session.waiting.len() < WAITING {
            session.waiting.push_back(change);
            return;
        }
        let encoding = session.profile.encoding;
        let busy = |topic| (topic, Refused::Busy);
        let ack = Ack {
            action: change.action,
            succeeded: Vec::new(),
            failed: change.topics.into_iter().map(busy).collect(),
            degraded: false,
        };
        self.count_refused(&ack.failed);
        out.acknowledge(key, encoding, &ack);
    }

    /// A new session asks for its reserved topics.
    pub(super) fn begin(&mut self, key: SessionKey, topics: Vec<Topic>, out: &mut impl Outbox) {
        let wanted = topics
            .into_iter()
            .map(|topic| (Interest::Topic(topic), Box::default()));
        let request = Request {
            session: key,
            is_first: true,
            wanted: wanted.collect(),
            unsettled: 0,
            had: Vec::new(),
            failed: Vec::new(),
        };
        self.request(request, out);
    }

    pub(super) fn carry_out(&mut self, key: SessionKey, change: Change, out: &mut impl Outbox) {
        match change.action {
            Action::Subscribe => self.subscribe(key, change.topics, out),
            Action::Unsubscribe => self.unsubscribe(key, change.topics, out),
        }
    }

    fn subscribe(&mut self, key: SessionKey, topics: Vec<Box<str>>, out: &mut impl Outbox) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let limits = &self.settings.limits;
        let reserved = |topic: &&Topic| topic.is_reserved();
        let mut room = (limits.subscriptions as usize).saturating_sub(
            session.topics.len() - session.topics.iter().filter(reserved).count()
                + session.patterns.len(),
        );
        let mut request = Request {
            session: key,
            is_first: false,
            wanted: Vec::new(),
            unsettled: 0,
            had: Vec::new(),
            failed: Vec::new(),
        };
        let mut asked: HashSet<Interest> = HashSet::new();
        for text in topics {
            let Some(interest) = parse(&text, limits.topic_bytes.into()) else {
                request.failed.push((text, Refused::Invalid));
                continue;
            };
            let has = match &interest {
                Interest::Pattern(pattern) => session.patterns.contains(pattern),
                Interest::Topic(topic) => session.topics.contains(topic),
            };
            if has || asked.contains(&interest) {
                request.had.push(text);
            } else if !permits(&session.profile.identity.grants, &interest) {
                request.failed.push((text, Refused::NotPermitted));
            } else if room == 0 {
                request.failed.push((text, Refused::Limit));
            } else {
                room -= 1;
                asked.insert(interest.clone());
                request.wanted.push((interest, text));
            }
        }
        self.request(request, out);
    }

    /// Announces what this reactor does not have yet, and completes the request when there is nothing
    /// to wait for.
    fn request(&mut self, mut request: Request, out: &mut impl Outbox) {
        let number = self.number();
        let mut announced = Vec::new();
        for (interest, _) in &request.wanted {
            if self.entry(interest).is_none() {
                let announcement = self.number();
                announced.push((interest.clone(), announcement));
                self.insert(interest, Entry::new(announcement));
            }
            if let Some(entry) = self.entry(interest) {
                request.unsettled += usize::from(entry.is_asking());
                entry.wait(number);
            }
        }
        let waits = request.unsettled > 0;
        if let Some(session) = self.sessions.get_mut(&request.session) {
            session.current = Some(number);
        }
        self.requests.insert(number, request);
        if !announced.is_empty() {
            self.announce.want(self.reactor, announced);
        }
        if !waits {
            self.complete(number, out);
        }
    }

    fn insert(&mut self, interest: &Interest, entry: Entry) {
        match interest {
            Interest::Pattern(pattern) => {
                self.patterns.get_or_insert_with(pattern, || entry);
            }
            Interest::Topic(topic) => {
                self.topics.insert(topic.clone(), Box::new(entry));
            }
        }
    }

    /// One announcement has been answered.
    pub(super) fn settle(&mut self, settled: Settled, out: &mut impl Outbox) {
        let Some(entry) = self.entry(&settled.interest) else {
            return;
        };
        // An answer to an announcement that was taken back since, and perhaps made anew.
        if !entry.awaits(settled.announcement) {
            return;
        }
        let was_asking = entry.is_asking();
        match settled.outcome {
            Outcome::Away => entry.phase = Phase::Away(settled.announcement),
            Outcome::Live(head) => entry.confirm(head),
            // Kept by nobody: those who wait are told, and those who were told already, while the
            // backplane was away, can only be closed.
            Outcome::Refused => {}
        }
        let mut requests: Vec<u64> = entry.pending().collect();
        requests.sort_unstable();
        if settled.outcome == Outcome::Refused {
            self.refuse(&settled.interest, &requests, was_asking, out);
            return;
        }
        if !was_asking {
            return;
        }
        for number in requests {
            let Some(request) = self.requests.get_mut(&number) else {
                continue;
            };
            request.unsettled -= 1;
            if request.unsettled == 0 {
                self.complete(number, out);
            }
        }
    }

    /// The backplane will not have an interest.
    fn refuse(
        &mut self,
        interest: &Interest,
        requests: &[u64],
        was_asking: bool,
        out: &mut impl Outbox,
    ) {
        for number in requests {
            let Some(request) = self.requests.get_mut(number) else {
                continue;
            };
            request.unsettled -= usize::from(was_asking);
            request.wanted.retain_mut(|(wanted, text)| {
                if wanted != interest {
                    return true;
                }
                let text = std::mem::take(text);
                request.failed.push((text, Refused::Backplane));
                false
            });
        }
        let mut released = 0;
        if let Some(entry) = self.entry(interest) {
            released = entry.let_go();
        }
        self.held_bytes -= released;
        let told: Vec<_> = self
            .entry(interest)
            .map(|entry| entry.subscribers.sessions().collect())
            .unwrap_or_default();
        for session in told {
            out.end(session, Ending::Unserved);
            self.close(session);
        }
        self.drop_idle(vec![interest.clone()]);
        for &number in requests {
            let done = self.requests.get(&number);
            if done.is_some_and(|request| request.unsettled == 0) {
                self.complete(number, out);
            }
        }
    }

    fn unsubscribe(&mut self, key: SessionKey, topics: Vec<Box<str>>, out: &mut impl Outbox) {
        let topic_bytes = self.settings.limits.topic_bytes.into();
        let mut ack = Ack {
            action: Action::Unsubscribe,
            succeeded: Vec::new(),
            failed: Vec::new(),
            degraded: false,
        };
        let mut idle = Vec::new();
        for text in topics {
            let Some(interest) = parse(&text, topic_bytes) else {
                ack.failed.push((text, Refused::Invalid));
                continue;
            };
            // What was published before the acknowledgement goes before it.
            self.flush_interest(&interest, out);
            let Some(session) = self.sessions.get_mut(&key) else {
                return;
            };
            match &interest {
                Interest::Topic(topic) => {
                    if session.topics.remove(topic) {
                        self.subscriptions -= 1;
                        self.leave_topic(key, topic, &mut idle);
                    }
                }
                Interest::Pattern(pattern) => {
                    if session.patterns.remove(pattern) {
                        self.subscriptions -= 1;
                        self.leave_pattern(key, pattern, &mut idle);
                    }
                }
            }
            ack.succeeded.push(text);
        }
        self.drop_idle(idle);
        if let Some(session) = self.sessions.get(&key) {
            out.acknowledge(key, session.profile.encoding, &ack);
        }
    }

    /// A request's session is over.
    pub(super) fn forget(&mut self, number: u64, idle: &mut Vec<Interest>) {
        let Some(request) = self.requests.remove(&number) else {
            return;
        };
        for (interest, _) in request.wanted {
            let Some(entry) = self.entry(&interest) else {
                continue;
            };
            let (_, released) = entry.settle(number);
            self.held_bytes -= released;
            idle.push(interest);
        }
    }

    pub(super) fn count_refused(&self, failed: &[(Box<str>, Refused)]) {
        for (_, refused) in failed {
            let reason = refused.reason();
            self.metrics.refused.with_label_values(&[reason]).inc();
        }
    }
}

/// A topic, or a pattern when it has a wildcard.
fn parse(text: &str, max_bytes: usize) -> Option<Interest> {
    let pattern = Pattern::parse(text, max_bytes).ok()?;
    if pattern.is_wild() {
        return Some(Interest::Pattern(pattern));
    }
    Topic::parse(text, max_bytes).ok().map(Interest::Topic)
}

fn permits(grants: &Grants, interest: &Interest) -> bool {
    match interest {
        Interest::Pattern(pattern) => grants.permits_pattern(pattern),
        Interest::Topic(topic) => grants.permits(topic),
    }
}
