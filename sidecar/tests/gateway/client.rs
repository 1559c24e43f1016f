//! A client on tokio-tungstenite, which is not ours.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::pod::Pod;

/// Everything here takes milliseconds; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Of the last `server_ready`.
    pub(crate) id: String,
}

impl Client {
    /// Connects and waits for `server_ready`.
    pub(crate) async fn ready(pod: &Pod, query: &str) -> Self {
        let mut client = Self::connect(pod, query).await;
        let ready = client.json().await;
        assert_eq!(ready["t"], "server_ready");
        client.id = ready["p"]["details"]["connection_id"]
            .as_str()
            .unwrap()
            .into();
        client
    }

    pub(crate) async fn connect(pod: &Pod, query: &str) -> Self {
        let url = format!("ws://{}/wse?{query}", pod.address);
        let (socket, _) = connect_async(url).await.unwrap();
        Self {
            socket,
            id: String::new(),
        }
    }

    pub(crate) async fn send(&mut self, message: impl Into<Message>) {
        self.socket.send(message.into()).await.unwrap();
    }

    pub(crate) async fn update(&mut self, action: &str, topics: &[&str]) {
        let message = json!({"c": "WSE", "t": "subscription_update", "p": {"action": action, "topics": topics}});
        self.send(message.to_string()).await;
    }

    /// Subscribes and returns the acknowledgement's payload.
    pub(crate) async fn subscribe(&mut self, topics: &[&str]) -> Value {
        self.update("subscribe", topics).await;
        let mut ack = self.json().await;
        assert_eq!(ack["t"], "subscription_update", "{ack}");
        ack["p"].take()
    }

    /// The next message that is not a WebSocket ping.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await;
            match next
                .expect("nothing came")
                .expect("the stream ended")
                .unwrap()
            {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?} instead of a text"),
        }
    }

    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The payload of the next message, which is a `note`.
    pub(crate) async fn note(&mut self) -> u64 {
        let message = self.json().await;
        assert_eq!(message["t"], "note", "{message}");
        assert_eq!(message["c"], "U");
        message["p"].as_u64().unwrap()
    }

    /// Waits for the Close frame, past any messages.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.next().await {
                let frame = frame.expect("a Close frame with a code");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    /// Waits until the connection is over, however it ends.
    pub(crate) async fn gone(&mut self) {
        let end = async { while let Some(Ok(_)) = self.socket.next().await {} };
        timeout(PATIENCE, end).await.expect("still connected");
    }

    /// Sends a ping and asserts that its answer is the next message: nothing else was on its way.
    pub(crate) async fn nothing_came(&mut self) {
        self.send(r#"{"c":"WSE","t":"ping","p":{"timestamp":7}}"#)
            .await;
        let answer = self.text().await;
        assert!(answer.starts_with(r#"{"c":"WSE","t":"PONG""#), "{answer}");
    }
}
