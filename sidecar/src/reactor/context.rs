//! What a handler can do to its reactor.

use std::marker::PhantomData;
use std::time::Instant;

use super::{Kind, SessionId, Span};

/// The reactor, as a handler sees it.
#[derive(Debug)]
pub struct Context {}

/// What a full outbound queue does to a push.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overflow {
    /// Close the session with this code.
    Close(u16),
    /// Leave the queue as it is and do not push.
    DropNewest,
    /// Replace what is queued, and not begun to be written, under the same key. If that makes too
    /// little room, do not push.
    LatestWins {
        /// Names what replaces what: the handler's number for a topic.
        key: u64,
    },
}

/// What became of a push.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pushed {
    /// The session was closed for it.
    Closed,
    /// This many frames were dropped: those pushed, or the older ones that they replaced.
    Dropped(u32),
    /// There is no such session any more.
    Gone,
    /// All is queued.
    Queued,
}

impl Context {
    /// The time at which this turn began: good enough for timeouts, and free.
    pub fn now(&self) -> Instant {
        todo!("room reactor")
    }

    /// Frames and queues one message for one session, copying it. Past the outbound bound the session
    /// is closed with 4508: only the handler's own few messages go this way.
    pub fn send(&mut self, id: SessionId, kind: Kind, payload: &[u8]) -> Pushed {
        todo!("room reactor: {id:?} {kind:?} {}", payload.len())
    }

    /// Queues shared frames for one session.
    pub fn push(&mut self, id: SessionId, span: &Span, overflow: Overflow) -> Pushed {
        todo!("room reactor: {id:?} {span:?} {overflow:?}")
    }

    /// Queues a Close frame behind what is queued and ends the session after the close handshake, or
    /// without it after a few seconds (RFC 6455 section 7.1.1). No message is handed over any more.
    /// A reason longer than 123 bytes is cut at a character.
    pub fn close(&mut self, id: SessionId, code: u16, reason: &str) {
        todo!("room reactor: {id:?} {code} {reason}")
    }

    /// Ends the session now: what is queued is lost. For drain deadlines.
    pub fn abort(&mut self, id: SessionId) {
        todo!("room reactor: {id:?}")
    }

    /// Sets the session's one alarm, replacing the one before; None unsets it. It goes off within
    /// 50 ms after its time.
    pub fn alarm(&mut self, id: SessionId, at: Option<Instant>) {
        todo!("room reactor: {id:?} {at:?}")
    }

    /// Time of the last whole message from this client. Pings and pongs are no messages.
    pub fn last_message(&self, id: SessionId) -> Option<Instant> {
        todo!("room reactor: {id:?}")
    }

    /// Bytes queued for the session and not yet taken by the kernel.
    pub fn queued_bytes(&self, id: SessionId) -> usize {
        todo!("room reactor: {id:?}")
    }
}

/// The handler's state of every session of this reactor.
#[derive(Debug)]
pub struct Sessions<S>(PhantomData<S>);

impl<S> Sessions<S> {
    /// One session's state. None when it is over, or closing.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut S> {
        todo!("room reactor: {id:?}")
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (SessionId, &mut S)> {
        let all: Vec<(SessionId, &mut S)> = todo!("room reactor");
        #[allow(unreachable_code)]
        all.into_iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        todo!("room reactor")
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
