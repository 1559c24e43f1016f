//! The accept loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::door::Door;
use super::{Listener, Policy, Reception};
use crate::panics;

/// The public port: accepts clients and hands over those that it upgraded.
#[derive(Debug)]
pub struct Edge {
    listener: Listener,
    door: Arc<Door>,
}

/// Talks to a running [`Edge`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EdgeControl(Arc<Door>);

impl Edge {
    /// Puts an edge together; nothing is accepted until [`Edge::run`]. `sessions` tells the present
    /// number of sessions, those on their way to a reactor with them; it is asked at each handshake.
    ///
    /// # Errors
    /// When the metrics are registered already.
    pub fn new(
        listener: Listener,
        policy: Policy,
        sessions: impl Fn() -> usize + Send + Sync + 'static,
        reception: Arc<dyn Reception>,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let door = Door::new(policy, Box::new(sessions), reception, registry)?;
        Ok(Self {
            listener,
            door: Arc::new(door),
        })
    }

    /// The handle for drain and reload.
    pub fn control(&self) -> EdgeControl {
        EdgeControl(self.door.clone())
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until it is dropped; handshakes that are under way are dropped with it.
    pub async fn run(mut self) {
        let mut refusing = self.door.refusing.subscribe();
        let mut handshakes = JoinSet::new();
        let mut backoff = Backoff::default();
        loop {
            if self.listener.is_shared() && *refusing.borrow_and_update() {
                // Siblings take the clients that wait in the shared queue. The sender is in `self`.
                let _ = refusing.changed().await;
                continue;
            }
            let accepted = tokio::select! {
                biased;
                _ = refusing.changed() => continue,
                Some(ended) = handshakes.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a handshake failed unexpectedly");
                    }
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    backoff = Backoff::default();
                    self.door.metrics.accepted.inc();
                    // A socket for both families tells IPv4 clients by mapped addresses.
                    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                    let limit = self.door.policy.load().pending;
                    let place = self.door.pending.enter(limit).await;
                    let attended = self.door.clone().attend(stream, remote, place);
                    handshakes.spawn(panics::contained(attended));
                }
                Err(error) => self.recover(&error, &mut backoff).await,
            }
        }
    }

    async fn recover(&self, error: &io::Error, backoff: &mut Backoff) {
        self.door.metrics.accept_errors.inc();
        if is_about_one_connection(error) {
            return;
        }
        let pause = backoff.next();
        tracing::warn!(%error, pause_millis = pause.as_millis(), "cannot accept");
        // Files or memory have run out: connections that have sent nothing are the ones to give up.
        self.door.pending.shed();
        sleep(pause).await;
    }
}

impl EdgeControl {
    /// Whether to refuse new clients: 503, or on a socket shared with siblings not accepting at all.
    pub fn refuse(&self, refuse: bool) {
        self.0.refusing.send_if_modified(|current| {
            let changed = *current != refuse;
            *current = refuse;
            changed
        });
    }

    /// Whether new clients are refused.
    pub fn refuses(&self) -> bool {
        *self.0.refusing.borrow()
    }

    /// Puts another policy in force, for handshakes whose request is not there yet.
    pub fn reload(&self, policy: Policy) {
        self.0.policy.store(Arc::new(policy));
    }
}

/// Pauses between failing accepts, doubling: without one a process that is out of files would spin.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(10))
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(Duration::from_secs(1));
        now
    }
}

/// Whether the failed accept says nothing of the next one: network errors of the one connection
/// (accept(2), "Error handling").
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkDown, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn errors_of_one_connection_do_not_pause_the_others() {
        for (errno, of_one) in [
            (Errno::CONNABORTED, true),
            (Errno::CONNRESET, true),
            (Errno::PERM, true),
            (Errno::INTR, true),
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
            (Errno::BADF, false),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(is_about_one_connection(&error), of_one, "{error}");
        }
    }

    #[test]
    fn pauses_grow_to_a_second() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    }
}
