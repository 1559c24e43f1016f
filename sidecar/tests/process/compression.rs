//! permessage-deflate, from the configuration file to a client that speaks raw frames.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::gateway::{Gateway, HANG};

/// A client that offered compression.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    /// What the gateway answered to the offer.
    answer: Option<String>,
    /// Frames that came compressed.
    compressed: usize,
}

impl Client {
    async fn connect(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.public()).await.unwrap();
        let mut client = Self {
            stream,
            input: Vec::new(),
            answer: None,
            compressed: 0,
        };
        let request = format!(
            "GET /wse HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
             Authorization: Bearer {}\r\n\r\n",
            super::gateway::token("zoe")
        );
        client.stream.write_all(request.as_bytes()).await.unwrap();
        let end = loop {
            if let Some(at) = client.input.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            client.read().await;
        };
        let head: Vec<u8> = client.input.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        let answer = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        client.answer = answer.map(str::to_owned);
        client.receive("server_ready").await;
        client
    }

    async fn read(&mut self) {
        let read = timeout(HANG, self.stream.read_buf(&mut self.input)).await;
        assert!(read.expect("something comes").unwrap() > 0, "it ended");
    }

    /// Sends a text, compressed.
    async fn send(&mut self, message: &Value) {
        let mut payload = Vec::with_capacity(1_000);
        Compress::new(Compression::new(6), false)
            .compress_vec(
                message.to_string().as_bytes(),
                &mut payload,
                FlushCompress::Sync,
            )
            .unwrap();
        payload.truncate(payload.len() - 4);
        let length = u8::try_from(payload.len()).unwrap();
        assert!(length < 126);
        // A mask of zeroes changes nothing.
        let frame = [&[0xc1, 0x80 | length, 0, 0, 0, 0], &payload[..]].concat();
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next message of a type; others are skipped.
    async fn receive(&mut self, kind: &str) -> Value {
        loop {
            let (first, payload) = self.frame().await;
            let text = match first {
                0x81 => payload,
                0xc1 => {
                    self.compressed += 1;
                    inflate(&payload)
                }
                // The gateway's ping.
                0x89 => continue,
                other => panic!("{other:x} instead of {kind}"),
            };
            let message: Value = serde_json::from_slice(&text).unwrap();
            if message["t"] == kind {
                return message;
            }
        }
    }

    async fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            let (header, length) = match self.input[..] {
                [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
                [_, length, ..] if length < 126 => (2, length.into()),
                _ => (0, usize::MAX),
            };
            if self.input.len() >= header && self.input.len() - header >= length {
                let frame: Vec<u8> = self.input.drain(..header + length).collect();
                return (frame[0], frame[header..].to_vec());
            }
            self.read().await;
        }
    }
}

fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(100_000);
    Decompress::new(false)
        .decompress_vec(
            &[payload, &[0, 0, 0xff, 0xff]].concat(),
            &mut text,
            FlushDecompress::Sync,
        )
        .unwrap();
    text
}

#[tokio::test]
async fn publications_are_compressed_for_those_who_agreed() {
    let gateway = Gateway::start(|config| {
        config["compression"] = json!({"mode": "Deflate", "level": 6, "minBytes": 100});
    })
    .await;
    let mut plain = gateway.client("ann").await;
    plain.subscribe("chat.a").await;
    let mut clients = [
        Client::connect(&gateway).await,
        Client::connect(&gateway).await,
    ];
    for client in &mut clients {
        let alone = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(client.answer.as_deref(), Some(alone));
        let payload = json!({"action": "subscribe", "topics": ["chat.a"]});
        client
            .send(&json!({"c": "WSE", "t": "subscription_update", "p": payload}))
            .await;
        let ack = client.receive("subscription_update").await;
        assert_eq!(ack["p"]["success"], true, "{ack}");
        client.compressed = 0;
    }
    let publish = async |number: usize| {
        let message = json!({"t": "note", "p": {"number": number, "text": "again ".repeat(100)}});
        let body = json!({"topic": "chat.a", "message": message}).to_string();
        let answer = gateway.api(Method::POST, "/publish", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    for number in 0..10 {
        publish(number).await;
    }
    for number in 0..10 {
        let note = plain.receive("note").await;
        assert_eq!(note["p"]["number"], number);
        for client in &mut clients {
            assert_eq!(client.receive("note").await, note);
        }
    }
    assert!(clients.iter().all(|client| client.compressed == 10));
    gateway
        .wait_metric("wse_compressed_sessions_total", 2.0)
        .await;
    for direction in ["in", "out"] {
        let bytes = async |form: &str| {
            let labels = format!("{{direction=\"{direction}\",form=\"{form}\"}}");
            gateway
                .metric(&format!("wse_compression_bytes_total{labels}"))
                .await
        };
        let (compressed, plain) = (bytes("compressed").await, bytes("plain").await);
        assert!(0.0 < compressed && compressed < plain, "{direction}");
    }

    // What was agreed on stays so; who comes later cannot agree any more.
    let mut next = gateway.config.clone();
    next["compression"]["mode"] = json!("None");
    gateway.write_config(&next.to_string());
    gateway
        .wait_metric("wse_config_reloads_total{outcome=\"applied\"}", 1.0)
        .await;
    assert_eq!(Client::connect(&gateway).await.answer, None);
    publish(10).await;
    for client in &mut clients {
        assert_eq!(client.receive("note").await["p"]["number"], 10);
        assert_eq!(client.compressed, 11);
    }
}
