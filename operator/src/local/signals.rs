//! Signals to `up`: to end, and that a child did.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::{Error, tried};

/// What `up` waits for.
pub(super) struct Signals {
    child: Signal,
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Error> {
        let listen = |kind| tried("cannot listen for signals", signal(kind));
        Ok(Self {
            child: listen(SignalKind::child())?,
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits that long, or until a child ends. True: `up` is to end.
    pub(super) async fn end_within(&mut self, wait: Duration) -> bool {
        tokio::select! {
            _ = self.hangup.recv() => true,
            _ = self.interrupt.recv() => true,
            _ = self.quit.recv() => true,
            _ = self.terminate.recv() => true,
            _ = self.child.recv() => false,
            () = sleep(wait) => false,
        }
    }
}
