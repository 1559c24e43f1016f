//! A reactor to step through, and clients that speak raw frames.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Events, Poll, Waker};
use rustls::{ClientConnection, ServerConnection};
use socket2::SockRef;

use crate::reactor::inbox::Inbox;
use crate::reactor::turn::{Reactor, WAKE};
use crate::reactor::{
    Closed, Context, Handler, Message, Options, Reply, SessionId, Sessions, Socket,
};
use crate::wire::deflate::Agreed;

/// What a handler was told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Seen {
    Alarm(SessionId),
    Closed(SessionId, Closed),
    Closing(SessionId),
    Command(u32),
    Message(Vec<u8>),
    Opened(SessionId),
    Pause,
    Resume,
}

/// What a test does when an alarm goes off.
pub(super) type AtAlarm = Box<dyn FnMut(SessionId, &mut Context)>;

/// Writes down what it is told, and does to each message what the test says.
pub(super) struct Recorder {
    pub(super) seen: Vec<Seen>,
    pub(super) answer: fn(SessionId, &[u8], &mut Context) -> Reply,
    pub(super) at_alarm: AtAlarm,
}

impl Handler for Recorder {
    type Accept = ();
    type Session = SessionId;
    type Command = u32;

    fn open(&mut self, id: SessionId, (): (), _: &mut Context) -> SessionId {
        self.seen.push(Seen::Opened(id));
        id
    }

    fn message(
        &mut self,
        id: SessionId,
        session: &mut SessionId,
        message: Message<'_>,
        cx: &mut Context,
    ) -> Reply {
        assert_eq!(id, *session);
        self.seen.push(Seen::Message(message.payload.to_vec()));
        (self.answer)(id, message.payload, cx)
    }

    fn alarm(&mut self, id: SessionId, _: &mut SessionId, cx: &mut Context) {
        self.seen.push(Seen::Alarm(id));
        (self.at_alarm)(id, cx);
    }

    fn pause(&mut self, _: SessionId, _: &mut SessionId, _: &mut Context) {
        self.seen.push(Seen::Pause);
    }

    fn resume(&mut self, _: SessionId, _: &mut SessionId, _: &mut Context) {
        self.seen.push(Seen::Resume);
    }

    fn closing(&mut self, id: SessionId, _: &mut Context) {
        self.seen.push(Seen::Closing(id));
    }

    fn close(&mut self, id: SessionId, session: SessionId, closed: Closed, _: &mut Context) {
        assert_eq!(id, session);
        self.seen.push(Seen::Closed(id, closed));
    }

    fn command(&mut self, command: u32, _: &mut Sessions<SessionId>, _: &mut Context) {
        self.seen.push(Seen::Command(command));
    }
}

pub(super) struct Rig {
    pub(super) reactor: Reactor<Recorder>,
    pub(super) inbox: Arc<Inbox<(), u32>>,
    pub(super) now: Instant,
    listener: TcpListener,
    events: Events,
}

impl Rig {
    pub(super) fn new(options: Options) -> Self {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), WAKE).unwrap();
        let inbox = Arc::new(Inbox::new(waker, options.inbox_bytes));
        let handler = Recorder {
            seen: Vec::new(),
            answer: |_, _, _| Reply::InPlace,
            at_alarm: Box::new(|_, _| {}),
        };
        Self {
            reactor: Reactor::new(poll, Arc::clone(&inbox), options, handler),
            inbox,
            now: Instant::now(),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            events: Events::with_capacity(64),
        }
    }

    /// One turn, after a short wait for events.
    pub(super) fn turn(&mut self) {
        self.reactor
            .poll
            .poll(&mut self.events, Some(Duration::from_millis(2)))
            .unwrap();
        self.reactor.turn(&self.events, self.now);
    }

    /// Turns until something holds.
    pub(super) fn until(&mut self, mut holds: impl FnMut(&mut Self) -> bool) {
        for _ in 0..5_000 {
            if holds(self) {
                return;
            }
            self.turn();
        }
        panic!("it never came: {:?}", self.reactor.handler.seen);
    }

    /// A session and its client, with small kernel buffers so that little hides in them.
    pub(super) fn connect(&mut self, read_ahead: &[u8]) -> (SessionId, Client) {
        self.connect_with(read_ahead, None)
    }

    /// As [`Rig::connect`], after a handshake that agreed on compression.
    pub(super) fn connect_deflating(&mut self, deflate: Option<Agreed>) -> (SessionId, Client) {
        self.connect_as(b"", None, deflate)
    }

    /// As [`Rig::connect`], with both ends of a TLS connection whose handshake is over.
    pub(super) fn connect_with(
        &mut self,
        read_ahead: &[u8],
        tls: Option<(ServerConnection, ClientConnection)>,
    ) -> (SessionId, Client) {
        self.connect_as(read_ahead, tls, None)
    }

    fn connect_as(
        &mut self,
        read_ahead: &[u8],
        tls: Option<(ServerConnection, ClientConnection)>,
        deflate: Option<Agreed>,
    ) -> (SessionId, Client) {
        let (server, client_tls) = tls.unzip();
        SockRef::from(&self.listener)
            .set_send_buffer_size(16 * 1024)
            .unwrap();
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket
            .connect(&self.listener.local_addr().unwrap().into())
            .unwrap();
        let client = TcpStream::from(socket);
        client.set_nonblocking(true).unwrap();
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        let opened = self.reactor.cx.counters.sessions_opened;
        let read_ahead = Bytes::copy_from_slice(read_ahead);
        let socket = Socket {
            stream,
            tls: server.map(Box::new),
            read_ahead,
            deflate,
        };
        self.inbox.accept(socket, ());
        self.until(|rig| rig.reactor.cx.counters.sessions_opened > opened);
        let opened = self
            .reactor
            .handler
            .seen
            .iter()
            .rev()
            .find_map(|seen| match seen {
                Seen::Opened(id) => Some(*id),
                _ => None,
            });
        (
            opened.unwrap(),
            Client {
                stream: client,
                tls: client_tls,
                input: Vec::new(),
                ended: false,
                closed: false,
            },
        )
    }

    /// How the sessions ended, in order.
    pub(super) fn closed(&self) -> Vec<(SessionId, Closed)> {
        let closed = |seen: &Seen| match seen {
            Seen::Closed(id, closed) => Some((*id, *closed)),
            _ => None,
        };
        self.reactor
            .handler
            .seen
            .iter()
            .filter_map(closed)
            .collect()
    }

    /// How many messages were handed over.
    pub(super) fn messages(&self) -> usize {
        self.reactor
            .handler
            .seen
            .iter()
            .filter(|seen| matches!(seen, Seen::Message(_)))
            .count()
    }

    /// Turns, reading what the client is sent, until it has this many frames.
    pub(super) fn frames(&mut self, client: &mut Client, count: usize) -> Vec<(u8, Vec<u8>)> {
        self.until(|_| {
            client.read();
            client.frames().len() >= count
        });
        client.frames()
    }
}

/// The client's end of a connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) tls: Option<ClientConnection>,
    input: Vec<u8>,
    /// The server has ended its side.
    pub(super) ended: bool,
    /// The server has said so, by TLS.
    pub(super) closed: bool,
}

impl Client {
    /// With TLS, what the socket does not take goes out with the next call of any method.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let Some(tls) = &mut self.tls else {
            return self.stream.write_all(bytes).unwrap();
        };
        tls.set_buffer_limit(None);
        tls.writer().write_all(bytes).unwrap();
        self.flush();
    }

    /// Says by TLS that nothing more comes.
    pub(super) fn send_close_notify(&mut self) {
        self.tls.as_mut().unwrap().send_close_notify();
        self.flush();
    }

    /// Writes what TLS has to write, as far as the socket takes it.
    fn flush(&mut self) {
        let Some(tls) = &mut self.tls else {
            return;
        };
        while tls.wants_write() {
            match tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads all there is for now.
    pub(super) fn read(&mut self) {
        self.flush();
        let mut piece = [0; 32 * 1024];
        loop {
            let read = match &mut self.tls {
                None => self.stream.read(&mut piece),
                Some(tls) => match tls.read_tls(&mut self.stream) {
                    Ok(bytes) if bytes > 0 => {
                        let state = tls.process_new_packets().unwrap();
                        self.closed = state.peer_has_closed();
                        match tls.reader().read(&mut piece) {
                            // A record is not complete, or was of TLS itself.
                            Ok(0) => continue,
                            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                            read => read,
                        }
                    }
                    // Behind a `close_notify` it reads nothing, the end of the connection neither.
                    Ok(_) if self.closed => self.stream.read(&mut piece),
                    read => read,
                },
            };
            match read {
                Ok(0) => {
                    self.ended = true;
                    return;
                }
                Ok(bytes) => self.input.extend_from_slice(&piece[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The whole frames read so far: first byte and payload.
    pub(super) fn frames(&self) -> Vec<(u8, Vec<u8>)> {
        let mut rest = self.input.as_slice();
        let mut frames = Vec::new();
        while let [first, length, after @ ..] = rest {
            let (length, after) = match (length, after) {
                (126, [high, low, after @ ..]) => {
                    (usize::from(u16::from_be_bytes([*high, *low])), after)
                }
                (127, [0, 0, 0, 0, b0, b1, b2, b3, after @ ..]) => {
                    let length = u32::from_be_bytes([*b0, *b1, *b2, *b3]);
                    (length as usize, after)
                }
                (0..=125, after) => (usize::from(*length), after),
                _ => break,
            };
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            frames.push((*first, payload.to_vec()));
            rest = after;
        }
        frames
    }
}

/// A client's frame, masked with zeros.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0xfe);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0xff);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
    out
}
