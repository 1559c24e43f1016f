//! A pod without its edge.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use prometheus::Registry;
use wse_sidecar::auth::{Grants, Identity, Refusal};
use wse_sidecar::backplane::{self, Backplane, NodeId};
use wse_sidecar::config::Config;
use wse_sidecar::edge::{Arrival, Reception};
use wse_sidecar::hub::{self, Fleet, Router};
use wse_sidecar::protocol::{self, Gateway};
use wse_sidecar::reactor::Socket;
use wse_sidecar::topic::{Pattern, Topic};
use wse_sidecar::wire::handshake;

/// A running pod; stops when it is dropped.
pub(crate) struct Pod {
    pub(crate) fleet: Fleet,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) address: SocketAddr,
    registry: Registry,
    stopping: Arc<AtomicBool>,
}

impl Pod {
    pub(crate) async fn start(config: &Config) -> Self {
        let registry = Registry::new();
        let node = NodeId::new("pod-1");
        let hub_metrics = hub::Metrics::new(&registry);
        let settings = Arc::new(hub::Settings::new(config).unwrap());
        let router = Router::new(node.clone(), settings, hub_metrics.clone());
        let sink = Arc::new(router.clone());
        let backplane_metrics = backplane::Metrics::new(&registry).unwrap();
        let joined = Backplane::join(
            &config.backplane,
            "test/chat",
            node,
            sink,
            backplane_metrics,
        );
        let backplane = joined.await.unwrap();
        let metrics = protocol::Metrics::new(&registry);
        let gateway = protocol::start(&router, 2, &hub_metrics, &metrics).unwrap();
        let gateway = Arc::new(gateway);
        let fleet = Fleet::new(router, backplane);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let (reception, stop) = (Arc::clone(&gateway), Arc::clone(&stopping));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                reception.receive(shake_hands(stream.unwrap()));
            }
        });
        Self {
            fleet,
            gateway,
            address,
            registry,
            stopping,
        }
    }

    /// Publishes a message of type `note` whose payload is a number.
    pub(crate) async fn publish(&self, topic: &str, number: u64) {
        self.send(Topic::parse(topic, 255).unwrap(), number).await;
    }

    /// As [`Pod::publish`], on reserved topics too.
    pub(crate) async fn send(&self, topic: Topic, number: u64) {
        let message = format!(r#"{{"t":"note","p":{number}}}"#);
        let envelope = protocol::envelope::prepare(&message, 64).unwrap();
        self.fleet.publish(topic, envelope, None).await.unwrap();
    }

    /// A counter's value, over all its labels that hold `label`.
    pub(crate) fn counter(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.into_iter().flat_map(|family| family.get_metric());
        metrics
            .filter(|metric| {
                label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
            })
            .map(|metric| metric.get_counter().get_value())
            .sum()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        self.gateway.stop();
    }
}

/// Answers the handshake. The query stands for the token: `user=NAME`, `deny=PATTERN`,
/// `lasts=SECONDS`; or `refused`.
fn shake_hands(mut stream: TcpStream) -> Arrival {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
            break;
        }
    }
    let read_ahead = Bytes::copy_from_slice(reader.buffer());
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let _ = parsed.parse(&head);
    let mut request = Request::builder().method(parsed.method.unwrap_or("GET"));
    for line in parsed.headers.iter() {
        request = request.header(line.name, line.value);
    }
    let response = handshake::respond(&request.body(()).unwrap(), None);
    let mut answer = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        answer += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    // A client that has gone meanwhile is found out by the reactor.
    let _ = stream.write_all((answer + "\r\n").as_bytes());
    stream.set_nonblocking(true).unwrap();
    stream.set_nodelay(true).unwrap();
    let path = parsed.path.unwrap_or("/");
    let query = path
        .split_once('?')
        .map_or("", |(_, query)| query)
        .to_owned();
    Arrival {
        remote: stream.local_addr().unwrap(),
        identity: identity(&query),
        socket: Socket {
            stream,
            tls: None,
            read_ahead,
            deflate: response.into_body(),
        },
        query,
    }
}

fn identity(query: &str) -> Result<Identity, Refusal> {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    if query == "refused" {
        return Err(Refusal::Failed("signature"));
    }
    let pattern = |text: &str| Pattern::parse(text, 255).unwrap();
    let deny = value("deny").map(pattern).into_iter().collect();
    let lasts = value("lasts").and_then(|seconds| seconds.parse().ok());
    Ok(Identity {
        user: value("user").unwrap_or("ada").into(),
        grants: Arc::new(Grants::new(vec![pattern("chat.*"), pattern("big")], deny)),
        expires_at: lasts
            .map(|seconds| std::time::SystemTime::now() + Duration::from_secs(seconds)),
    })
}
