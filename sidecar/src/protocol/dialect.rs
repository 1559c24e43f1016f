//! The reactor's handler: sessions speak, the hub listens, and the reactor's clock ticks for both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::delivery::{Delivery, JSON, Scratch, key_of};
use super::leaving::{self, Leaving};
use super::metrics::{Metrics, Outcome, Tally};
use super::session::{Effects, Session};
use super::{code, text};
use crate::auth::{Identity, Refusal};
use crate::backplane::NodeId;
use crate::config::Limits;
use crate::hub::{self, Change, Command, ConnectionId, Hub, Leave, Profile, Shed};
use crate::reactor::{Closed, Context, Handler, Message, Reply, SessionId, Sessions};

/// What comes with a socket.
#[derive(Debug)]
pub struct Guest {
    /// The client's address.
    pub remote: SocketAddr,
    /// Who it is, or why it must go.
    pub identity: Result<Identity, Refusal>,
}

/// A session, as the reactor keeps it. None: the client was refused and is being closed.
#[derive(Debug)]
pub struct State(Option<Session>);

/// The WSE protocol on one reactor.
pub struct Dialect {
    node: NodeId,
    hub: Hub,
    settings: Arc<hub::Settings>,
    scratch: Scratch,
    tally: Tally,
    leave: Option<Leave>,
    random: fastrand::Rng,
}

impl Dialect {
    /// The dialect of a reactor of the pod that is this node, with its hub.
    pub(super) fn new(
        node: NodeId,
        hub: Hub,
        settings: Arc<hub::Settings>,
        metrics: Metrics,
    ) -> Self {
        Self {
            node,
            hub,
            settings,
            scratch: Scratch::default(),
            tally: Tally::new(metrics),
            leave: None,
            random: fastrand::Rng::new(),
        }
    }

    fn delivery<'a>(&'a mut self, cx: &'a mut Context) -> (&'a mut Hub, Delivery<'a>) {
        let delivery = Delivery {
            cx,
            scratch: &mut self.scratch,
            tally: &mut self.tally,
        };
        (&mut self.hub, delivery)
    }

    /// What a session's state machine needs.
    fn live<'a>(&'a mut self, id: SessionId, cx: &'a mut Context) -> (&'a Limits, Live<'a>) {
        let delivery = Delivery {
            cx,
            scratch: &mut self.scratch,
            tally: &mut self.tally,
        };
        let hub = &mut self.hub;
        (&self.settings.limits, Live { id, hub, delivery })
    }

    /// Has some sessions leave, and says how many. In a drain all are leaving already.
    fn shed(&mut self, shed: Shed, sessions: &mut Sessions<State>, cx: &mut Context) {
        let now = cx.now();
        let count = shed.sessions.min(sessions.len());
        let known = sessions
            .iter_mut()
            .filter_map(|(id, state)| Some((id, state.0.as_mut()?)));
        let window = (shed.begin, shed.window);
        let chosen = leaving::shed(known, count, window, now, &mut self.random);
        self.tally.shed(chosen.len());
        let told = shed.chosen.send(chosen.len());
        if told.is_err() {
            tracing::warn!(shed = chosen.len(), "shed later than it was waited for");
        }
        for (id, session) in chosen {
            cx.alarm(id, Some(session.next_alarm(now, &self.settings.limits)));
        }
    }

    /// Sets every session's alarm anew.
    fn reschedule(&self, sessions: &mut Sessions<State>, cx: &mut Context) {
        let now = cx.now();
        for (id, state) in sessions.iter_mut() {
            if let Some(session) = &mut state.0 {
                let next = session.next_alarm(now, &self.settings.limits);
                cx.alarm(id, Some(next));
            }
        }
    }
}

impl Handler for Dialect {
    type Accept = Guest;
    type Session = State;
    type Command = Command;

    fn open(&mut self, id: SessionId, guest: Guest, cx: &mut Context) -> State {
        let now = cx.now();
        let wall = SystemTime::now();
        let identity = match guest.identity {
            Ok(identity) => identity,
            Err(refusal) => {
                self.tally.refused();
                let code = match refusal {
                    Refusal::Failed(_) => "AUTH_FAILED",
                    Refusal::Required => "AUTH_REQUIRED",
                };
                let (_, mut delivery) = self.delivery(cx);
                delivery.send(id, |out| {
                    text::unauthenticated(out, code, &refusal.to_string(), wall);
                });
                cx.close(id, code::UNAUTHENTICATED, "Authentication failed");
                return State(None);
            }
        };
        self.tally.opened();
        let connection = ConnectionId::new(&self.node);
        let limits = &self.settings.limits;
        let mut session = Session::new(
            connection.clone(),
            identity.expires_at,
            self.random.f64(),
            (now, wall),
            limits,
        );
        if let Some(leave) = self.leave {
            session.leave(Leaving::drained(&leave, now, self.random.f64()));
        }
        cx.alarm(id, Some(session.next_alarm(now, &self.settings.limits)));
        let profile = Profile {
            id: connection,
            identity,
            remote: guest.remote,
            since: now,
            encoding: JSON,
        };
        let (hub, mut delivery) = self.delivery(cx);
        hub.open(key_of(id), profile, &mut delivery);
        State(Some(session))
    }

    fn message(
        &mut self,
        id: SessionId,
        state: &mut State,
        message: Message<'_>,
        cx: &mut Context,
    ) -> Reply {
        let Some(session) = &mut state.0 else {
            return Reply::Nothing;
        };
        self.tally.inbound_bytes(message.payload.len());
        let now = cx.now();
        let (limits, mut effects) = self.live(id, cx);
        session.message(message.kind, message.payload, now, limits, &mut effects);
        Reply::Nothing
    }

    fn overhead(&mut self, id: SessionId, state: &mut State, frames: u32, cx: &mut Context) {
        let Some(session) = &mut state.0 else {
            return;
        };
        let now = cx.now();
        let (limits, mut effects) = self.live(id, cx);
        session.overhead(frames, now, limits, &mut effects);
    }

    fn alarm(&mut self, id: SessionId, state: &mut State, cx: &mut Context) {
        let Some(session) = &mut state.0 else {
            return;
        };
        let now = cx.now();
        let (limits, mut effects) = self.live(id, cx);
        let next = session.alarm(now, limits, &mut effects);
        cx.alarm(id, next);
    }

    fn pause(&mut self, _: SessionId, state: &mut State, cx: &mut Context) {
        if let Some(session) = &mut state.0 {
            session.pause(true, cx.now());
        }
    }

    fn resume(&mut self, _: SessionId, state: &mut State, cx: &mut Context) {
        if let Some(session) = &mut state.0 {
            session.pause(false, cx.now());
        }
    }

    /// From here on the hub does not have it: it is in no list, and what is sent to it is not said to
    /// have been delivered, however long the client takes to answer the Close frame.
    fn closing(&mut self, id: SessionId, _: &mut Context) {
        self.hub.close(key_of(id));
    }

    fn close(&mut self, _: SessionId, state: State, closed: Closed, _: &mut Context) {
        if state.0.is_some() {
            self.tally.closed(closed);
        }
    }

    fn command(&mut self, command: Command, sessions: &mut Sessions<State>, cx: &mut Context) {
        let at = cx.now();
        match command {
            Command::Ask { question, answer } => {
                let (hub, mut delivery) = self.delivery(cx);
                let reply = hub.answer(&question, at, &mut delivery);
                // Nobody waits any more when the asker's time is over.
                let _ = answer.send(reply);
            }
            Command::Leave(leave) => {
                if self.leave.is_some() {
                    return;
                }
                self.leave = Some(leave);
                for (_, state) in sessions.iter_mut() {
                    if let Some(session) = &mut state.0 {
                        session.leave(Leaving::drained(&leave, at, self.random.f64()));
                    }
                }
                self.reschedule(sessions, cx);
            }
            Command::Publications(publications) => {
                let (hub, mut delivery) = self.delivery(cx);
                hub.publish(publications, &mut delivery);
            }
            Command::Settled(settled) => {
                let (hub, mut delivery) = self.delivery(cx);
                hub.settled(settled, &mut delivery);
            }
            Command::Settings(settings) => {
                let before = std::mem::replace(&mut self.settings, Arc::clone(&settings));
                for (_, state) in sessions.iter_mut() {
                    if let Some(session) = &mut state.0 {
                        session.reload(&before.limits, &settings.limits, at);
                    }
                }
                self.hub.reload(settings);
                self.reschedule(sessions, cx);
            }
            Command::Shed(shed) => self.shed(shed, sessions, cx),
            Command::State(state) => self.hub.state(state),
            Command::Stay => {
                self.leave = None;
                for (_, state) in sessions.iter_mut() {
                    if let Some(session) = &mut state.0 {
                        session.stay();
                    }
                }
                self.reschedule(sessions, cx);
            }
            Command::Staying(answer) => {
                let staying = sessions
                    .iter_mut()
                    .filter(|(_, state)| state.0.as_ref().is_some_and(|one| !one.is_leaving()));
                // Nobody waits any more when the asker's time is over.
                let _ = answer.send(staying.count());
            }
        }
    }

    fn turn(&mut self, _: &mut Sessions<State>, cx: &mut Context) {
        let (hub, mut delivery) = self.delivery(cx);
        hub.turn(&mut delivery);
        self.tally.flush();
    }
}

/// Carries out what a session wants.
struct Live<'a> {
    id: SessionId,
    hub: &'a mut Hub,
    delivery: Delivery<'a>,
}

impl Effects for Live<'_> {
    fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.delivery.send(self.id, write);
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.delivery.cx.close(self.id, code, reason);
    }

    fn change(&mut self, change: Change) {
        self.hub.change(key_of(self.id), change, &mut self.delivery);
    }

    fn count(&mut self, outcome: Outcome) {
        self.delivery.tally.inbound(outcome);
    }

    fn count_warning(&mut self) {
        self.delivery.tally.warned();
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
