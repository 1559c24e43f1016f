//! A client of the WSE protocol on tokio-tungstenite: an implementation that is not the gateway's
//! own, so that it can judge it. It answers the server's pings while it is read; everything else is
//! the caller's to do.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::Uri;
use hyper::header::{
    AUTHORIZATION, COOKIE, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_EXTENSIONS,
};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::Error;

/// How long one step of the conversation may take before the client gives up. Generous: it is there
/// so that a test ends, not to measure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where to connect and as whom.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Such as `ws://127.0.0.1:8080/wse`.
    pub url: String,
    /// Where the token travels.
    pub auth: Auth,
    /// The page that a browser would name.
    pub origin: Option<String>,
    /// Local address to connect from. One address has about 28,000 ports.
    pub source: Option<IpAddr>,
    /// What the server is checked with, when the URL is `wss`.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Where the token travels.
#[derive(Clone, Debug)]
pub enum Auth {
    /// In the `Authorization` header.
    Bearer(String),
    /// In the cookie `access_token`, as from a browser.
    Cookie(String),
    /// Nowhere.
    Nothing,
}

/// A message from the server.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// Its type.
    pub t: String,
    /// Its payload.
    #[serde(default)]
    pub p: Value,
}

/// What the server said to a subscription.
#[derive(Clone, Debug, Deserialize)]
pub struct Ack {
    /// Whether all of it succeeded.
    pub success: bool,
    /// Topics and patterns that the client has now.
    #[serde(default)]
    pub success_topics: Vec<String>,
    /// Those that it was refused.
    #[serde(default)]
    pub failed_topics: Vec<String>,
}

/// One connection. Dropping it drops the TCP connection without a Close frame.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    connection_id: String,
    /// Messages that arrived while an answer was awaited.
    waiting: VecDeque<Event>,
}

impl Dial {
    /// With the token in the cookie.
    pub fn new(url: &str, token: &str) -> Self {
        Self {
            url: url.to_owned(),
            auth: Auth::Cookie(token.to_owned()),
            origin: None,
            source: None,
            tls: None,
        }
    }
}

impl Client {
    /// Connects, waits for `server_ready` and says `client_hello`, as WSE's own benchmark client
    /// does (wse-protocol 4).
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Upgrade`] and [`Error::Refused`] for the three ways of not
    /// being let in; others when the server does not keep to the protocol.
    pub async fn connect(dial: &Dial) -> Result<Self, Error> {
        let (socket, _) = upgrade(dial, None).await?;
        let mut client = Self {
            socket,
            connection_id: String::new(),
            waiting: VecDeque::new(),
        };
        let ready = within("server_ready", client.next()).await?;
        match ready.t.as_str() {
            "error" => return Err(client.refused(&ready.p).await),
            "server_ready" => {}
            other => return Err(Error::Protocol(format!("{other} came before server_ready"))),
        }
        let id = &ready.p["details"]["connection_id"];
        client.connection_id = id.as_str().unwrap_or_default().to_owned();
        let hello = json!({ "client_version": "wse-e2e", "protocol_version": 1 });
        client.send("client_hello", &hello).await?;
        Ok(client)
    }

    /// The id that the server gave.
    pub fn connection_id(&self) -> &str {
        &self.connection_id
    }

    /// Sends a message of the system category.
    ///
    /// # Errors
    /// [`Error::Lost`] when the connection is over.
    pub async fn send(&mut self, t: &str, p: &Value) -> Result<(), Error> {
        let text = json!({ "c": "WSE", "t": t, "p": p, "v": 1 }).to_string();
        self.socket.send(Message::text(text)).await.map_err(lost)
    }

    /// Subscribes and waits for the ack. Messages that come before it are kept for [`Client::next`].
    ///
    /// # Errors
    /// As [`Client::next`], and [`Error::Timeout`] without an ack.
    pub async fn subscribe(&mut self, topics: &[&str]) -> Result<Ack, Error> {
        self.change("subscribe", topics).await
    }

    /// Leaves topics, and waits for the ack as [`Client::subscribe`] does.
    ///
    /// # Errors
    /// As [`Client::subscribe`].
    pub async fn unsubscribe(&mut self, topics: &[&str]) -> Result<Ack, Error> {
        self.change("unsubscribe", topics).await
    }

    /// Sends the protocol's ping and waits for its PONG; how long that took.
    ///
    /// # Errors
    /// As [`Client::subscribe`].
    pub async fn ping(&mut self) -> Result<Duration, Error> {
        let began = Instant::now();
        self.send("ping", &json!({ "timestamp": 0 })).await?;
        self.answer("PONG").await?;
        Ok(began.elapsed())
    }

    /// The next message that is not part of the upkeep. Can be cancelled and called again.
    ///
    /// # Errors
    /// [`Error::Closed`] when the server sends a Close frame, [`Error::Lost`] when the connection ends
    /// without one, [`Error::Protocol`] for a message that is no JSON envelope.
    pub async fn next(&mut self) -> Result<Event, Error> {
        if let Some(event) = self.waiting.pop_front() {
            return Ok(event);
        }
        self.receive().await
    }

    /// Reads until the connection is over; how it ended.
    pub async fn last_words(&mut self) -> Error {
        loop {
            if let Err(end @ (Error::Closed { .. } | Error::Lost(_))) = self.next().await {
                return end;
            }
        }
    }

    /// Says goodbye with 1000.
    pub async fn close(mut self) {
        // The server may be gone already; there is nobody left to tell.
        let _ = self.socket.close(None).await;
    }

    async fn change(&mut self, action: &str, topics: &[&str]) -> Result<Ack, Error> {
        let change = json!({ "action": action, "topics": topics });
        self.send("subscription_update", &change).await?;
        let p = self.answer("subscription_update").await?;
        serde_json::from_value(p)
            .map_err(|error| Error::Protocol(format!("not a subscription's ack: {error}")))
    }

    async fn answer(&mut self, t: &str) -> Result<Value, Error> {
        let find = async {
            loop {
                let event = self.receive().await?;
                if event.t == t {
                    return Ok(event.p);
                }
                self.waiting.push_back(event);
            }
        };
        within(t, find).await
    }

    async fn receive(&mut self) -> Result<Event, Error> {
        loop {
            let text = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Binary(bytes))) => bytes
                    .try_into()
                    .map_err(|_| Error::Protocol("a binary message that is not UTF-8".into()))?,
                Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(lost(error)),
                None => return Err(Error::Lost("the stream ended".into())),
            };
            let event: Event = serde_json::from_str(&text)
                .map_err(|error| Error::Protocol(format!("{error} in {text}")))?;
            match event.t.as_str() {
                "ping" => {
                    let pong = json!({ "server_timestamp": event.p["server_time"] });
                    self.send("PONG", &pong).await?;
                }
                "server_hello" => {}
                _ => return Ok(event),
            }
        }
    }

    async fn refused(&mut self, p: &Value) -> Error {
        let close = match within("the Close frame after a refusal", async {
            Ok(self.last_words().await)
        })
        .await
        {
            Ok(Error::Closed { code, .. }) => code,
            Ok(other) | Err(other) => return other,
        };
        Error::Refused {
            code: p["code"].as_str().unwrap_or_default().to_owned(),
            message: p["message"].as_str().unwrap_or_default().to_owned(),
            close,
        }
    }
}

/// What a server answers to an offer of extensions (RFC 6455 section 9.1): the header's value.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Upgrade`].
pub async fn extensions(dial: &Dial, offer: &'static str) -> Result<Option<String>, Error> {
    let (_, response) = upgrade(dial, Some(offer)).await?;
    let answer = response.headers().get(SEC_WEBSOCKET_EXTENSIONS);
    Ok(answer.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()))
}

async fn upgrade(
    dial: &Dial,
    extensions: Option<&'static str>,
) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Response), Error> {
    let mut request = request(dial)?;
    if let Some(offer) = extensions {
        let offer = HeaderValue::from_static(offer);
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_EXTENSIONS, offer);
    }
    let stream = within("the TCP connection", tcp(request.uri(), dial.source)).await?;
    // Thousands of clients live in one process, and messages are small: not the default of 128 KiB.
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(0);
    let connector = dial.tls.clone().map_or(Connector::Plain, Connector::Rustls);
    let upgraded = client_async_tls_with_config(request, stream, Some(config), Some(connector));
    let upgraded = within("the upgrade", async { Ok(upgraded.await) }).await?;
    match upgraded {
        Ok(upgraded) => Ok(upgraded),
        Err(WsError::Http(response)) => Err(Error::Upgrade {
            status: response.status().as_u16(),
            retry_after: response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok()),
        }),
        Err(error) => Err(lost(error)),
    }
}

fn request(dial: &Dial) -> Result<Request, Error> {
    let bad = |what: String| Error::Protocol(format!("{}: {what}", dial.url));
    let mut request = dial
        .url
        .as_str()
        .into_client_request()
        .map_err(|error| bad(error.to_string()))?;
    let mut set = |name: HeaderName, value: String| {
        let value = HeaderValue::from_str(&value).map_err(|error| bad(error.to_string()))?;
        request.headers_mut().insert(name, value);
        Ok(())
    };
    match &dial.auth {
        Auth::Bearer(token) => set(AUTHORIZATION, format!("Bearer {token}"))?,
        Auth::Cookie(token) => set(COOKIE, format!("access_token={token}"))?,
        Auth::Nothing => {}
    }
    if let Some(origin) = &dial.origin {
        set(ORIGIN, origin.clone())?;
    }
    Ok(request)
}

async fn tcp(uri: &Uri, source: Option<IpAddr>) -> Result<TcpStream, Error> {
    let address = format!(
        "{}:{}",
        uri.host().unwrap_or_default(),
        uri.port_u16().unwrap_or_else(|| match uri.scheme_str() {
            Some("wss") => 443,
            _ => 80,
        })
    );
    let connect = async {
        let mut found = lookup_host(&address).await?;
        let to = found
            .next()
            .ok_or_else(|| std::io::Error::other("the name has no address"))?;
        let socket = if to.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(source) = source {
            socket.bind((source, 0).into())?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let stream: std::io::Result<_> = connect.await;
    stream.map_err(|error| Error::Unreachable { address, error })
}

async fn within<T>(what: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::Timeout(what.to_owned())),
    }
}

fn closed(frame: Option<CloseFrame>) -> Error {
    match frame {
        Some(frame) => Error::Closed {
            code: frame.code.into(),
            reason: frame.reason.to_string(),
        },
        None => Error::Closed {
            code: 1005,
            reason: String::new(),
        },
    }
}

fn lost(error: WsError) -> Error {
    Error::Lost(error.to_string())
}
