//! A gateway process of a test, and its callers.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::{EncodingKey, Header, encode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) const API_KEY: &str = "an-api-key";
pub(crate) const TOKEN: &str = "the-cluster-token";
const SECRET: &[u8] = b"a secret of thirty-two bytes, yes";

/// No step of a test takes this long unless it hangs.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    pub(crate) directory: Directory,
    pub(crate) config: Value,
    child: Child,
    ports: [u16; 3],
}

/// A directory that goes with its owner.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("wse-process-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        let next = self.0.join(format!("{name}.next"));
        fs::write(&next, content).unwrap();
        fs::rename(next, &path).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An answer of one of the gateway's ports.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Gateway {
    /// Starts one and waits until it is ready.
    pub(crate) async fn start(change: impl FnOnce(&mut Value)) -> Self {
        Self::start_after("true", change).await
    }

    /// As [`Gateway::start`], in a shell that has run this first.
    pub(crate) async fn start_after(script: &str, change: impl FnOnce(&mut Value)) -> Self {
        let directory = Directory::new();
        let ports = free_ports();
        let mut config = json!({
            "version": 1,
            "node": "pod-1",
            "reactors": 2,
            "log": "info",
            "listen": {
                "public": format!("127.0.0.1:{}", ports[0]),
                "api": format!("127.0.0.1:{}", ports[1]),
                "admin": format!("127.0.0.1:{}", ports[2]),
            },
            "auth": {
                "keys": [{
                    "algorithm": "HS256",
                    "file": directory.file("jwt", std::str::from_utf8(SECRET).unwrap()),
                }],
                "defaultTopics": ["chat.*"],
            },
            "api": { "keyFiles": [directory.file("api", API_KEY)] },
            "admin": { "tokenFile": directory.file("admin", TOKEN) },
            "drain": { "waitSeconds": 0, "windowSeconds": 1, "deadlineSeconds": 5 },
        });
        change(&mut config);
        let file = directory.file("config.json", &config.to_string());
        let log = File::create(directory.0.join("log")).unwrap();
        let script = format!(r#"{script} && exec "$0" run --config "$1""#);
        let child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_wse-sidecar")])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut gateway = Self {
            directory,
            config,
            child,
            ports,
        };
        gateway.wait_ready().await;
        gateway
    }

    async fn wait_ready(&mut self) {
        for _ in 0..1_000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the gateway ended with {status}: {}", self.log());
            }
            if self
                .try_admin("/ready")
                .await
                .is_some_and(|a| a.status == 200)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the gateway is not ready: {}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.0.join("log")).unwrap()
    }

    /// Replaces the configuration file.
    pub(crate) fn write_config(&self, text: &str) {
        self.directory.file("config.json", text);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("it runs");
        let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let ended = timeout(HANG, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("it hangs: {}", self.log()))
            .unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) async fn api(&self, method: Method, path: &str, body: &str) -> Answer {
        let key = format!("Bearer {API_KEY}");
        self.api_as(method, path, body, &key).await
    }

    pub(crate) async fn api_as(&self, method: Method, path: &str, body: &str, key: &str) -> Answer {
        let uri = format!("http://127.0.0.1:{}{path}", self.ports[1]);
        let headers = [("authorization", key), ("content-type", "application/json")];
        ask(method, &uri, &headers, body).await.unwrap()
    }

    pub(crate) async fn admin(&self, path: &str) -> Answer {
        self.try_admin(path).await.unwrap()
    }

    async fn try_admin(&self, path: &str) -> Option<Answer> {
        let uri = format!("http://127.0.0.1:{}{path}", self.ports[2]);
        ask(Method::GET, &uri, &[], "").await
    }

    pub(crate) async fn drain(&self, method: Method, token: &str) -> Answer {
        let uri = format!("http://127.0.0.1:{}/drain", self.ports[2]);
        let token = format!("Bearer {token}");
        ask(method, &uri, &[("authorization", &token)], "")
            .await
            .unwrap()
    }

    pub(crate) async fn shed(&self, body: &str) -> Answer {
        let uri = format!("http://127.0.0.1:{}/shed", self.ports[2]);
        let token = format!("Bearer {TOKEN}");
        ask(Method::POST, &uri, &[("authorization", &token)], body)
            .await
            .unwrap()
    }

    /// The value of one metric, named as it is written, labels too.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").await.text;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .unwrap()
    }

    /// Asks again until the metric has the value.
    pub(crate) async fn wait_metric(&self, name: &str, value: f64) {
        for _ in 0..1_000 {
            if (self.metric(name).await - value).abs() < f64::EPSILON {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} is not {value}: {}", self.metric(name).await);
    }

    /// Where clients connect.
    pub(crate) fn public(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Connects a client and waits for its `server_ready`.
    pub(crate) async fn client(&self, user: &str) -> Client {
        match self.try_client(user).await {
            Ok(client) => client,
            Err(error) => panic!("{error}: {}", self.log()),
        }
    }

    pub(crate) async fn try_client(&self, user: &str) -> Result<Client, tungstenite::Error> {
        let stream = TcpStream::connect(self.public()).await?;
        self.client_over(stream, user).await
    }

    /// As [`Gateway::try_client`], over a connection to the public port.
    pub(crate) async fn client_over(
        &self,
        stream: impl Connection + 'static,
        user: &str,
    ) -> Result<Client, tungstenite::Error> {
        let uri = format!("ws://{}/wse", self.public());
        let mut request = uri.into_client_request()?;
        let bearer = format!("Bearer {}", token(user));
        request
            .headers_mut()
            .insert("authorization", bearer.parse().unwrap());
        let stream: Box<dyn Connection> = Box::new(stream);
        let (socket, _) = client_async(request, stream).await?;
        let mut client = Client {
            socket,
            id: String::new(),
        };
        let ready = client.receive("server_ready").await;
        let id = &ready["p"]["details"]["connection_id"];
        client.id = id.as_str().unwrap().into();
        Ok(client)
    }
}

/// A client of the gateway, over a WebSocket implementation that is not ours.
pub(crate) struct Client {
    pub(crate) id: String,
    socket: WebSocketStream<Box<dyn Connection>>,
}

/// What a client can be on the other end of.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Client {
    /// The next message of a type; others are skipped.
    pub(crate) async fn receive(&mut self, kind: &str) -> Value {
        loop {
            let next = timeout(HANG, self.socket.next()).await;
            let message = next.unwrap_or_else(|_| panic!("no {kind} arrives"));
            match message.expect("open").expect("no error") {
                Message::Text(text) => {
                    let value: Value = serde_json::from_str(&text).unwrap();
                    if value["t"] == kind {
                        return value;
                    }
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} instead of {kind}"),
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, topic: &str) -> Value {
        let payload = json!({"action": "subscribe", "topics": [topic]});
        let message = json!({"c": "WSE", "t": "subscription_update", "p": payload});
        let text = Message::text(message.to_string());
        self.socket.send(text).await.unwrap();
        self.receive("subscription_update").await["p"].clone()
    }

    /// Waits for the server's Close frame.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            let next = timeout(HANG, self.socket.next()).await;
            match next.expect("it closes in time") {
                Some(Ok(Message::Close(Some(frame)))) => {
                    let CloseCode::Library(code) = frame.code else {
                        panic!("{frame:?}");
                    };
                    return (code, frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?} instead of a Close frame"),
            }
        }
    }
}

/// A token of a user, valid for an hour.
pub(crate) fn token(user: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let claims = json!({"sub": user, "exp": now.as_secs() + 3_600});
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET),
    )
    .unwrap()
}

async fn ask(method: Method, uri: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::from(body.to_owned()));
    let request = request.body(body).unwrap();
    let client = HttpClient::builder(TokioExecutor::new()).build_http();
    let response: Response<_> = client.request(request).await.ok()?;
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.ok()?.to_bytes();
    Some(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    })
}

pub(crate) fn free_ports() -> [u16; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
