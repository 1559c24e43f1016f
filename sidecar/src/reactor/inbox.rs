//! The way from other threads into a loop: a list under a lock, taken whole once a turn, and a waker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use mio::Waker;
use tokio::sync::Notify;

use super::Socket;
use super::counters::Published;
use super::handle::{NotTaken, Options};

/// What other threads say to a loop.
#[derive(Debug)]
pub(super) enum Item<A, C> {
    Accept(Box<(Socket, A)>),
    /// With its bytes, as its sender named them.
    Command(C, usize),
    Resize(Options),
}

#[derive(Debug)]
pub(super) struct Inbox<A, C> {
    waiting: Mutex<Waiting<A, C>>,
    /// Bytes of the commands that have not run, as their senders named them.
    bytes: AtomicUsize,
    bound: AtomicUsize,
    /// There is something in `waiting`, and the loop has been woken for it.
    woken: AtomicBool,
    stopping: AtomicBool,
    room: Notify,
    /// Sessions of the reactor, with those on their way to it.
    sessions: AtomicUsize,
    pub(super) counters: Published,
    waker: Waker,
}

#[derive(Debug)]
struct Waiting<A, C> {
    items: VecDeque<Item<A, C>>,
    /// Nobody takes items any more.
    ended: bool,
}

impl<A, C> Inbox<A, C> {
    pub(super) fn new(waker: Waker, bound: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                items: VecDeque::new(),
                ended: false,
            }),
            bytes: AtomicUsize::new(0),
            bound: AtomicUsize::new(bound),
            woken: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            room: Notify::new(),
            sessions: AtomicUsize::new(0),
            counters: Published::default(),
            waker,
        }
    }

    /// Counts a session and sends its socket in.
    pub(super) fn accept(&self, socket: Socket, accept: A) {
        let mut waiting = self.lock();
        if waiting.ended {
            return;
        }
        self.sessions.fetch_add(1, Ordering::Relaxed);
        waiting
            .items
            .push_back(Item::Accept(Box::new((socket, accept))));
        drop(waiting);
        self.wake();
    }

    /// Takes a command of this weight, within the bound if there is one to keep.
    pub(super) fn command(
        &self,
        command: C,
        bytes: usize,
        bounded: bool,
    ) -> Result<(), NotTaken<C>> {
        let mut waiting = self.lock();
        let before = self.bytes.load(Ordering::Relaxed);
        let total = before.saturating_add(bytes);
        if waiting.ended {
            return Err(NotTaken::Ended);
        }
        // An empty inbox takes anything, or what is larger than the bound would never be taken.
        if bounded && before > 0 && total > self.bound.load(Ordering::Relaxed) {
            return Err(NotTaken::Full(command));
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        waiting.items.push_back(Item::Command(command, bytes));
        drop(waiting);
        self.wake();
        Ok(())
    }

    pub(super) fn resize(&self, options: Options) {
        self.bound.store(options.inbox_bytes, Ordering::Relaxed);
        let mut waiting = self.lock();
        if !waiting.ended {
            waiting.items.push_back(Item::Resize(options));
        }
        drop(waiting);
        self.wake();
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Ends when at least half is free, or the loop has ended.
    pub(super) async fn room(&self) {
        loop {
            let mut notified = std::pin::pin!(self.room.notified());
            notified.as_mut().enable();
            let bound = self.bound.load(Ordering::Relaxed);
            if self.bytes.load(Ordering::Relaxed) <= bound / 2 || self.lock().ended {
                return;
            }
            notified.await;
        }
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// A session is over, or never began.
    pub(super) fn session_gone(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes all that waits, behind what is in `items`. What has run is told to [`Inbox::done`].
    pub(super) fn take(&self, items: &mut VecDeque<Item<A, C>>) {
        if self.woken.swap(false, Ordering::Acquire) {
            items.append(&mut self.lock().items);
        }
    }

    /// Commands of this many bytes have run.
    pub(super) fn done(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before - bytes <= self.bound.load(Ordering::Relaxed) / 2 {
            self.room.notify_waiters();
        }
    }

    /// The loop has ended: drops what waits and takes nothing more.
    pub(super) fn end(&self) {
        let mut waiting = self.lock();
        waiting.ended = true;
        let items = mem::take(&mut waiting.items);
        drop(waiting);
        drop(items);
        self.sessions.store(0, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    /// One write to the waker however many items come before the loop takes them.
    fn wake(&self) {
        if !self.woken.swap(true, Ordering::Release)
            && let Err(error) = self.waker.wake()
            && error.kind() != io::ErrorKind::WouldBlock
        {
            tracing::error!(%error, "a reactor cannot be woken");
        }
    }

    /// The lists are whole whatever thread panicked while it held the lock.
    fn lock(&self) -> MutexGuard<'_, Waiting<A, C>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
