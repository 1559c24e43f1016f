//! What stands for the sessions, the router and the backplane.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;

use crate::auth::{Grants, Identity};
use crate::backplane::Interest;
use crate::config::{Config, Limits};
use crate::hub::*;
use crate::topic::Pattern;

/// Denied to sessions with an odd number.
pub(super) const DENIED: &str = "a.2";

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Event {
    Ack(Action, Vec<String>, Vec<String>),
    Message(String, u64),
    Ready,
}

/// What each session was sent, in order.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) logs: BTreeMap<u64, Vec<Event>>,
    pub(super) ended: Vec<(u64, String)>,
    /// Bytes of the messages of each push.
    pub(super) pushes: Vec<usize>,
    /// Whether the last acknowledgement said degraded.
    pub(super) degraded: bool,
    /// Why the topics of the last acknowledgement failed.
    pub(super) reasons: Vec<Refused>,
    /// What the sessions were told since the model last looked.
    pub(super) told: Vec<(u64, Event)>,
}

impl Outbox for Recorder {
    fn ready(&mut self, session: SessionKey, _: &ConnectionId, _: &str, _: Encoding) {
        self.logs.entry(session.0).or_default().push(Event::Ready);
        self.told.push((session.0, Event::Ready));
    }

    fn acknowledge(&mut self, session: SessionKey, _: Encoding, ack: &Ack) {
        let succeeded = ack.succeeded.iter().map(ToString::to_string).collect();
        let failed = ack
            .failed
            .iter()
            .map(|(topic, _)| topic.to_string())
            .collect();
        self.degraded = ack.degraded;
        self.reasons = ack.failed.iter().map(|(_, refused)| *refused).collect();
        let event = Event::Ack(ack.action, succeeded, failed);
        self.logs.entry(session.0).or_default().push(event.clone());
        self.told.push((session.0, event));
    }

    fn fan_out(&mut self, fanout: Fanout<'_>, receivers: &[Receiver]) -> u64 {
        self.pushes
            .push(fanout.messages.iter().map(Bytes::len).sum());
        let mut queued = 0;
        for receiver in receivers {
            assert!((receiver.first as usize) < fanout.messages.len());
            for message in &fanout.messages[receiver.first as usize..] {
                let text = std::str::from_utf8(message).unwrap();
                let (topic, offset) = text.split_once('#').unwrap();
                let event = Event::Message(topic.into(), offset.parse().unwrap());
                self.logs.entry(receiver.session.0).or_default().push(event);
                queued += 1;
            }
        }
        queued
    }

    fn end(&mut self, session: SessionKey, ending: Ending<'_>) {
        self.ended.push((session.0, format!("{ending:?}")));
    }

    fn queued_bytes(&self, _: SessionKey) -> usize {
        0
    }
}

pub(super) enum Announcement {
    Release(Interest),
    Want(Interest, u64),
}

#[derive(Default)]
pub(super) struct Announcements(pub(super) Mutex<VecDeque<Announcement>>);

impl Announce for Announcements {
    fn want(&self, _: usize, interests: Vec<(Interest, u64)>) {
        let all = interests
            .into_iter()
            .map(|(interest, number)| Announcement::Want(interest, number));
        self.0.lock().unwrap().extend(all);
    }

    fn release(&self, _: usize, interests: Vec<Interest>) {
        let all = interests.into_iter().map(Announcement::Release);
        self.0.lock().unwrap().extend(all);
    }
}

pub(super) fn settings(limits: Limits) -> Arc<Settings> {
    let config = Config {
        limits,
        ..Config::default()
    };
    Arc::new(Settings::new(&config).unwrap())
}

pub(super) fn hub(announcements: &Arc<Announcements>, limits: Limits) -> Hub {
    let metrics = Metrics::new(&prometheus::Registry::new());
    let announce: Arc<dyn Announce> = Arc::clone(announcements) as _;
    Hub::new(0, announce, settings(limits), Arc::default(), metrics)
}

pub(super) fn profile(session: u64) -> Profile {
    let pattern = |text| Pattern::parse(text, 255).unwrap();
    let deny = if session % 2 == 1 {
        vec![pattern(DENIED)]
    } else {
        Vec::new()
    };
    Profile {
        id: ConnectionId::new(&NodeId::new("pod")),
        identity: Identity {
            user: format!("user{}", session % 2).into(),
            grants: Arc::new(Grants::new(vec![pattern("*")], deny)),
            expires_at: None,
        },
        remote: ([127, 0, 0, 1], 9).into(),
        since: Instant::now(),
        encoding: Encoding((session % 3) as u8),
    }
}
