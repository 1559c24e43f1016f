//! A fleet of `wse-operator up` whose gateways speak TLS.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};
use wse_e2e::fleet::Up;
use wse_e2e::token::Claims;

use crate::Outcome;

const API_KEY: &str = "an-api-key-of-this-test";
const SECRET: &str = "a-secret-of-this-test-alone-32-bytes-long";

fn fleet(chain: &str, key: &str) -> String {
    let documents = [
        json!({
            "apiVersion": "wse.dev/v1alpha1",
            "kind": "WseCluster",
            "metadata": {"name": "secured"},
            "spec": {
                "capacity": {"tier": "Minimal"},
                "drain": {"windowSeconds": 1, "deadlineSeconds": 10},
                "auth": {
                    "keys": [{"algorithm": "HS256", "secretKeyRef": {"name": "jwt", "key": "secret"}}],
                    "issuers": ["test"],
                    "audiences": ["test"],
                },
                "api": {"keys": [{"secretKeyRef": {"name": "api", "key": "key"}}]},
                "tls": {"secretName": "secured-tls"},
            },
        }),
        secret("jwt", &json!({"secret": SECRET})),
        secret("api", &json!({"key": API_KEY})),
        secret("secured-tls", &json!({"tls.crt": chain, "tls.key": key})),
    ];
    documents
        .map(|document| document.to_string())
        .join("\n---\n")
}

fn secret(name: &str, entries: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": entries,
    })
}

type Client = WebSocketStream<TlsStream<TcpStream>>;

async fn next(client: &mut Client, kind: &str) -> Value {
    while let Some(message) = client.next().await {
        if let Message::Text(text) = message.expect("the session goes on") {
            let value: Value = serde_json::from_str(&text).expect("messages are JSON");
            if value["t"] == kind {
                return value;
            }
        }
    }
    panic!("no {kind} came");
}

#[tokio::test]
async fn clients_and_backends_meet_over_tls() -> Outcome {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let text = fleet(&cert.pem(), &signing_key.serialize_pem());
    let mut up = Up::start(&text, &[]).await?;
    let address = up
        .url
        .strip_prefix("wss://")
        .expect("it says that it is TLS");
    let address = address.trim_end_matches("/wse").to_owned();

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(&address).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.expect("TLS");
    let mut request = up.url.as_str().into_client_request().expect("a request");
    let token = Claims::new("ada", "test", "test").allow(&["chat.*"]);
    let bearer = format!("Bearer {}", token.sign(SECRET.as_bytes()));
    request
        .headers_mut()
        .insert("authorization", bearer.parse().expect("a header"));
    let (mut client, _) = client_async(request, stream).await.expect("a session");
    next(&mut client, "server_ready").await;

    let payload = json!({"action": "subscribe", "topics": ["chat.a"]});
    let subscribe = json!({"c": "WSE", "t": "subscription_update", "p": payload});
    let message = Message::text(subscribe.to_string());
    client.send(message).await.expect("the session goes on");
    let ack = next(&mut client, "subscription_update").await;
    assert_eq!(ack["p"]["success"], true, "{ack}");
    let note = json!({"t": "note", "p": {"n": 1}});
    up.api(API_KEY).publish("chat.a", &note, None).await?;
    assert_eq!(next(&mut client, "note").await["p"]["n"], 1);

    // A drain: told to come back, and the connection ends in order.
    let (ended, last) = tokio::join!(up.end(), async {
        let mut last = None;
        while let Some(message) = client.next().await {
            if let Message::Close(frame) = message.expect("it ends in order") {
                last = frame.map(|frame| u16::from(frame.code));
            }
        }
        last
    });
    assert!(ended?.success(), "{}", up.said());
    assert_eq!(last, Some(4300));
    Ok(())
}
