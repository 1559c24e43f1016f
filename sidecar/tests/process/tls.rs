//! A gateway whose public port speaks TLS.

use std::process::Command;
use std::sync::Arc;

use http::Method;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::gateway::{Client, Directory, Gateway};

const APPLIED: &str = "wse_config_reloads_total{outcome=\"applied\"}";
const REFUSED: &str = "wse_config_reloads_total{outcome=\"refused\"}";

/// A certificate that signs itself, in PEM, and a client that trusts nothing else.
struct Issued {
    chain: String,
    key: String,
    trust: TlsConnector,
}

fn issue() -> Issued {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(cert.der().to_vec()))
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Issued {
        chain: cert.pem(),
        key: signing_key.serialize_pem(),
        trust: Arc::new(config).into(),
    }
}

async fn start(directory: &Directory, issued: &Issued) -> Gateway {
    let tls = json!({
        "certificateFile": directory.file("tls.crt", &issued.chain),
        "keyFile": directory.file("tls.key", &issued.key),
    });
    Gateway::start(move |config| config["listen"]["tls"] = tls).await
}

/// A client that trusts one certificate alone; None when the gateway presents another.
async fn connect(gateway: &Gateway, issued: &Issued) -> Option<Client> {
    let stream = TcpStream::connect(gateway.public()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let secured = issued.trust.connect(name, stream).await.ok()?;
    Some(gateway.client_over(secured, "ann").await.unwrap())
}

#[tokio::test]
async fn a_new_certificate_comes_into_force_without_a_restart() {
    let directory = Directory::new();
    let (old, new) = (issue(), issue());
    let mut gateway = start(&directory, &old).await;
    let mut client = connect(&gateway, &old).await.unwrap();
    client.subscribe("chat.a").await;
    assert!(gateway.try_client("ann").await.is_err(), "plain HTTP");
    let tls = "wse_handshakes_total{outcome=\"tls\"}";
    gateway.wait_metric(tls, 1.0).await;

    // Between the two files they do not fit, and a reload in that moment is refused.
    directory.file("tls.crt", &new.chain);
    gateway.wait_metric(REFUSED, 1.0).await;
    assert!(connect(&gateway, &old).await.is_some());
    let log = gateway.log();
    assert!(log.contains("listen.tls: the key in"), "{log}");
    directory.file("tls.key", &new.key);
    gateway.wait_metric(APPLIED, 1.0).await;
    assert!(connect(&gateway, &old).await.is_none());
    assert!(connect(&gateway, &new).await.is_some());

    directory.file("tls.crt", "no certificate");
    gateway.wait_metric(REFUSED, 2.0).await;
    let mut later = connect(&gateway, &new).await.unwrap();
    later.subscribe("chat.a").await;
    let body = json!({"topic": "chat.a", "message": {"t": "note"}}).to_string();
    gateway.api(Method::POST, "/publish", &body).await;
    for client in [&mut client, &mut later] {
        client.receive("note").await;
    }

    gateway.signal(Signal::TERM);
    for client in [&mut client, &mut later] {
        assert_eq!(client.closed().await.0, 4300);
    }
    assert!(gateway.exit().await.success());
}

#[tokio::test]
async fn other_files_come_into_force_and_tls_itself_needs_a_restart() {
    let directory = Directory::new();
    let (old, new) = (issue(), issue());
    let gateway = start(&directory, &old).await;
    let mut next = gateway.config.clone();
    next["listen"]["tls"] = json!({
        "certificateFile": directory.file("next.crt", &new.chain),
        "keyFile": directory.file("next.key", &new.key),
    });
    gateway.write_config(&next.to_string());
    gateway.wait_metric(APPLIED, 1.0).await;
    assert!(connect(&gateway, &new).await.is_some());
    assert!(!gateway.log().contains("needs a restart"));
    next["listen"]["tls"].take();
    gateway.write_config(&next.to_string());
    gateway.wait_metric(APPLIED, 2.0).await;
    assert!(connect(&gateway, &new).await.is_some());
    assert!(gateway.log().contains("needs a restart"));
}

#[test]
fn check_tells_what_is_wrong_with_a_certificate() {
    let directory = Directory::new();
    let (mine, other) = (issue(), issue());
    for (chain, key, fine, told) in [
        (&mine.chain, &mine.key, true, "fine"),
        (&mine.chain, &other.key, false, "is not that of"),
        (&mine.key, &mine.key, false, "no certificate"),
        (&mine.chain, &mine.chain, false, "no private key"),
    ] {
        let config = json!({
            "version": 1,
            "auth": {"mode": "None"},
            "listen": {"tls": {
                "certificateFile": directory.file("tls.crt", chain),
                "keyFile": directory.file("tls.key", key),
            }},
        });
        let run = Command::new(env!("CARGO_BIN_EXE_wse-sidecar"))
            .args(["check", "--config"])
            .arg(directory.file("config.json", &config.to_string()))
            .output()
            .unwrap();
        let text = String::from_utf8([run.stdout, run.stderr].concat()).unwrap();
        assert_eq!(run.status.success(), fine, "{text}");
        assert!(text.contains(told), "{text}");
    }
}
