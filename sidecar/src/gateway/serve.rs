//! Serves an axum router on a port that is not for clients.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

use crate::{edge, panics};

/// What the connections of a port may cost.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// At once; more wait in the accept queue.
    pub(super) connections: u32,
    /// Longest time for a request's head, and so between two requests.
    pub(super) head: Duration,
}

/// Pools of HTTP clients keep idle connections for a minute at most: they close first, so that no
/// request is lost in a race.
pub(super) const API: Bounds = Bounds {
    connections: 2_048,
    head: Duration::from_secs(75),
};

/// Anything in the cluster can reach this port, and probes must come through.
pub(super) const ADMIN: Bounds = Bounds {
    connections: 512,
    head: Duration::from_secs(15),
};

/// How far the exit is, for the ports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Calls under way are answered; no others are taken.
    Closing,
    /// Every answer ends its connection, so that callers go elsewhere in time.
    Leaving,
    /// No exit.
    Serving,
}

/// What is on its way when a port closes still comes in: a connection that was closed meanwhile would be
/// reset.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Pause after a failed accept, such as with no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// Opens a port with an accept queue of the length asked for.
///
/// # Errors
/// Names the address when it cannot be had.
pub(super) fn bind(address: SocketAddr, backlog: u32) -> Result<TcpListener, String> {
    edge::bind(address, backlog).map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Accepts until the port closes, and ends when its connections have. A panic in a request costs its
/// connection, nothing else.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    mut stage: watch::Receiver<Stage>,
) {
    let slots = Arc::new(Semaphore::new(bounds.connections as usize));
    loop {
        let accepted = tokio::select! {
            // Connections in the accept queue first: closing the port resets them.
            biased;
            accepted = accept(&listener, &slots) => accepted,
            () = closing(&mut stage) => break,
        };
        match accepted {
            Ok((stream, slot)) => {
                let connection = attend(stream, router.clone(), bounds, stage.clone());
                tokio::spawn(panics::contained(async move {
                    let _slot = slot;
                    connection.await;
                }));
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    // All are free when the last connection has ended. They are never closed.
    let _ = slots.acquire_many(bounds.connections).await;
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned();
    let slot = slot.await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn attend(
    stream: TcpStream,
    router: Router,
    bounds: Bounds,
    mut stage: watch::Receiver<Stage>,
) {
    let _ = stream.set_nodelay(true);
    let calls = stage.clone();
    let service = service_fn(|request| answer(router.clone(), request, &calls));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let last_word = async {
        closing(&mut stage).await;
        tokio::time::sleep(LAST_WORD).await;
    };
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = last_word => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection of an internal port ended");
    }
}

/// From the beginning of the exit on, an answer is its connection's last.
async fn answer(
    mut router: Router,
    request: Request<Incoming>,
    stage: &watch::Receiver<Stage>,
) -> Result<Response, Infallible> {
    // A router is always ready.
    let mut response = router.call(request).await?;
    if *stage.borrow() != Stage::Serving {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response)
}

/// Ends when the port is to close.
async fn closing(stage: &mut watch::Receiver<Stage>) {
    // Nobody is left to serve for when the sender has gone.
    let _ = stage.wait_for(|stage| *stage == Stage::Closing).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    /// A port with a call that is answered at once, and one that is held until it is let go.
    struct Port {
        address: SocketAddr,
        stage: watch::Sender<Stage>,
        begun: Arc<Notify>,
        go: Arc<Notify>,
        task: JoinHandle<()>,
    }

    impl Port {
        fn open() -> Self {
            let listener = bind("127.0.0.1:0".parse().unwrap(), 16).unwrap();
            let address = listener.local_addr().unwrap();
            let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (started, held) = (begun.clone(), go.clone());
            let hold = async move || {
                started.notify_one();
                held.notified().await;
                "held"
            };
            let router = Router::new()
                .route("/quick", get(async || "quick"))
                .route("/hold", get(hold));
            let (stage, seen) = watch::channel(Stage::Serving);
            Self {
                address,
                stage,
                begun,
                go,
                task: tokio::spawn(serve(listener, router, ADMIN, seen)),
            }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// What comes until it ends with the text.
    async fn until(stream: &mut TcpStream, end: &str) -> String {
        let mut got = Vec::new();
        while !got.ends_with(end.as_bytes()) {
            got.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(got).unwrap()
    }

    /// What comes until the connection ends in peace: a reset is an error.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut got = String::new();
        stream.read_to_string(&mut got).await.unwrap();
        got
    }

    #[tokio::test]
    async fn answers_end_their_connection_once_the_exit_has_begun() {
        let port = Port::open();
        let mut stream = port.connect().await;
        for _ in 0..2 {
            ask(&mut stream, "/quick").await;
            let answer = until(&mut stream, "quick").await;
            assert!(!answer.contains("connection:"), "{answer}");
        }
        port.stage.send_replace(Stage::Leaving);
        for mut stream in [stream, port.connect().await] {
            ask(&mut stream, "/quick").await;
            let answer = rest(&mut stream).await;
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
        assert!(!port.task.is_finished());
    }

    #[tokio::test]
    async fn a_port_that_closes_answers_the_calls_under_way() {
        let mut port = Port::open();
        let (mut idle, mut held, mut silent) = (
            port.connect().await,
            port.connect().await,
            port.connect().await,
        );
        ask(&mut idle, "/quick").await;
        until(&mut idle, "quick").await;
        ask(&mut held, "/hold").await;
        port.begun.notified().await;
        port.stage.send_replace(Stage::Leaving);
        let mut queued = port.connect().await;
        ask(&mut queued, "/quick").await;
        port.stage.send_replace(Stage::Closing);

        assert!(rest(&mut queued).await.ends_with("quick"));
        assert_eq!(rest(&mut idle).await, "");
        assert_eq!(rest(&mut silent).await, "");
        assert!(TcpStream::connect(port.address).await.is_err());
        assert!(!port.task.is_finished());
        port.go.notify_one();
        let answer = rest(&mut held).await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("held"));
        (&mut port.task).await.unwrap();
    }
}
