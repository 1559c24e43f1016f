//! The loop: one turn after the other until it is told to stop.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::connection::{Connection, Phase};
use super::counters::Counters;
use super::inbox::{Inbox, Item};
use super::receive::Buffer;
use super::tls::Ciphertext;
use super::wheel::Wheel;
use super::{Closed, Context, Handler, Options, SessionId, Sessions, Socket};
use crate::wire::deflate::{Deflater, Inflater};

/// The token of the waker; a connection's token is its index.
pub(super) const WAKE: Token = Token(usize::MAX);

/// Events taken at once. More wait for the next turn.
const EVENTS: usize = 1024;

/// Bytes that one turn reads from connections with much to say, and as much as one read more. Who has
/// little to say is read before them.
const FLOOD_BYTES: u64 = 192 << 10;

/// Commands of about this many bytes run in one turn. A burst of publications goes out in pieces, so
/// that a client that reads is not taken for one that does not.
const TURN_BYTES: usize = 1 << 20;

pub(super) struct Reactor<H: Handler> {
    pub(super) handler: H,
    pub(super) sessions: Sessions<H::Session>,
    pub(super) cx: Context,
    pub(super) buffer: Buffer,
    pub(super) inflater: Inflater,
    pub(super) ciphertext: Ciphertext,
    pub(super) poll: Poll,
    pub(super) inbox: Arc<Inbox<H::Accept, H::Command>>,
    next_generation: u32,
    /// Taken from the inbox and not run yet.
    items: VecDeque<Item<H::Accept, H::Command>>,
    /// Lists whose memory is used again each turn.
    due: Vec<u32>,
    pub(super) dirty: Vec<SessionId>,
}

impl<H: Handler> Reactor<H> {
    pub(super) fn new(
        poll: Poll,
        inbox: Arc<Inbox<H::Accept, H::Command>>,
        options: Options,
        handler: H,
    ) -> Self {
        let now = Instant::now();
        Self {
            handler,
            sessions: Sessions::default(),
            cx: Context {
                connections: Slab::new(),
                deflater: Deflater::new(options.compression.level),
                options,
                counters: Counters::default(),
                now,
                epoch: now,
                wheel: Wheel::default(),
                dirty: Vec::new(),
                ready: VecDeque::new(),
                closing: Vec::new(),
                over: Vec::new(),
                gone: Vec::new(),
            },
            buffer: Buffer::default(),
            inflater: Inflater::default(),
            ciphertext: Ciphertext::default(),
            poll,
            inbox,
            next_generation: 0,
            items: VecDeque::new(),
            due: Vec::new(),
            dirty: Vec::new(),
        }
    }

    /// Runs until stopped.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.inbox.is_stopping() {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => self.turn(&events, Instant::now()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "the poll failed; a reactor ends");
                    break;
                }
            }
        }
        self.end_all();
    }

    /// Ends what is left.
    pub(super) fn end_all(&mut self) {
        let all: Vec<_> = self
            .cx
            .connections
            .iter()
            .map(|(_, connection)| connection.id)
            .collect();
        for id in all {
            self.cx.end(id, Closed::Lost, false);
        }
        self.reap();
        self.inbox.counters.store(&self.cx.counters);
    }

    /// How long the poll may wait.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if !self.items.is_empty()
            || !self.cx.ready.is_empty()
            || !self.cx.dirty.is_empty()
            || !self.cx.over.is_empty()
        {
            return Some(Duration::ZERO);
        }
        self.cx.until_alarm(Instant::now())
    }

    pub(super) fn turn(&mut self, events: &Events, now: Instant) {
        self.cx.now = now;
        for event in events {
            self.event(event);
        }
        let ready = self.cx.ready.len();
        let before = self.cx.counters.bytes_in;
        for _ in 0..ready {
            if self.cx.counters.bytes_in - before >= FLOOD_BYTES {
                break;
            }
            if let Some(id) = self.cx.ready.pop_front()
                && let Some(connection) = self.cx.connection_mut(id)
            {
                connection.in_ready = false;
                self.read(id);
            }
        }
        self.reap();
        self.alarms();
        self.commands();
        self.reap();
        self.handler.turn(&mut self.sessions, &mut self.cx);
        self.settle();
        self.reap();
        self.cx.count_inflated(self.inflater.done());
        self.inbox.counters.store(&self.cx.counters);
    }

    fn event(&mut self, event: &Event) {
        let Token(index) = event.token();
        let Some(connection) = self.cx.connections.get_mut(index) else {
            return;
        };
        let id = connection.id;
        let broken = event.is_error();
        if event.is_readable() || event.is_read_closed() || broken {
            connection.readable = true;
            connection.hangup |= event.is_read_closed() || broken;
        }
        if event.is_writable() || broken {
            connection.writable = true;
            if !connection.queue.is_empty() {
                self.cx.mark_dirty(id);
            }
        }
        let connection = &self.cx.connections[index];
        if connection.in_ready {
            return;
        }
        if connection.busy {
            self.cx.mark_ready(id);
            return;
        }
        self.read(id);
    }

    fn alarms(&mut self) {
        let mut due = mem::take(&mut self.due);
        self.cx.wheel.advance(self.cx.tick(self.cx.now), &mut due);
        for index in due.drain(..) {
            let Some(connection) = self.cx.connections.get(index as usize) else {
                continue;
            };
            // Set anew by the alarm of another session, which may also have closed this one.
            if self.cx.wheel.is_set(index) {
                continue;
            }
            let id = connection.id;
            match connection.phase {
                Phase::Open => {
                    if let Some(session) = self.sessions.get_mut(id) {
                        self.handler.alarm(id, session, &mut self.cx);
                    }
                }
                Phase::Closing(_) | Phase::Ending => self.cx.end(id, Closed::Lost, false),
                Phase::Gone => {}
            }
        }
        self.due = due;
    }

    fn commands(&mut self) {
        self.inbox.take(&mut self.items);
        let mut bytes = 0;
        while bytes < TURN_BYTES
            && let Some(item) = self.items.pop_front()
        {
            match item {
                Item::Accept(arrival) => {
                    let (socket, accept) = *arrival;
                    self.open(socket, accept);
                }
                Item::Command(command, weight) => {
                    bytes += weight;
                    self.hide_closing();
                    self.handler
                        .command(command, &mut self.sessions, &mut self.cx);
                }
                Item::Resize(options) => {
                    if options.compression != self.cx.options.compression {
                        self.cx.deflater = Deflater::new(options.compression.level);
                    }
                    self.cx.options = options;
                }
            }
        }
        if bytes > 0 {
            self.inbox.done(bytes);
        }
    }

    fn open(&mut self, socket: Socket, accept: H::Accept) {
        let mut stream = TcpStream::from_std(socket.stream);
        let entry = self.cx.connections.vacant_entry();
        let index = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self
            .poll
            .registry()
            .register(&mut stream, Token(index), interest)
        {
            tracing::warn!(%error, "a socket cannot be registered");
            self.inbox.session_gone();
            return;
        }
        self.next_generation = self.next_generation.wrapping_add(1);
        let index = u32::try_from(index).expect("a process holds fewer than 2^32 sockets");
        let id = SessionId {
            index,
            generation: self.next_generation,
        };
        let connection = Connection::new(id, stream, socket.tls, socket.deflate, self.cx.now);
        let unsent = !connection.queue.is_empty();
        entry.insert(connection);
        if unsent {
            self.cx.mark_dirty(id);
        }
        self.cx.counters.sessions_opened += 1;
        self.cx.counters.sessions_deflated += u64::from(socket.deflate.is_some());
        let session = self.handler.open(id, accept, &mut self.cx);
        self.sessions.insert(id, session);
        let mut rest = socket.read_ahead.as_ref();
        while !rest.is_empty() {
            let taken = self.buffer.fill(rest);
            rest = &rest[taken..];
            self.deliver(id, taken);
        }
        self.cx.mark_ready(id);
    }
}
