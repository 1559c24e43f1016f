//! Real sockets on loopback.

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
use tokio::time::sleep;

use super::*;
use crate::auth::minting::{Scratch, Signer};
use crate::auth::{self, Verifier};
use crate::config::{Auth, AuthMode, Jwks, Limits, Listen, Origins};

/// The request of RFC 6455 section 1.2, without its last line.
const HEAD: &str = "GET /any/path?format=json&a=b HTTP/1.1\r\nHost: server.example.com\r\n\
    Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

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
    Policy::new(&limits, &auth.allowed_origins, verifier(auth).await).unwrap()
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
        Answer::read(&mut stream).await
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

    fn has(&self, line: &str) -> bool {
        self.head.lines().any(|one| one == line)
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
async fn what_is_no_websocket_is_told_so() {
    let house = House::open(Limits::default()).await;
    let answer = house.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.status(), 426);
    assert!(answer.has("upgrade: websocket") && answer.has("connection: close"));
    assert_eq!(answer.error_code(), "NOT_WEBSOCKET");
    assert!(answer.body.contains("WebSocket"));
    house.counted("not_websocket", 1).await;
}

#[tokio::test]
async fn a_bad_handshake_is_refused() {
    let house = House::open(Limits::default()).await;
    for (from, to, status) in [
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", 400),
        ("Version: 13", "Version: 12", 426),
    ] {
        let answer = house.ask(&format!("{}\r\n", HEAD.replace(from, to))).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.error_code(), "BAD_HANDSHAKE");
    }
    for (garbage, status) in [
        ("\x16\x03\x01\x02\x00\x01 a TLS hello\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    ] {
        assert_eq!(house.ask(garbage).await.status(), status, "{garbage}");
    }
    house.counted("bad_handshake", 4).await;
}

#[tokio::test]
async fn draining_refuses_before_the_upgrade_until_taken_back() {
    let mut house = House::open(Limits::default()).await;
    house.control.refuse(true);
    assert!(house.control.refuses());
    let answer = house.ask(&format!("{HEAD}\r\n")).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.has("retry-after: 1") && answer.has("connection: close"));
    assert_eq!(answer.error_code(), "DRAINING");
    house.counted("refused_draining", 1).await;

    house.control.refuse(false);
    house.upgrade("").await;
}

#[tokio::test]
async fn on_a_shared_socket_draining_leaves_clients_to_the_siblings() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sibling = socket.try_clone().unwrap();
    let limits = Limits::default();
    let mut one = House::with(limits.clone(), &anybody(), || 0, Some(socket)).await;
    one.upgrade("").await;
    one.control.refuse(true);
    // The edge learns of it at its next turn: one client may still be told to come back.
    let _ = one.ask(&format!("{HEAD}\r\n")).await;
    let mut waiting = one.connect().await;
    waiting
        .write_all(format!("{HEAD}\r\n").as_bytes())
        .await
        .unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(50), waiting.read(&mut [0])).await;
    assert!(nothing.is_err());

    let mut other = House::with(limits, &anybody(), || 0, Some(sibling)).await;
    assert!(other.arrivals.recv().await.is_some());
    other.control.refuse(true);
    let _ = other.ask(&format!("{HEAD}\r\n"));
    one.control.refuse(false);
    one.upgrade("").await;
}

#[tokio::test]
async fn a_full_pod_refuses_before_the_upgrade() {
    let limits = Limits {
        connections: 10,
        ..Limits::default()
    };
    let mut house = House::with(limits.clone(), &anybody(), || 10, None).await;
    let answer = house.ask(&format!("{HEAD}\r\n")).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.has("retry-after: 5") && answer.has("connection: close"));
    assert_eq!(answer.error_code(), "AT_CAPACITY");
    house.counted("refused_capacity", 1).await;

    let more = Limits {
        connections: 11,
        ..limits
    };
    house.control.reload(policy(more, &anybody()).await);
    house.upgrade("").await;
}

#[tokio::test]
async fn too_many_handshakes_a_second_are_refused() {
    let limits = Limits {
        handshakes_per_second: 1,
        ..Limits::default()
    };
    let mut house = House::open(limits).await;
    house.upgrade("").await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut stream = house.connect().await;
        stream
            .write_all(format!("{HEAD}\r\n").as_bytes())
            .await
            .unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        answers.push(status);
        if &status == b"HTTP/1.1 429" {
            let answer = Answer::read(&mut stream).await;
            assert!(answer.has("retry-after: 1") && answer.has("connection: close"));
            assert_eq!(answer.error_code(), "RATE_LIMITED");
        }
    }
    assert!(answers.contains(b"HTTP/1.1 429"));
}

#[tokio::test]
async fn a_foreign_page_is_refused() {
    let mut house = House::open(Limits::default()).await;
    let foreign = "Origin: https://evil.example.com\r\n";
    let answer = house.ask(&format!("{HEAD}{foreign}\r\n")).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.error_code(), "ORIGIN_NOT_ALLOWED");
    house.counted("refused_origin", 1).await;
    house
        .upgrade("Origin: https://server.example.com\r\n")
        .await;

    let auth = Auth {
        allowed_origins: Origins::List(vec!["https://evil.example.com".into()]),
        ..anybody()
    };
    house.control.reload(policy(Limits::default(), &auth).await);
    house.upgrade(foreign).await;
}

#[tokio::test]
async fn a_refused_token_is_upgraded_to_be_told() {
    let signer = Signer::hs256();
    let scratch = Scratch::new();
    let auth = Auth {
        keys: vec![signer.key(&scratch)],
        ..Auth::default()
    };
    let mut house = House::with(Limits::default(), &auth, || 0, None).await;
    let good = signer.token("ada");
    for (more, expected) in [
        (format!("Authorization: Bearer {good}\r\n"), Ok("ada")),
        (format!("Cookie: a=b; access_token={good}\r\n"), Ok("ada")),
        (String::new(), Err(Refusal::Required)),
        (
            format!("Cookie: access_token=x\r\nAuthorization: Bearer {good}\r\n"),
            Err(Refusal::Failed("malformed")),
        ),
        (
            format!("Authorization: Bearer {good}{}\r\n", "x".repeat(8192)),
            Err(Refusal::Failed("too_long")),
        ),
    ] {
        let (_client, arrival) = house.upgrade(&more).await;
        let user = arrival.identity.map(|identity| identity.user);
        assert_eq!(user.as_deref().map_err(|refusal| *refusal), expected);
    }
    house.counted("upgraded", 5).await;
}

#[tokio::test]
async fn without_keys_clients_are_sent_away_and_not_refused_for_good() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let auth = Auth {
        jwks: Some(Jwks {
            url: Some(format!("http://{address}/keys")),
            ..Jwks::default()
        }),
        ..Auth::default()
    };
    let house = House::with(Limits::default(), &auth, || 0, None).await;
    let token = Signer::es256("k").token("ada");
    let answer = house
        .ask(&format!("{HEAD}Authorization: Bearer {token}\r\n\r\n"))
        .await;
    assert_eq!(answer.status(), 503);
    assert!(answer.has("retry-after: 5"));
    assert_eq!(answer.error_code(), "KEYS_UNAVAILABLE");
    house.counted("refused_keys", 1).await;
}

#[tokio::test]
async fn a_thousand_silent_connections_keep_nobody_out() {
    let limits = Limits {
        pending_handshakes: 64,
        ..Limits::default()
    };
    let mut house = House::open(limits).await;
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(house.connect().await);
    }
    let (_client, arrival) = house.upgrade("").await;
    assert!(arrival.identity.is_ok());
    house.counted("evicted", 1_000 + 1 - 64).await;
    assert!(house.metric("wse_pending_handshakes", None) <= 64.0);
    assert_eq!(house.metric("wse_handshakes_total", Some("timeout")), 0.0);
}

#[tokio::test]
async fn slow_requests_keep_nobody_out() {
    let limits = Limits {
        pending_handshakes: 16,
        ..Limits::default()
    };
    let mut house = House::open(limits).await;
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = house.connect().await;
        stream.write_all(b"GET / HT").await.unwrap();
        slow.push(stream);
    }
    let (_client, arrival) = house.upgrade("").await;
    assert!(arrival.identity.is_ok());
}

#[tokio::test]
async fn a_storm_of_real_clients_loses_none() {
    let limits = Limits {
        pending_handshakes: 8,
        ..Limits::default()
    };
    let mut house = House::open(limits).await;
    let mut clients = Vec::new();
    // All are connected, with their requests sent, before the edge has a chance to look at one.
    for _ in 0..200 {
        let client = std::net::TcpStream::connect(house.address).unwrap();
        std::io::Write::write_all(&mut &client, format!("{HEAD}\r\n").as_bytes()).unwrap();
        clients.push(client);
    }
    for _ in 0..200 {
        assert!(house.arrivals.recv().await.is_some());
    }
    assert_eq!(house.metric("wse_handshakes_total", Some("evicted")), 0.0);
}

#[tokio::test]
async fn a_slow_handshake_is_dropped() {
    let limits = Limits {
        handshake_timeout_millis: 50,
        ..Limits::default()
    };
    let house = House::open(limits).await;
    for begun in ["", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        assert_eq!(house.ask(begun).await.head, "", "{begun}");
    }
    house.counted("timeout", 2).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_counted() {
    let house = House::open(Limits::default()).await;
    drop(house.connect().await);
    let mut half = house.connect().await;
    half.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    drop(half);
    house.counted("io", 2).await;
}

#[tokio::test]
async fn the_backlog_is_the_one_asked_for() {
    let listen = Listen {
        backlog: 1_000,
        ..listen()
    };
    let listener = Listener::open(&listen, None).unwrap();
    let port = listener.local_addr().unwrap().port();
    // Of a listening socket the kernel shows the backlog in the send queue's place (sock_diag(7)); in
    // this file only the established ones have figures, so connections are counted instead.
    let mut clients = Vec::new();
    for _ in 0..500 {
        clients.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    assert_eq!(clients.len(), 500);
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let first = Listener::open(&listen(), None).unwrap();
    let taken = Listen {
        public: first.local_addr().unwrap(),
        ..listen()
    };
    let message = Listener::open(&taken, None).unwrap_err().to_string();
    assert!(message.contains(&taken.public.to_string()), "{message}");
}
