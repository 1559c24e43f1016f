//! The listening socket.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use listenfd::ListenFd;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::shared::Shared;
use crate::config::Listen;

/// How long a peer may leave what was sent to it unacknowledged before the kernel gives up. A peer
/// that vanished without a word would otherwise hold its queue for a quarter of an hour.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// When the kernel begins to probe a connection on which nothing moves: those nobody writes to.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// A socket that listens for clients.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Own(TcpListener),
    /// Siblings accept from the same queue: whoever does not want a client leaves it to them.
    Shared(Shared),
}

impl Listener {
    /// Takes the inherited socket, or binds the configured address.
    ///
    /// # Errors
    /// When the address cannot be bound, named in the message.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn open(listen: &Listen, inherited: Option<StdListener>) -> io::Result<Self> {
        if let Some(socket) = inherited {
            tune(SockRef::from(&socket))?;
            return Shared::new(socket).map(Socket::Shared).map(Self);
        }
        let socket = bind(listen.public, listen.backlog).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen on {}: {error}", listen.public),
            )
        })?;
        tune(SockRef::from(&socket))?;
        Ok(Self(Socket::Own(socket)))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Socket::Own(socket) => socket.local_addr(),
            Socket::Shared(socket) => socket.local_addr(),
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self.0, Socket::Shared(_))
    }

    /// Can be cancelled and called again.
    pub(super) async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match &mut self.0 {
            Socket::Own(socket) => socket.accept().await,
            Socket::Shared(socket) => socket.accept().await,
        }
    }
}

/// The listening socket that the parent process handed down as `LISTEN_FDS` tells (systemd's
/// sd_listen_fds), None when there is none. Call it before other threads start: it takes the variables
/// out of the environment.
///
/// # Errors
/// When what was handed down is not one listening TCP socket.
pub fn inherited() -> io::Result<Option<StdListener>> {
    let mut all = ListenFd::from_env();
    if all.len() > 1 {
        return Err(io::Error::other(format!(
            "LISTEN_FDS hands down {} sockets; one is expected",
            all.len()
        )));
    }
    let Some(socket) = all.take_tcp_listener(0)? else {
        return Ok(None);
    };
    // Whoever took it would be ready and never get a client.
    if !SockRef::from(&socket).is_listener()? {
        return Err(io::Error::other(
            "the socket that LISTEN_FDS hands down does not listen",
        ));
    }
    Ok(Some(socket))
}

/// Sets what every client's socket is to have, once: accepted sockets inherit it (`tcp(7)`, `socket(7)`;
/// Linux and the BSDs), and five calls for each of them cost more than its token.
fn tune(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_AFTER / 4);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// With the backlog asked for: `TcpListener::bind` asks for 128 (operator 0.1).
pub(crate) fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as Client;

    use super::*;

    #[tokio::test]
    async fn accepted_sockets_have_what_the_listening_one_has() {
        let mut listener = Listener::open(
            &Listen {
                public: ([127, 0, 0, 1], 0).into(),
                ..Listen::default()
            },
            None,
        )
        .unwrap();
        let _client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }
}
