//! A listening socket that sibling processes accept from as well, as those of `wse-operator up` do.
//!
//! A new connection wakes all of them, and the kernel wakes them in the same order each time: without
//! turns the first takes nearly all clients of a calm hour, and most of a storm. So each waits a moment
//! that it draws at random before it accepts, and then takes only a few. Chance spreads the
//! clients then, as a Service does.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// Longest wait before a turn: longer than it takes a busy machine to wake all siblings.
const LONGEST: Duration = Duration::from_millis(8);
/// Accepted in a turn. With the wait it bounds what a process takes alone: 1,000 a second.
const MOST: u32 = 4;

/// The socket, and whose turn it is.
#[derive(Debug)]
pub(super) struct Shared {
    socket: AsyncFd<StdListener>,
    /// Kept when an accept is cancelled, so that whoever is interrupted often does not wait longer.
    turn: Option<Turn>,
}

#[derive(Debug)]
struct Turn {
    begins: Instant,
    left: u32,
}

impl Shared {
    /// Takes a socket that listens.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub(super) fn new(socket: StdListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Its replacement is unsafe, and asks that the descriptor stays the same, as a TcpListener's
        // does.
        #[allow(deprecated)]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self { socket, turn: None })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// The next connection that is left to this process. Can be cancelled and called again.
    pub(super) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let mut ready = self.socket.readable().await?;
            let turn = self.turn.get_or_insert_with(Turn::draw);
            sleep_until(turn.begins).await;
            turn.left -= 1;
            if turn.left == 0 {
                self.turn = None;
            }
            match ready.try_io(|socket| socket.get_ref().accept()) {
                Ok(accepted) => {
                    let (stream, remote) = accepted?;
                    stream.set_nonblocking(true)?;
                    return Ok((TcpStream::from_std(stream)?, remote));
                }
                // Siblings took all.
                Err(_would_block) => self.turn = None,
            }
        }
    }
}

impl Turn {
    fn draw() -> Self {
        Self {
            begins: Instant::now() + LONGEST.mul_f64(fastrand::f64()),
            left: MOST,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as Client;

    use super::*;

    #[tokio::test]
    async fn siblings_share_the_clients_of_a_calm_hour() {
        const CLIENTS: u32 = 200;
        let socket = StdListener::bind(("127.0.0.1", 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let mut one = Shared::new(socket.try_clone().unwrap()).unwrap();
        let mut other = Shared::new(socket).unwrap();
        let mut taken = [0, 0];
        for _ in 0..CLIENTS {
            let _client = Client::connect(address).unwrap();
            // Always asked in the same order, as the kernel does.
            tokio::select! {
                biased;
                accepted = one.accept() => taken[0] += u32::from(accepted.is_ok()),
                accepted = other.accept() => taken[1] += u32::from(accepted.is_ok()),
            }
        }
        assert_eq!(taken[0] + taken[1], CLIENTS);
        // By chance alone one of 10^9 runs would be outside.
        assert!(taken.iter().all(|it| *it >= CLIENTS / 4), "{taken:?}");
    }

    #[tokio::test]
    async fn who_is_interrupted_all_the_time_has_its_turn() {
        let socket = StdListener::bind(("127.0.0.1", 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let mut shared = Shared::new(socket).unwrap();
        let _client = Client::connect(address).unwrap();
        let often = Duration::from_millis(1);
        let mut rounds = 0..1_000;
        let accepted = loop {
            let accepted = tokio::time::timeout(often, shared.accept()).await;
            if let Ok(accepted) = accepted {
                break accepted;
            }
            assert!(rounds.next().is_some(), "it never had its turn");
        };
        assert!(accepted.is_ok());
    }
}
