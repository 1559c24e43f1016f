//! Serves an axum router on a port that is not for clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;

use crate::panics;

/// Longest time between two requests of a connection, and longest for a request's head. Longer than the
/// minute that pools of HTTP clients keep idle connections, so that they close first and no request is
/// lost in a race.
const HEAD: Duration = Duration::from_secs(75);
/// Pause after a failed accept, such as with no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// Opens a port with an accept queue of the length asked for.
///
/// # Errors
/// Names the address when it cannot be had.
pub(super) fn bind(address: SocketAddr, backlog: u32) -> Result<TcpListener, String> {
    let open = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(backlog)
    };
    open().map_err(|error: std::io::Error| format!("cannot listen on {address}: {error}"))
}

/// Accepts for ever, at most `connections` at a time; more wait in the accept queue. A panic in a
/// request costs its connection, nothing else.
pub(super) async fn serve(listener: TcpListener, router: Router, connections: usize) {
    let slots = Arc::new(Semaphore::new(connections));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(panics::contained(async move {
            let _slot = slot;
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection of an internal port ended");
            }
        }));
    }
}
