//! One server as a process.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use wse_e2e::fleet::config::{Config, Limits};
use wse_e2e::fleet::{Gateway, Setup};
use wse_e2e::token::Claims;

use super::catalogue::TOPIC;

/// A server is there after this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// What wse-server's own benchmark has its tokens signed with, and their issuer and audience.
const SECRET: &str = "bench-secret-key-for-testing-only";
const NAME: &str = "wse-bench";

/// A server that takes clients. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Running {
    /// Where clients connect, and where the backend calls.
    pub(super) clients: SocketAddr,
    pub(super) backend: SocketAddr,
    pub(super) api_key: String,
    pub(super) token: String,
    pub(super) pid: u32,
    _process: Process,
}

/// What is killed when it is dropped.
#[derive(Debug)]
enum Process {
    Adapter(#[expect(dead_code, reason = "held")] Child),
    Gateway(#[expect(dead_code, reason = "held")] Box<(Gateway, Setup)>),
}

impl Running {
    /// Starts an adapter, with what it says in a file.
    ///
    /// # Errors
    /// When it does not say where it is.
    pub(super) async fn adapter(command: &[PathBuf], log: &Path) -> Result<Self, String> {
        let (program, arguments) = command.split_first().ok_or("no program")?;
        let failed = |error: std::io::Error| format!("cannot start {}: {error}", program.display());
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log).map_err(failed)?)
            // Ctrl-C is for the report.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let said = child.stdout.take().ok_or("it has no stdout")?;
        let mut said = BufReader::new(said).lines();
        let line = timeout(PATIENCE, said.next_line()).await;
        let line = line.ok().and_then(Result::ok).flatten().unwrap_or_default();
        let addresses = line.split_once(' ');
        let addresses = addresses.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let (clients, backend) = addresses
            .ok_or_else(|| format!("it does not say where it is, see {}", log.display()))?;
        Ok(Self {
            clients,
            backend,
            api_key: String::new(),
            token: Claims::new("bench-user", NAME, NAME).sign(SECRET.as_bytes()),
            pid: child.id().ok_or("it has ended")?,
            _process: Process::Adapter(child),
        })
    }

    /// Starts the gateway that is beside this program, with one event loop, since it has one processor,
    /// and no limit of what a client may send.
    ///
    /// # Errors
    /// When there is none, or it does not become ready.
    pub(super) async fn gateway() -> Result<Self, String> {
        let setup = Setup::new().map_err(|error| error.to_string())?;
        let config = setup.config("peers");
        let config = Config {
            reactors: 1,
            log: "warn".into(),
            limits: Limits {
                messages_per_second: 0,
                bytes_per_second: 0,
                ..Limits::default()
            },
            ..config
        };
        let gateway = Gateway::start(&setup, config).await;
        let gateway = gateway.map_err(|error| error.to_string())?;
        let listen = &gateway.config().listen;
        Ok(Self {
            clients: listen.public,
            backend: listen.api,
            api_key: setup.api_key().to_owned(),
            token: setup.token("bench-user", &[TOPIC]),
            pid: gateway.id(),
            _process: Process::Gateway(Box::new((gateway, setup))),
        })
    }
}
