//! One socket of a loop: the engine's state, the outbound queue, and what is known of the socket's
//! readiness.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use mio::net::TcpStream;
use rustls::ServerConnection;

use super::SessionId;
use super::queue::{MAX_SLICES, Queue};
use super::tls::{Ciphertext, End, Tls, Written};
use crate::wire::Engine;
use crate::wire::deflate::Agreed;

/// Input thrown away after the end of a session, before the connection is simply dropped.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: SessionId,
    stream: TcpStream,
    /// None: the socket carries the WebSocket itself.
    tls: Option<Tls>,
    pub(super) engine: Engine,
    pub(super) queue: Queue,
    pub(super) phase: Phase,
    pub(super) last_message: Instant,
    /// An edge said that there is something to read, and it has not all been read.
    pub(super) readable: bool,
    /// The peer has ended its side, or the connection broke: no further edge will come, so reading
    /// goes on until the end is seen.
    pub(super) hangup: bool,
    /// The end of the input has been read.
    pub(super) eof: bool,
    /// The last write was not short, or an edge came after it.
    pub(super) writable: bool,
    /// Its last read had many bytes: it is read after those that have few.
    pub(super) busy: bool,
    /// Not read from, because its queue is long.
    pub(super) paused: bool,
    /// Replies lie in the receive buffer that must go out before anything in the queue.
    pub(super) holding: bool,
    pub(super) in_ready: bool,
    pub(super) in_dirty: bool,
    /// What this connection adds to the reactor's gauges.
    pub(super) counted_partial: usize,
    pub(super) counted_queued: usize,
    lingered: usize,
    shut: bool,
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Our Close frame is on its way, with this code; the client's has not come.
    Closing(u16),
    /// The handler has been told the end, or will be in this turn. What is queued goes out, then the
    /// sending side is shut, then input is thrown away until the client ends it: dropping a socket
    /// with unread input would reset the connection and may destroy the Close frame on its way.
    Ending,
    /// To be removed in this turn.
    Gone,
    /// Messages go both ways.
    Open,
}

/// What a read gave.
pub(super) enum Input {
    /// This many bytes, from this many of the socket.
    Bytes { bytes: usize, wire: usize },
    /// The client has ended its side.
    End,
    /// Nothing for now.
    None,
}

/// What became of a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Bytes of what was offered that need not be offered again.
    pub(super) taken: usize,
    /// Bytes that the kernel took.
    pub(super) wire: usize,
}

impl Connection {
    pub(super) fn new(
        id: SessionId,
        stream: TcpStream,
        tls: Option<Box<ServerConnection>>,
        deflate: Option<Agreed>,
        now: Instant,
    ) -> Self {
        let mut tls = tls.map(Tls::new);
        let mut queue = Queue::default();
        queue.set_sealed(tls.as_mut().map_or(0, Tls::unsent));
        Self {
            id,
            stream,
            engine: Engine::new(deflate),
            queue,
            phase: Phase::Open,
            last_message: now,
            // What came with a TLS handshake makes no edge.
            readable: tls.is_some(),
            tls,
            hangup: false,
            eof: false,
            writable: true,
            busy: false,
            paused: false,
            holding: false,
            in_ready: false,
            in_dirty: false,
            counted_partial: 0,
            counted_queued: 0,
            lingered: 0,
            shut: false,
        }
    }

    /// Reads once, by way of `ciphertext` when there is TLS.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        ciphertext: &mut Ciphertext,
    ) -> io::Result<Input> {
        if self.tls.is_some() {
            return self.read_over_tls(buffer, ciphertext);
        }
        self.receive(buffer)
    }

    // What TLS needs is apart from the rest, so that without it a read or a write is a small function.
    #[inline(never)]
    fn read_over_tls(
        &mut self,
        buffer: &mut [u8],
        ciphertext: &mut Ciphertext,
    ) -> io::Result<Input> {
        let Some(tls) = &mut self.tls else {
            return Ok(Input::None);
        };
        let early = tls.read_early(buffer);
        if early > 0 {
            return Ok(Input::Bytes {
                bytes: early,
                wire: 0,
            });
        }
        match tls.end() {
            Some(End::Broken) => return Err(ErrorKind::InvalidData.into()),
            Some(End::Closed) => {
                self.readable = false;
                self.eof = true;
                return Ok(Input::End);
            }
            // Only the end of the connection is waited for.
            None if self.phase == Phase::Ending => return self.receive(buffer),
            None => {}
        }
        let ciphertext = ciphertext.space();
        let input = self.receive(ciphertext)?;
        let (Input::Bytes { wire, .. }, Some(tls)) = (&input, &mut self.tls) else {
            return Ok(input);
        };
        let wire = *wire;
        let bytes = tls.decrypt(&ciphertext[..wire], buffer);
        match tls.end() {
            None if self.readable => {}
            None => tls.shrink(),
            // The next read tells it: what came before it is handed over first.
            Some(end) => {
                self.readable = true;
                if end == End::Broken {
                    tls.alert(&mut self.stream);
                }
            }
        }
        self.queue.set_sealed(tls.unsent());
        Ok(Input::Bytes { bytes, wire })
    }

    /// Reads from the socket. A read that does not fill the buffer has drained it: what comes later
    /// makes an edge, unless the peer's end came with this data.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        match self.stream.read(buffer) {
            Ok(0) => {
                self.readable = false;
                self.eof = true;
                Ok(Input::End)
            }
            Ok(bytes) => {
                self.readable = bytes == buffer.len() || self.hangup;
                Ok(Input::Bytes { bytes, wire: bytes })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Input::None)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Input::None),
            Err(error) => Err(error),
        }
    }

    /// Writes bytes that are not in the queue.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        if self.tls.is_some() {
            return self.send_over_tls(bytes);
        }
        let written = self.stream.write(bytes);
        self.wrote(written, bytes.len())
    }

    #[inline(never)]
    fn send_over_tls(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        let Some(tls) = &mut self.tls else {
            return Ok(Sent { taken: 0, wire: 0 });
        };
        let written = tls.write(&[IoSlice::new(bytes)], &mut self.stream);
        self.sealed(written)
    }

    /// Writes from the queue, once.
    pub(super) fn write_queue(&mut self) -> io::Result<Sent> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = self.queue.slices(&mut slices);
        if let Some(tls) = &mut self.tls {
            let written = tls.write(&slices[..count], &mut self.stream);
            let sent = self.sealed(written)?;
            self.queue.take(sent.taken);
            return Ok(sent);
        }
        let offered = slices[..count].iter().map(|slice| slice.len()).sum();
        let written = match &slices[..count] {
            [one] => self.stream.write(one),
            several => self.stream.write_vectored(several),
        };
        let sent = self.wrote(written, offered)?;
        self.queue.take(sent.taken);
        Ok(sent)
    }

    fn wrote(&mut self, written: io::Result<usize>, offered: usize) -> io::Result<Sent> {
        let bytes = match written {
            Ok(bytes) => {
                self.writable = bytes == offered;
                bytes
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                0
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(Sent {
            taken: bytes,
            wire: bytes,
        })
    }

    fn sealed(&mut self, written: io::Result<Written>) -> io::Result<Sent> {
        let written = written?;
        self.writable = !written.blocked;
        self.queue.set_sealed(written.unsent);
        Ok(written.sent)
    }

    /// With TLS: queues the word that nothing more comes, once, behind all that was queued.
    pub(super) fn farewell(&mut self) {
        if let Some(tls) = &mut self.tls {
            self.queue.set_sealed(tls.close());
        }
    }

    /// Whether a write that was not short leaves the socket able to take more: TLS encrypts a piece of
    /// the queue at a time.
    pub(super) fn writes_in_pieces(&self) -> bool {
        self.tls.is_some()
    }

    /// Tells the client that nothing more comes. Once.
    pub(super) fn shut_down(&mut self) {
        if !self.shut {
            self.shut = true;
            // Fails only when the connection is gone, which the next read finds out.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    /// Counts input thrown away after the end; true when it was too much.
    pub(super) fn linger(&mut self, bytes: usize) -> bool {
        self.lingered += bytes;
        self.lingered > LINGER_BYTES
    }

    /// Whether reading makes sense now.
    pub(super) fn should_read(&self) -> bool {
        self.readable && !self.eof && self.phase != Phase::Gone && !(self.paused && self.is_open())
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }
}
