//! Real sockets on loopback.

mod crowds;
mod refusals;
mod tls;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::auth::minting::{Scratch, Signer};
use crate::auth::{self, Verifier};
use crate::config::{
    self, Auth, AuthMode, Compression, CompressionMode, Jwks, Limits, Listen, Origins,
};

/// The request of RFC 6455 section 1.2, without its last line.
const HEAD: &str = "GET /any/path?format=json&a=b HTTP/1.1\r\nHost: server.example.com\r\n\
    Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// No answer takes this long.
const HANG: Duration = Duration::from_secs(30);

struct Hall(mpsc::UnboundedSender<Arrival>);

impl Reception for Hall {
    fn receive(&self, arrival: Arrival) {
        let _ = self.0.send(arrival);
    }
}

/// A running edge whose arrivals the test takes.
struct House {
    address: SocketAddr,
    control: EdgeControl,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    registry: Registry,
    task: JoinHandle<()>,
}

impl Drop for House {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen() -> Listen {
    Listen {
        public: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        ..Listen::default()
    }
}

async fn verifier(auth: &Auth) -> Arc<Verifier> {
    let metrics = Arc::new(auth::Metrics::new(&Registry::new()).unwrap());
    Arc::new(Verifier::load(auth, None, metrics).await.unwrap())
}

async fn policy(limits: Limits, auth: &Auth) -> Policy {
    Policy::new(&limits, &auth.allowed_origins, verifier(auth).await, None).unwrap()
}

fn anybody() -> Auth {
    Auth {
        mode: AuthMode::None,
        ..Auth::default()
    }
}

impl House {
    async fn open(limits: Limits) -> Self {
        Self::with(limits, &anybody(), || 0, None).await
    }

    async fn with(
        limits: Limits,
        auth: &Auth,
        sessions: fn() -> usize,
        inherited: Option<std::net::TcpListener>,
    ) -> Self {
        let registry = Registry::new();
        let (sender, arrivals) = mpsc::unbounded_channel();
        let edge = Edge::new(
            Listener::open(&listen(), inherited).unwrap(),
            policy(limits, auth).await,
            sessions,
            Arc::new(Hall(sender)),
            &registry,
        )
        .unwrap();
        Self {
            address: edge.local_addr().unwrap(),
            control: edge.control(),
            arrivals,
            registry,
            task: tokio::spawn(edge.run()),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection of their own and reads until the edge closes it.
    async fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        // A request that is let in although it should not be has no answer that ends.
        let answer = timeout(HANG, Answer::read(&mut stream)).await;
        answer.unwrap_or_else(|_| panic!("not refused: {request}"))
    }

    async fn upgrade(&mut self, more: &str) -> (TcpStream, Arrival) {
        let mut stream = self.connect().await;
        let request = format!("{HEAD}{more}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let arrival = self.arrivals.recv().await.unwrap();
        (stream, arrival)
    }

    fn metric(&self, name: &str, label: Option<&str>) -> f64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .unwrap();
        let metric = family
            .get_metric()
            .iter()
            .find(|metric| {
                label
                    .is_none_or(|label| metric.get_label().iter().any(|pair| pair.value() == label))
            })
            .unwrap();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    /// Waits until so many connections have come to this end. Outcomes are counted after the client has
    /// its answer.
    async fn counted(&self, outcome: &str, count: u32) {
        while self.metric("wse_handshakes_total", Some(outcome)) < f64::from(count) {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(
            self.metric("wse_handshakes_total", Some(outcome)),
            f64::from(count)
        );
    }
}

/// A response read to its end.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Self {
            head: head.to_ascii_lowercase(),
            body: body.into(),
        }
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn assert_line(&self, line: &str) {
        assert!(
            self.head.lines().any(|one| one == line),
            "{line} is not in {}",
            self.head
        );
    }

    fn error_code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        body["error"]["code"].as_str().unwrap().into()
    }
}

#[tokio::test]
async fn a_client_is_upgraded_and_handed_over() {
    let mut house = House::open(Limits::default()).await;
    let (mut client, arrival) = house.upgrade("").await;
    let mut answer = [0; 512];
    let count = client.read(&mut answer).await.unwrap();
    let answer = str::from_utf8(&answer[..count])
        .unwrap()
        .to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    // RFC 6455 section 1.3.
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"));
    assert!(answer.contains("\r\nconnection: upgrade\r\n"));
    assert!(!answer.contains("close"));
    assert!(answer.ends_with("\r\n\r\n"));

    assert_eq!(arrival.query, "format=json&a=b");
    assert_eq!(arrival.remote, client.local_addr().unwrap());
    assert_eq!(&*arrival.identity.unwrap().user, "anonymous");
    assert!(arrival.socket.read_ahead.is_empty());
    let stream = arrival.socket.stream;
    assert!(stream.nodelay().unwrap());
    // Non-blocking: a read with nothing there returns at once.
    let error = std::io::Read::read(&mut &stream, &mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    house.counted("upgraded", 1).await;
    assert_eq!(house.metric("wse_connections_accepted_total", None), 1.0);
    while house.metric("wse_pending_handshakes", None) > 0.0 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn compression_is_agreed_on_from_a_reload_on() {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut house = House::open(Limits::default()).await;
    let (_client, arrival) = house.upgrade(OFFER).await;
    assert!(arrival.socket.deflate.is_none());

    for (mode, agreed) in [
        (CompressionMode::Deflate, true),
        (CompressionMode::None, false),
    ] {
        let policy = policy(Limits::default(), &anybody()).await;
        house.control.reload(policy.compressing(&Compression {
            mode,
            ..Compression::default()
        }));
        let (mut client, arrival) = house.upgrade(OFFER).await;
        assert_eq!(arrival.socket.deflate.is_some(), agreed, "{mode:?}");
        let mut answer = [0; 512];
        let count = client.read(&mut answer).await.unwrap();
        let answer = str::from_utf8(&answer[..count]).unwrap();
        assert_eq!(
            answer.to_ascii_lowercase().contains("permessage-deflate"),
            agreed,
            "{answer}"
        );
    }
}

#[tokio::test]
async fn bytes_that_come_with_the_handshake_are_handed_over() {
    let mut house = House::open(Limits::default()).await;
    let (_client, arrival) = house.upgrade("\r\nearly frames").await;
    // The head ends at the first empty line; `upgrade` sends one more line break.
    assert_eq!(arrival.socket.read_ahead, Bytes::from("early frames\r\n"));
}

#[tokio::test]
async fn a_request_may_come_in_pieces() {
    let mut house = House::open(Limits::default()).await;
    let mut client = house.connect().await;
    for piece in format!("{HEAD}\r\n").as_bytes().chunks(7) {
        client.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(house.arrivals.recv().await.is_some());
}

#[tokio::test]
async fn a_large_head_is_taken_and_a_larger_one_refused() {
    let mut house = House::open(Limits::default()).await;
    let padding = |bytes: usize| format!("X-Padding: {}\r\n", "x".repeat(bytes));
    house.upgrade(&padding(60 << 10)).await;
    for bytes in [64 << 10, 70 << 10, 300 << 10] {
        let answer = house.ask(&format!("{HEAD}{}\r\n", padding(bytes))).await;
        assert_eq!(answer.status(), 431, "{bytes}");
    }
    house.counted("too_large", 3).await;
}

#[tokio::test]
async fn an_independent_client_agrees_with_the_handshake() {
    let mut house = House::open(Limits::default()).await;
    let stream = house.connect().await;
    let url = format!("ws://{}/wse", house.address);
    let (_socket, response) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    assert_eq!(response.status(), 101);
    assert!(house.arrivals.recv().await.is_some());
}
