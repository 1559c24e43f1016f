//! One reactor's hub: its sessions and what they listen to. It lives in the reactor's thread; nothing
//! here takes a lock.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};

use super::batch::Batches;
use super::change::{Change, Request};
use super::command::{Announce, Settled};
use super::control::{Question, Reply, Target};
use super::entry::Entry;
use super::metrics::Metrics;
use super::outbox::{Encoding, Ending, Fanout, Outbox, Receiver, SessionKey, TopicKey};
use super::patterns::PatternIndex;
use super::policy::Settings;
use super::ranking::{Ranking, Shown};
use super::{ConnectionId, ConnectionInfo};
use crate::auth::Identity;
use crate::backplane::{Interest, State};
use crate::config::SlowConsumer;
use crate::topic::{Pattern, Topic};

/// Topics, patterns and subscribers of one reactor.
pub struct Hub {
    pub(super) reactor: usize,
    pub(super) announce: Arc<dyn Announce>,
    pub(super) settings: Arc<Settings>,
    pub(super) state: State,
    /// In boxes, because half of a large table is empty.
    pub(super) sessions: HashMap<SessionKey, Box<Session>>,
    connections: HashMap<ConnectionId, SessionKey>,
    pub(super) topics: HashMap<Topic, Box<Entry>>,
    pub(super) patterns: PatternIndex<Entry>,
    pub(super) requests: HashMap<u64, Request>,
    pub(super) batches: Batches,
    /// Bytes held for pending subscriptions, in all entries.
    pub(super) held_bytes: usize,
    /// Topics and patterns that sessions have.
    pub(super) subscriptions: usize,
    pub(super) ranking: Ranking,
    /// Last number given to a request or an announcement.
    last_number: u64,
    /// Kept between pushes for their memory.
    pub(super) targets: Vec<(Encoding, Receiver)>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) metrics: Metrics,
}

/// What the hub is told of a session.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name in the fleet.
    pub id: ConnectionId,
    /// Who it is and what it may do.
    pub identity: Identity,
    /// The peer's address.
    pub remote: SocketAddr,
    /// When it began.
    pub since: Instant,
    /// How it wants its messages.
    pub encoding: Encoding,
}

/// What the hub knows of a session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) profile: Profile,
    pub(super) topics: HashSet<Topic>,
    pub(super) patterns: HashSet<Pattern>,
    /// The request that waits for the backplane.
    pub(super) current: Option<u64>,
    /// What the client wants changed after it, in order.
    pub(super) waiting: VecDeque<Change>,
}

impl Hub {
    /// A hub for the reactor with this number, which shows its largest topics in `shown`.
    pub fn new(
        reactor: usize,
        announce: Arc<dyn Announce>,
        settings: Arc<Settings>,
        shown: Arc<Shown>,
        metrics: Metrics,
    ) -> Self {
        Self {
            reactor,
            announce,
            settings,
            state: State::Connected,
            sessions: HashMap::new(),
            connections: HashMap::new(),
            topics: HashMap::new(),
            patterns: PatternIndex::default(),
            requests: HashMap::new(),
            batches: Batches::default(),
            held_bytes: 0,
            subscriptions: 0,
            ranking: Ranking::new(shown),
            last_number: 0,
            targets: Vec::new(),
            receivers: Vec::new(),
            metrics,
        }
    }

    /// A session begins. It gets its reserved topics first: [`Outbox::ready`] is called once they are
    /// live (or kept by a backplane that is away), and nothing else is sent to it before.
    pub fn open(&mut self, key: SessionKey, profile: Profile, out: &mut impl Outbox) {
        let reserved = vec![Topic::all(), Topic::user(&profile.identity.user)];
        self.connections.insert(profile.id.clone(), key);
        let session = Session {
            profile,
            topics: HashSet::new(),
            patterns: HashSet::new(),
            current: None,
            waiting: VecDeque::new(),
        };
        self.sessions.insert(key, Box::new(session));
        self.begin(key, reserved, out);
    }

    /// A session is over. Harmless for one that is not known.
    pub fn close(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        self.connections.remove(&session.profile.id);
        let mut idle = Vec::new();
        if let Some(request) = session.current {
            self.forget(request, &mut idle);
        }
        self.subscriptions -= session.patterns.len();
        for topic in session.topics {
            self.subscriptions -= usize::from(!topic.is_reserved());
            self.leave_topic(key, &topic, &mut idle);
        }
        for pattern in session.patterns {
            self.leave_pattern(key, &pattern, &mut idle);
        }
        self.drop_idle(idle);
    }

    /// The backplane's connection was lost or is back.
    pub fn state(&mut self, state: State) {
        self.state = state;
    }

    /// The configuration was read again.
    pub fn reload(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// The turn ends: what was gathered is pushed, and the totals are shown.
    pub fn turn(&mut self, out: &mut impl Outbox) {
        self.flush_all(out);
        self.ranking.show(self.subscriptions);
    }

    /// Answers a backend's question for this reactor's sessions.
    pub fn answer(&mut self, question: &Question, now: Instant, out: &mut impl Outbox) -> Reply {
        match question {
            Question::Connection { id } => {
                let found = self.find(id);
                Reply::Connections(
                    found
                        .map(|key| self.info(key, now, out))
                        .into_iter()
                        .collect(),
                )
            }
            Question::Connections { user, limit } => {
                let keys: Vec<_> = match user {
                    Some(user) => self.of_user(user).take(*limit).collect(),
                    None => self.sessions.keys().copied().take(*limit).collect(),
                };
                Reply::Connections(
                    keys.into_iter()
                        .map(|key| self.info(key, now, out))
                        .collect(),
                )
            }
            Question::Disconnect {
                target,
                code,
                reason,
            } => {
                let keys: Vec<_> = match target {
                    Target::Connection(id) => self.find(id).into_iter().collect(),
                    Target::User(user) => self.of_user(user).collect(),
                };
                for &key in &keys {
                    // What was sent to it before goes first.
                    self.flush_of(key, out);
                    out.end(key, Ending::Disconnected(*code, reason));
                    self.close(key);
                }
                Reply::Count(keys.len() as u64)
            }
            Question::Send { id, envelope } => {
                let Some(key) = self.find(id) else {
                    return Reply::Count(0);
                };
                let fanout = Fanout {
                    messages: std::slice::from_ref(envelope),
                    encoding: self.sessions[&key].profile.encoding,
                    slow_consumer: SlowConsumer::Close,
                    // Never looked at: the policy is `Close`.
                    key: TopicKey(0),
                };
                let receiver = Receiver {
                    session: key,
                    first: 0,
                };
                // None when it was the one too many, or the session is closing.
                let queued = out.fan_out(fanout, &[receiver]);
                self.metrics.deliveries.inc_by(queued);
                Reply::Count(queued)
            }
            Question::Topic { name } => {
                let entry = self.topics.get(name.as_str());
                Reply::Count(entry.map_or(0, |entry| entry.subscribers.len() as u64))
            }
            Question::Topics { prefix, limit } => {
                let largest = self.ranking.largest(prefix).take(*limit);
                Reply::Topics(
                    largest
                        .map(|(topic, count)| (topic.to_string(), count as u64))
                        .collect(),
                )
            }
        }
    }

    /// Deals with what became of announcements.
    pub fn settled(&mut self, all: Vec<Settled>, out: &mut impl Outbox) {
        for settled in all {
            self.settle(settled, out);
        }
    }

    /// The next number for a request or an announcement.
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The entry of an interest.
    pub(super) fn entry(&mut self, interest: &Interest) -> Option<&mut Entry> {
        match interest {
            Interest::Pattern(pattern) => self.patterns.get_mut(pattern),
            Interest::Topic(topic) => self.topics.get_mut(topic).map(|entry| &mut **entry),
        }
    }

    /// Takes out the entries among these that nobody wants any more, and says so to the router.
    pub(super) fn drop_idle(&mut self, maybe: Vec<Interest>) {
        let mut dropped = Vec::new();
        for interest in maybe {
            if !self.entry(&interest).is_some_and(|entry| entry.is_idle()) {
                continue;
            }
            match &interest {
                Interest::Pattern(pattern) => drop(self.patterns.remove(pattern)),
                Interest::Topic(topic) => drop(self.topics.remove(topic)),
            }
            dropped.push(interest);
        }
        if !dropped.is_empty() {
            self.announce.release(self.reactor, dropped);
        }
    }

    /// A session leaves a topic that it has.
    pub(super) fn leave_topic(&mut self, key: SessionKey, topic: &Topic, idle: &mut Vec<Interest>) {
        let Some(entry) = self.topics.get_mut(topic) else {
            return;
        };
        let before = entry.subscribers.len();
        entry.subscribers.remove(key);
        let after = entry.subscribers.len();
        if entry.is_idle() {
            idle.push(Interest::Topic(topic.clone()));
        }
        self.ranking.change(topic, before, after);
    }

    /// A session leaves a pattern that it has.
    pub(super) fn leave_pattern(
        &mut self,
        key: SessionKey,
        pattern: &Pattern,
        idle: &mut Vec<Interest>,
    ) {
        let Some(entry) = self.patterns.get_mut(pattern) else {
            return;
        };
        entry.subscribers.remove(key);
        if entry.is_idle() {
            idle.push(Interest::Pattern(pattern.clone()));
        }
    }

    fn find(&self, id: &str) -> Option<SessionKey> {
        let id = ConnectionId::parse(id)?;
        self.connections.get(&id).copied()
    }

    /// Sessions of a user, those too that are not ready yet.
    fn of_user(&self, user: &str) -> impl Iterator<Item = SessionKey> {
        let entry = self.topics.get(&Topic::user(user));
        entry.into_iter().flat_map(|entry| {
            let pending = entry.pending();
            let pending = pending.filter_map(|number| self.requests.get(&number));
            let ready = entry.subscribers.sessions();
            ready.chain(pending.map(Request::session))
        })
    }

    fn info(&self, key: SessionKey, now: Instant, out: &impl Outbox) -> ConnectionInfo {
        let session = &self.sessions[&key];
        let profile = &session.profile;
        let topics = session.topics.iter().filter(|topic| !topic.is_reserved());
        let topics = topics.map(Topic::to_string);
        let patterns = session.patterns.iter().map(Pattern::to_string);
        let mut subscriptions: Vec<_> = topics.chain(patterns).collect();
        subscriptions.sort_unstable();
        ConnectionInfo {
            id: profile.id.to_string(),
            node: profile.id.node().to_string(),
            user: profile.identity.user.to_string(),
            remote: profile.remote.to_string(),
            age_seconds: now.saturating_duration_since(profile.since).as_secs(),
            subscriptions,
            queued_bytes: out.queued_bytes(key),
        }
    }
}
