//! The public port with a certificate, and a reactor behind it.

use std::io;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::certificates;
use crate::edge::Certificate;
use crate::reactor::{self, Closed, Context, Handle, Handler, Options, Reply, SessionId, Sessions};

type Secured = TlsStream<TcpStream>;

struct Echo;

impl Handler for Echo {
    type Accept = ();
    type Session = ();
    type Command = u16;

    fn open(&mut self, _: SessionId, (): (), _: &mut Context) {}

    fn message(
        &mut self,
        _: SessionId,
        (): &mut (),
        _: reactor::Message<'_>,
        _: &mut Context,
    ) -> Reply {
        Reply::InPlace
    }

    fn close(&mut self, _: SessionId, (): (), _: Closed, _: &mut Context) {}

    /// Closes all sessions with a code, as a drain does.
    fn command(&mut self, code: u16, sessions: &mut Sessions<()>, cx: &mut Context) {
        let all: Vec<_> = sessions.iter_mut().map(|(id, ())| id).collect();
        for id in all {
            cx.close(id, code, "drain");
        }
    }
}

/// A house with a certificate whose arrivals an echoing reactor takes.
struct Secure {
    house: House,
    reactor: Handle<Echo>,
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.reactor.stop();
    }
}

impl Secure {
    async fn open(certificate: &certificates::Certificate) -> Self {
        let mut house = secured(Limits::default(), certificate).await;
        let (reactor, _thread) = reactor::spawn(Options::default(), || Echo).unwrap();
        let (_, nobody) = mpsc::unbounded_channel();
        let mut arrivals = std::mem::replace(&mut house.arrivals, nobody);
        let handle = reactor.clone();
        tokio::spawn(async move {
            while let Some(arrival) = arrivals.recv().await {
                assert!(arrival.socket.tls.is_some());
                handle.accept(arrival.socket, ());
            }
        });
        Self { house, reactor }
    }

    async fn client(&self, config: Arc<ClientConfig>) -> WebSocketStream<Secured> {
        let stream = secure(&self.house, config).await.unwrap();
        let url = "wss://localhost/wse";
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        socket
    }
}

async fn secured(limits: Limits, certificate: &certificates::Certificate) -> House {
    let house = House::open(limits.clone()).await;
    house
        .control
        .reload(secured_policy(limits, certificate).await);
    house
}

async fn secured_policy(limits: Limits, certificate: &certificates::Certificate) -> Policy {
    let scratch = Scratch::new();
    let loaded = Certificate::load(&config::Tls {
        certificate_file: scratch.write(certificate.chain.as_bytes()),
        key_file: scratch.write(certificate.key.as_bytes()),
    });
    let auth = anybody();
    let origins = &auth.allowed_origins;
    let verifier = verifier(&auth).await;
    Policy::new(&limits, origins, verifier, Some(loaded.unwrap())).unwrap()
}

async fn secure(house: &House, config: Arc<ClientConfig>) -> io::Result<Secured> {
    let name = ServerName::try_from("localhost").unwrap();
    let stream = house.connect().await;
    TlsConnector::from(config).connect(name, stream).await
}

/// The first bytes of a client that speaks TLS.
fn hello(certificate: &certificates::Certificate) -> Vec<u8> {
    let mut hello = Vec::new();
    certificate.client(&TLS13).write_tls(&mut hello).unwrap();
    hello
}

/// A client's frame, masked with zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= 125);
    let head = [0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    [&head, payload].concat()
}

#[tokio::test]
async fn an_independent_client_talks_over_both_versions() {
    let certificate = certificates::Certificate::new();
    let secure = Secure::open(&certificate).await;
    let large: Vec<u8> = (0..1_048_576_u32).map(|i| (i % 253) as u8).collect();
    for version in [&TLS12, &TLS13] {
        let mut config = (*certificate.client_config(version)).clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut client = secure.client(Arc::new(config)).await;
        for message in [Message::text("small"), Message::binary(large.clone())] {
            client.send(message.clone()).await.unwrap();
            let echo = timeout(HANG, client.next()).await.expect("an echo comes");
            assert_eq!(echo.unwrap().unwrap(), message);
        }
        client.close(None).await.unwrap();
        while let Some(last) = timeout(HANG, client.next()).await.unwrap() {
            assert!(last.unwrap().is_close());
        }
        // An end without a word by TLS would be an error.
        let mut stream = client.into_inner();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        stream.shutdown().await.unwrap();
    }
    while secure.reactor.sessions() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let counters = secure.reactor.counters();
    assert_eq!((counters.closed_by_client, counters.closed_lost), (2, 0));
    secure.house.counted("upgraded", 2).await;
}

#[tokio::test]
async fn frames_that_come_with_the_request_are_answered_in_order() {
    let certificate = certificates::Certificate::new();
    let secured = Secure::open(&certificate).await;
    let payloads: Vec<[u8; 100]> = (0..3_000_u16)
        .map(|i| {
            let mut payload = [b'.'; 100];
            payload[..2].copy_from_slice(&i.to_be_bytes());
            payload
        })
        .collect();
    for version in [&TLS12, &TLS13] {
        for count in [1, 60, 150, 3_000] {
            let mut stream = secure(&secured.house, certificate.client_config(version))
                .await
                .unwrap();
            let frames = payloads[..count].iter().flat_map(|payload| frame(payload));
            let all: Vec<u8> = format!("{HEAD}\r\n").into_bytes();
            let all: Vec<u8> = all.into_iter().chain(frames).collect();
            let expected: Vec<u8> = payloads[..count]
                .iter()
                .flat_map(|payload| [&[0x82, 100], payload.as_slice()].concat())
                .collect();
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            let send = async {
                writer.write_all(&all).await.unwrap();
                writer.flush().await.unwrap();
            };
            let receive = async {
                let mut got = Vec::new();
                let head = loop {
                    got.push(reader.read_u8().await.unwrap());
                    if got.ends_with(b"\r\n\r\n") {
                        break String::from_utf8(got).unwrap();
                    }
                };
                assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
                let mut echoes = vec![0; expected.len()];
                reader.read_exact(&mut echoes).await.unwrap();
                assert!(echoes == expected, "{count}");
            };
            let both = async { tokio::join!(send, receive) };
            timeout(HANG, both).await.expect("all echoes come");
        }
    }
}

#[tokio::test]
async fn a_drain_ends_in_a_close_frame_and_a_close_notify() {
    let certificate = certificates::Certificate::new();
    let secure = Secure::open(&certificate).await;
    let mut client = secure.client(certificate.client_config(&TLS13)).await;
    client.send(Message::text("hello")).await.unwrap();
    client.next().await.unwrap().unwrap();
    secure.reactor.urge(4300, 0);
    let close = client.next().await.unwrap().unwrap();
    assert!(matches!(close, Message::Close(Some(frame)) if u16::from(frame.code) == 4300));
    // It answers, and sees the end.
    assert!(timeout(HANG, client.next()).await.unwrap().is_none());
    let mut stream = client.into_inner();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_tls_is_refused_and_harms_nobody() {
    let certificate = certificates::Certificate::new();
    let secured = Secure::open(&certificate).await;
    let mut client = secured.client(certificate.client_config(&TLS13)).await;
    let request = format!("{HEAD}\r\n");
    let broken = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196], [0x55; 196].as_slice()].concat();
    for (count, garbage) in [request.as_bytes(), b"\0\0\0\0\0\0\0\0", &broken]
        .into_iter()
        .enumerate()
    {
        let mut stream = secured.house.connect().await;
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        timeout(HANG, read).await.expect("it is closed").unwrap();
        // An alert, and nothing else.
        assert!(
            answer.len() == 7 && answer[0] == 0x15,
            "{count}: {answer:?}"
        );
        drop(stream);
        secured.house.counted("tls", count as u32 + 1).await;
    }
    client.send(Message::text("still here")).await.unwrap();
    assert!(client.next().await.unwrap().is_ok());
    assert_eq!(secured.reactor.sessions(), 1);
}

#[tokio::test]
async fn clients_that_cannot_agree_are_counted() {
    let certificate = certificates::Certificate::new();
    let stranger = certificates::Certificate::new();
    let house = secured(Limits::default(), &certificate).await;
    let distrusts = secure(&house, stranger.client_config(&TLS13)).await;
    assert!(distrusts.is_err());
    house.counted("tls", 1).await;
    let mut config = (*certificate.client_config(&TLS13)).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(secure(&house, Arc::new(config)).await.is_err());
    house.counted("tls", 2).await;
    let mut leaves = house.connect().await;
    let hello = hello(&certificate);
    leaves.write_all(&hello[..50]).await.unwrap();
    drop(leaves);
    house.counted("io", 1).await;
}

#[tokio::test]
async fn refusals_are_answers_over_tls_too() {
    let certificate = certificates::Certificate::new();
    let house = secured(Limits::default(), &certificate).await;
    house.control.refuse(true);
    let mut stream = secure(&house, certificate.client_config(&TLS13))
        .await
        .unwrap();
    let request = format!("{HEAD}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    house.counted("refused_draining", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_keep_nobody_out() {
    let limits = Limits {
        pending_handshakes: 16,
        ..Limits::default()
    };
    let certificate = certificates::Certificate::new();
    let mut house = secured(limits, &certificate).await;
    let hello = hello(&certificate);
    let mut slow = Vec::new();
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut stream = house.connect().await;
        stream.write_all(&hello[..7]).await.unwrap();
        slow.push(stream);
        // This one has shaken hands, and begun its request.
        let mut stream = secure(&house, certificate.client_config(&TLS12))
            .await
            .unwrap();
        stream.write_all(b"GET / HT").await.unwrap();
        silent.push(stream);
    }
    let stream = secure(&house, certificate.client_config(&TLS13))
        .await
        .unwrap();
    let url = "wss://localhost/wse";
    assert!(tokio_tungstenite::client_async(url, stream).await.is_ok());
    assert!(house.arrivals.recv().await.is_some());
    assert!(house.metric("wse_handshakes_total", Some("evicted")) >= 1.0);
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_dropped() {
    let limits = Limits {
        handshake_timeout_millis: 50,
        ..Limits::default()
    };
    let certificate = certificates::Certificate::new();
    let house = secured(limits, &certificate).await;
    let mut stream = house.connect().await;
    stream.write_all(&hello(&certificate)[..7]).await.unwrap();
    let read = timeout(HANG, stream.read(&mut [0])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)));
    house.counted("timeout", 1).await;
}

#[tokio::test]
async fn a_new_certificate_is_for_those_who_come_after_it() {
    let (old, new) = (
        certificates::Certificate::new(),
        certificates::Certificate::new(),
    );
    let secured = Secure::open(&old).await;
    let mut before = secured.client(old.client_config(&TLS13)).await;
    let policy = secured_policy(Limits::default(), &new).await;
    secured.house.control.reload(policy);
    assert!(
        secure(&secured.house, old.client_config(&TLS13))
            .await
            .is_err()
    );
    let mut after = secured.client(new.client_config(&TLS13)).await;
    for client in [&mut before, &mut after] {
        client.send(Message::text("here")).await.unwrap();
        let echo = timeout(HANG, client.next()).await.expect("an echo comes");
        assert_eq!(echo.unwrap().unwrap(), Message::text("here"));
    }
}
