//! The echo example as a child process. Each test has its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What its clients trust, when it speaks TLS.
    trusted: RootCertStore,
}

impl Server {
    /// Starts one with this many reactors on a free port.
    pub(crate) fn start(reactors: usize) -> Self {
        Self::start_with(&[&reactors.to_string()])
    }

    /// Starts one with one reactor that speaks TLS.
    pub(crate) fn start_with_tls() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = env::temp_dir().join(format!("wse-rfc6455-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&folder).unwrap();
        let (chain, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        fs::write(&chain, cert.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        let [chain, key] = [chain, key].map(|path| path.to_str().unwrap().to_owned());
        let mut server = Self::start_with(&["1", &chain, &key]);
        server.trusted.add(cert.der().clone()).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        server
    }

    /// A client's side of TLS with it, before the handshake.
    pub(crate) fn tls(&self, version: &'static SupportedProtocolVersion) -> ClientConnection {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.trusted.clone())
            .with_no_client_auth();
        let name = "localhost".try_into().unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    }

    /// Starts one with these arguments behind its address.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        // target/<profile>/deps/rfc6455-... has the example in target/<profile>/examples/.
        let test = env::current_exe().unwrap();
        let echo = test.ancestors().nth(2).unwrap().join("examples/echo");
        assert!(
            echo.exists(),
            "{} is missing: cargo build -p wse-sidecar --example echo",
            echo.display()
        );
        let mut child = Command::new(echo)
            .arg("127.0.0.1:0")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            address: line.trim().parse().unwrap(),
            trusted: RootCertStore::empty(),
        }
    }

    /// Memory that is the process's own, in bytes.
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("RssAnon:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
