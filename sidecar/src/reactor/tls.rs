//! The TLS of one session. Ciphertext from the socket becomes what the engine reads, and what is
//! queued becomes ciphertext, a bounded piece at a time. The handshake is over when a session comes
//! here; rustls does the rest, and this file only decides how much of it is kept. An idle session keeps
//! about 8 KiB, half of it the buffer that its next record is read into (5,000 sessions of
//! `examples/echo` by `echo_load`).

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use mio::net::TcpStream;
use rustls::ServerConnection;

use super::connection::Sent;

/// Ciphertext read from a socket at once. What it becomes fits the receive buffer, even when it
/// completes a record of which an earlier read left almost 18 KiB (RFC 5246 section 6.2.3) in rustls.
const RECEIVE_BYTES: usize = 44 * 1024;

/// Ciphertext that waits in rustls for a socket that is full: four records, so that a write is long
/// enough to be worth its system call. It cannot be dropped any more and counts as queued.
const UNSENT_BYTES: usize = 64 * 1024;

/// What the sessions of a loop read ciphertext into. It holds no memory until the first of them does.
#[derive(Debug, Default)]
pub(super) struct Ciphertext(Box<[u8]>);

#[derive(Debug)]
pub(super) struct Tls {
    session: Box<ServerConnection>,
    /// Plaintext that came with the handshake may still be in there.
    early: bool,
    end: Option<End>,
}

/// Why nothing more comes from the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// What came was not TLS, or not from this client.
    Broken,
    /// The client said so, with a `close_notify` (RFC 8446 section 6.1).
    Closed,
}

/// What a write came to.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) sent: Sent,
    /// Ciphertext that the kernel has not taken.
    pub(super) unsent: usize,
    /// The kernel takes no more for now.
    pub(super) blocked: bool,
}

impl Ciphertext {
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.0.is_empty() {
            self.0 = vec![0; RECEIVE_BYTES].into();
        }
        &mut self.0
    }
}

impl Tls {
    pub(super) fn new(mut session: Box<ServerConnection>) -> Self {
        session.set_buffer_limit(Some(UNSENT_BYTES));
        Self {
            session,
            early: true,
            end: None,
        }
    }

    /// Whether nothing more comes, once what came before has been read.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Gives what came with the handshake and has been decrypted already; 0 when nothing is left.
    pub(super) fn read_early(&mut self, plain: &mut [u8]) -> usize {
        if !self.early {
            return 0;
        }
        let mut filled = 0;
        self.process(plain, &mut filled);
        self.early = filled == plain.len();
        filled
    }

    /// Decrypts; gives the bytes of `plain` that it filled. Ciphertext behind the end is passed over.
    pub(super) fn decrypt(&mut self, mut ciphertext: &[u8], plain: &mut [u8]) -> usize {
        let mut filled = 0;
        while !ciphertext.is_empty() && self.end.is_none() {
            match self.session.read_tls(&mut ciphertext) {
                // It reads nothing of what is there only when what it has cannot be a record.
                Ok(0) | Err(_) => self.end = Some(End::Broken),
                Ok(_) => self.process(plain, &mut filled),
            }
        }
        filled
    }

    fn process(&mut self, plain: &mut [u8], filled: &mut usize) {
        let processed = self.session.process_new_packets();
        // What was decrypted before an error is as good as what came in an earlier read. Its own
        // error says that there is nothing, and why.
        *filled += self
            .session
            .reader()
            .read(&mut plain[*filled..])
            .unwrap_or(0);
        self.end = match processed {
            Err(_) => Some(End::Broken),
            Ok(state) if state.peer_has_closed() => Some(End::Closed),
            Ok(_) => None,
        };
    }

    /// Lets go of the memory that a large record needed. Reading does it too, but only with the next
    /// bytes that come.
    pub(super) fn shrink(&mut self) {
        let _ = self.session.read_tls(&mut Nothing);
    }

    /// Encrypts of `plain` what there is room for, and writes until all is written or the socket takes
    /// no more.
    pub(super) fn write(
        &mut self,
        plain: &[IoSlice<'_>],
        stream: &mut TcpStream,
    ) -> io::Result<Written> {
        let taken = self.session.writer().write_vectored(plain)?;
        let mut wire = 0;
        let mut blocked = false;
        while self.session.wants_write() && !blocked {
            match self.session.write_tls(stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => wire += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Written {
            sent: Sent { taken, wire },
            unsent: self.unsent(),
            blocked,
        })
    }

    /// Puts the `close_notify` behind all that was written. Once, however often it is called. Gives the
    /// ciphertext that the kernel has not taken.
    pub(super) fn close(&mut self) -> usize {
        self.session.send_close_notify();
        self.unsent()
    }

    /// Ciphertext that the kernel has not taken.
    pub(super) fn unsent(&mut self) -> usize {
        if !self.session.wants_write() {
            return 0;
        }
        // Only its answer tells how much there is. Nothing has come that it could process, and a
        // session that is broken sends nothing more.
        self.session
            .process_new_packets()
            .map_or(0, |state| state.tls_bytes_to_write())
    }

    /// Tells the client why its session is broken, if the socket takes it at once.
    pub(super) fn alert(&mut self, stream: &mut TcpStream) {
        let _ = self.session.write_tls(stream);
    }
}

/// A socket without input.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}
