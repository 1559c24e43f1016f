//! What the adapters of Rust crates share: clients by number, the backend's call, and how an answer to a
//! client looks. All runs on one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::LocalSet;

pub const READY: &str = r#"{"c":"WSE","t":"server_ready","p":{},"v":1}"#;
/// Texts that wait for one client; who publishes waits for the slowest.
const WAITING: usize = 4_096;

#[derive(Deserialize)]
struct Message<'a> {
    t: &'a str,
    #[serde(borrow)]
    p: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Ping {
    #[serde(default)]
    timestamp: u64,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    publications: Vec<Publication<'a>>,
}

#[derive(Deserialize)]
struct Publication<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
}

/// Reads a message as JSON. What to answer, if it is a question; an error if it is no message.
pub fn heard(text: &[u8]) -> Result<Option<String>, serde_json::Error> {
    let message: Message<'_> = serde_json::from_slice(text)?;
    if !message.t.eq_ignore_ascii_case("ping") {
        return Ok(None);
    }
    let said = message.p.map_or("{}", RawValue::get);
    let ping: Ping = serde_json::from_str(said)?;
    let timestamp = ping.timestamp;
    Ok(Some(format!(
        r#"{{"c":"WSE","t":"PONG","p":{{"client_timestamp":{timestamp}}},"v":1}}"#
    )))
}

/// Everybody who is connected.
#[derive(Default)]
pub struct Clients {
    next: Cell<u64>,
    all: RefCell<BTreeMap<u64, Sender<Bytes>>>,
}

impl Clients {
    /// A client's number, and where it finds the texts that it is to send.
    pub fn enter(&self) -> (u64, Sender<Bytes>, Receiver<Bytes>) {
        let (sender, receiver) = channel(WAITING);
        let number = self.next.get();
        self.next.set(number + 1);
        self.all.borrow_mut().insert(number, sender.clone());
        (number, sender, receiver)
    }

    pub fn leave(&self, number: u64) {
        self.all.borrow_mut().remove(&number);
    }

    async fn publish(&self, text: &str) {
        let text = Bytes::copy_from_slice(text.as_bytes());
        let all: Vec<_> = self.all.borrow().values().cloned().collect();
        for client in all {
            // Without waiting if there is room: the more is queued, the more goes out in one write.
            if let Err(TrySendError::Full(text)) = client.try_send(text.clone()) {
                // One that has just gone needs nothing any more.
                let _ = client.send(text).await;
            }
        }
    }
}

type Answer = Response<Full<Bytes>>;

/// Serves on a free port, and says which. `upgrade` answers a client's upgrade and has its connection
/// served.
pub async fn serve<F: Future<Output = Answer>>(
    upgrade: impl Fn(Request<Incoming>, Rc<Clients>) -> F + Copy + 'static,
) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{0} {0}", listener.local_addr()?);
    let clients = Rc::new(Clients::default());
    let accepting = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let clients = clients.clone();
            let respond = move |request: Request<Incoming>| {
                let clients = clients.clone();
                async move {
                    Ok::<_, Infallible>(match request.method().as_str() {
                        "POST" => publish(request, &clients).await,
                        _ => upgrade(request, clients).await,
                    })
                }
            };
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(respond));
            // Local: `with_upgrades` wants no thread, and there is one.
            tokio::task::spawn_local(connection.with_upgrades());
        }
    };
    LocalSet::new().run_until(accepting).await;
    Ok(())
}

async fn publish(request: Request<Incoming>, clients: &Clients) -> Answer {
    let Ok(body) = request.into_body().collect().await else {
        return refusal();
    };
    let body = body.to_bytes();
    let Ok(batch) = serde_json::from_slice::<Batch<'_>>(&body) else {
        return refusal();
    };
    for publication in &batch.publications {
        clients.publish(publication.message.get()).await;
    }
    Response::new(Full::from("{}"))
}

pub fn refusal() -> Answer {
    let mut refusal = Response::new(Full::default());
    *refusal.status_mut() = hyper::StatusCode::BAD_REQUEST;
    refusal
}
