//! The way in from other threads.

use std::io;
use std::marker::PhantomData;
use std::thread::JoinHandle;

use super::{Handler, Socket};

/// Sizes of one reactor.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the thread.
    pub name: String,
    /// Largest message from a client; a larger one closes with 1009.
    pub message_bytes: usize,
    /// Bytes of unfinished messages over all sessions; above it the largest is closed with 1009.
    pub partial_bytes: usize,
    /// Bound of one session's outbound queue.
    pub outbound_bytes: usize,
    /// Bound of the commands that wait, in the bytes that their senders named.
    pub inbox_bytes: usize,
}

/// Why a command was not taken: more bytes are waiting than [`Options::inbox_bytes`] allows, or the
/// reactor has ended. Hands the command back.
#[derive(Debug)]
pub struct Full<T>(pub T);

/// Talks to one reactor from any thread. Cheap to clone.
pub struct Handle<H: Handler>(PhantomData<fn(H)>);

impl<H: Handler> Handle<H> {
    /// Hands over an upgraded connection. The session is counted from now on. A reactor that has
    /// ended drops it.
    pub fn accept(&self, socket: Socket, accept: H::Accept) {
        let _ = (socket, accept);
        todo!("room reactor")
    }

    /// Queues a command that weighs `bytes`, and wakes the loop.
    ///
    /// # Errors
    /// [`Full`] when the inbox has no room.
    pub fn command(&self, command: H::Command, bytes: usize) -> Result<(), Full<H::Command>> {
        let _ = (command, bytes);
        todo!("room reactor")
    }

    /// Queues a command whatever the bound: for the few that must not be lost.
    pub fn urge(&self, command: H::Command) {
        let _ = command;
        todo!("room reactor")
    }

    /// Ends when at least half of the inbox is free.
    pub async fn room(&self) {
        todo!("room reactor")
    }

    /// Sessions of this reactor, with those on their way to it.
    pub fn sessions(&self) -> usize {
        todo!("room reactor")
    }

    /// Changes the sizes of a running reactor.
    pub fn resize(&self, options: Options) {
        let _ = options;
        todo!("room reactor")
    }

    /// Ends the loop; sessions still open are dropped.
    pub fn stop(&self) {
        todo!("room reactor")
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
    let _ = (options, make);
    todo!("room reactor")
}
