//! The way in from other threads.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use mio::{Poll, Waker};

use super::counters::Counters;
use super::inbox::Inbox;
use super::turn::{Reactor, WAKE};
use super::{Compression, Handler, Socket};

/// Sizes of one reactor.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the thread.
    pub name: String,
    /// Largest message from a client; a larger one closes with 1009.
    pub message_bytes: usize,
    /// Bytes of unfinished messages over all sessions; above it the largest is closed with 1009.
    pub partial_bytes: usize,
    /// Bound of one session's outbound queue. One that is at most half full takes the next push however
    /// large it is, so that a large message does not close a client that keeps up. Replies in place may go
    /// past it by the 64 KiB of one read and one message, because reading stops at half of it.
    pub outbound_bytes: usize,
    /// Bound of the commands that wait, in the bytes that their senders named.
    pub inbox_bytes: usize,
    /// How messages are deflated for the clients that agreed to it.
    pub compression: Compression,
}

impl Default for Options {
    /// What one core serves well: a message of 1 MiB, which is what the published clients take (wse-protocol
    /// 1.4), and queues of as much.
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            name: "reactor".to_owned(),
            message_bytes: MIB,
            partial_bytes: 64 * MIB,
            outbound_bytes: MIB,
            inbox_bytes: 64 * MIB,
            compression: Compression::default(),
        }
    }
}

/// Why a command was not taken.
#[derive(Debug, Eq, PartialEq)]
pub enum NotTaken<T> {
    /// The reactor has ended.
    Ended,
    /// More bytes would wait than [`Options::inbox_bytes`] allows; one that is larger than that is taken
    /// when nothing waits. Hands the command back.
    Full(T),
}

/// Talks to one reactor from any thread. Cheap to clone.
pub struct Handle<H: Handler> {
    inbox: Arc<Inbox<H::Accept, H::Command>>,
}

impl<H: Handler> Clone for Handle<H> {
    fn clone(&self) -> Self {
        Self {
            inbox: Arc::clone(&self.inbox),
        }
    }
}

impl<H: Handler> fmt::Debug for Handle<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

impl<H: Handler> Handle<H> {
    /// Hands over an upgraded connection. The session is counted from now on. A reactor that has
    /// ended drops it.
    pub fn accept(&self, socket: Socket, accept: H::Accept) {
        self.inbox.accept(socket, accept);
    }

    /// Queues a command that weighs `bytes`, and wakes the loop.
    ///
    /// # Errors
    /// [`NotTaken`] when the inbox has no room, or the reactor has ended.
    pub fn command(&self, command: H::Command, bytes: usize) -> Result<(), NotTaken<H::Command>> {
        self.inbox.command(command, bytes, true)
    }

    /// Queues a command that weighs `bytes` whatever the bound: for the few that must not be lost. What
    /// comes behind it within the bound has so much less room.
    pub fn urge(&self, command: H::Command, bytes: usize) {
        // Only a reactor that has ended refuses, and there is nobody left to obey.
        let _ = self.inbox.command(command, bytes, false);
    }

    /// Ends when at least half of the inbox is free.
    pub async fn room(&self) {
        self.inbox.room().await;
    }

    /// Sessions of this reactor, with those on their way to it and those whose last bytes are being
    /// delivered.
    pub fn sessions(&self) -> usize {
        self.inbox.sessions()
    }

    /// The reactor's figures at the end of its last turn.
    pub fn counters(&self) -> Counters {
        self.inbox.counters.load()
    }

    /// Changes the sizes of a running reactor.
    pub fn resize(&self, options: Options) {
        self.inbox.resize(options);
    }

    /// Ends the loop; sessions still open are dropped, and told to the handler as lost.
    pub fn stop(&self) {
        self.inbox.stop();
    }
}

/// Starts a reactor on a thread of its own; `make` runs there.
///
/// # Errors
/// When the poll instance or the thread cannot be made.
pub fn spawn<H: Handler>(
    options: Options,
    make: impl FnOnce() -> H + Send + 'static,
) -> io::Result<(Handle<H>, JoinHandle<()>)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKE)?;
    let inbox = Arc::new(Inbox::new(waker, options.inbox_bytes));
    let handle = Handle {
        inbox: Arc::clone(&inbox),
    };
    let thread = thread::Builder::new()
        .name(options.name.clone())
        .spawn(move || {
            let _end = EndOnDrop(Arc::clone(&inbox));
            Reactor::new(poll, inbox, options, make()).run();
        })?;
    Ok((handle, thread))
}

/// A loop that has ended, even by a panic of its handler, takes no commands: their senders must not
/// wait for it.
struct EndOnDrop<A, C>(Arc<Inbox<A, C>>);

impl<A, C> Drop for EndOnDrop<A, C> {
    fn drop(&mut self) {
        self.0.end();
    }
}
