//! What the system says to the process.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::serve::Stage;
use crate::drain::Controls;

/// SIGTERM, SIGINT and SIGHUP, caught from the moment that this exists.
pub(super) struct Signals {
    hang_up: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// SIGHUP asks for a reload. The first SIGTERM or SIGINT drains, the second ends the process at
    /// once, with the status that the signal would have given.
    pub(super) async fn obey(
        mut self,
        drain: Controls,
        ports: watch::Sender<Stage>,
        reload: Arc<Notify>,
    ) {
        let mut leaving = false;
        loop {
            let kind = tokio::select! {
                _ = self.hang_up.recv() => {
                    reload.notify_one();
                    continue;
                }
                _ = self.interrupt.recv() => SignalKind::interrupt(),
                _ = self.terminate.recv() => SignalKind::terminate(),
            };
            if leaving {
                tracing::warn!("second signal: exiting at once");
                #[expect(clippy::disallowed_methods, reason = "asked for, twice")]
                std::process::exit(128 + kind.as_raw_value());
            }
            leaving = true;
            ports.send_replace(Stage::Leaving);
            drain.exit().await;
        }
    }
}
