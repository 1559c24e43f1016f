//! One gateway process.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use hyper::Method;
use hyper::header::AUTHORIZATION;
use serde_json::Value;
use tokio::time::sleep;

use super::{Config, Scratch, Setup, Signal, signal};
use crate::Error;
use crate::api::Api;
use crate::http::Http;
use crate::metrics::Metrics;
use crate::process::memory_bytes;

/// How long a gateway may take to start, or to end beyond what its configuration says.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `wse-sidecar`. Dropping it kills it.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    dir: Scratch,
    config: Config,
    api_key: String,
    admin_token: String,
    http: Http,
}

/// What the admin port answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Gateway {
    /// Starts a gateway and waits until it is ready.
    ///
    /// # Errors
    /// [`Error::Process`] with the end of its log when it ends or does not become ready.
    pub async fn start(setup: &Setup, config: Config) -> Result<Self, Error> {
        let mut gateway = Self::launch(setup, config)?;
        gateway.until_ready().await?;
        Ok(gateway)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("ws://{}/wse", self.config.listen.public)
    }

    /// A backend that calls this gateway.
    pub fn api(&self) -> Api {
        Api::new(&format!("http://{}", self.config.listen.api), &self.api_key)
    }

    /// What it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Gives it another configuration file; it notices by itself.
    ///
    /// # Errors
    /// [`Error::Process`] when the file cannot be written.
    pub fn configure(&mut self, config: Config) -> Result<(), Error> {
        write(&self.dir, &config)?;
        self.config = config;
        Ok(())
    }

    /// What `GET` on the admin port answers, whatever the status.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn admin(&self, path: &str) -> Result<Answer, Error> {
        self.ask(Method::GET, path, None).await
    }

    /// Begins a drain that does not end the process (`POST /drain`).
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn drain(&self) -> Result<Answer, Error> {
        self.ask(Method::POST, "/drain", Some(&self.admin_token))
            .await
    }

    /// Takes the drain back (`DELETE /drain`).
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn undrain(&self) -> Result<Answer, Error> {
        self.ask(Method::DELETE, "/drain", Some(&self.admin_token))
            .await
    }

    /// Its metrics.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn metrics(&self) -> Result<Metrics, Error> {
        Ok(Metrics::parse(&self.admin("/metrics").await?.body))
    }

    /// Its load, as the operator sees it.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Protocol`] when it is not JSON.
    pub async fn load(&self) -> Result<Value, Error> {
        let body = self.admin("/load").await?.body;
        serde_json::from_str(&body)
            .map_err(|error| Error::Protocol(format!("GET /load answered {body}: {error}")))
    }

    /// The most memory that it ever held, in bytes (VmHWM of proc(5)).
    ///
    /// # Errors
    /// [`Error::Process`] when the process is gone.
    pub fn peak_memory_bytes(&self) -> Result<u64, Error> {
        memory_bytes(self.child.id(), "VmHWM")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end: drain first (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }

    /// Waits until it has ended, at most as long as its own drain may take and a minute.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Process`].
    pub async fn ended(&mut self) -> Result<ExitStatus, Error> {
        let drain = &self.config.drain;
        let allowed = u64::from(drain.wait_seconds + drain.deadline_seconds);
        for _ in 0..(PATIENCE.as_secs() + allowed) * 20 {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(Error::Timeout("the gateway's end".into()))
    }

    fn launch(setup: &Setup, config: Config) -> Result<Self, Error> {
        let dir = Scratch::new(&format!("gateway-{}", config.node))?;
        let file = write(&dir, &config)?;
        let program = program("wse-sidecar")?;
        let failed = |error| Error::Process(format!("cannot start {}: {error}", program.display()));
        let log = File::create(dir.path().join("log")).map_err(failed)?;
        let child = Command::new(&program)
            .arg("--config")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            child,
            dir,
            config,
            api_key: setup.api_key().to_owned(),
            admin_token: setup.admin_token().to_owned(),
            http: Http::new(),
        })
    }

    async fn until_ready(&mut self) -> Result<(), Error> {
        for _ in 0..PATIENCE.as_secs() * 20 {
            if let Some(status) = self.status()? {
                return Err(self.blame(&format!("ended with {status} before it was ready")));
            }
            if self
                .admin("/ready")
                .await
                .is_ok_and(|answer| answer.status == 200)
            {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(self.blame("did not become ready"))
    }

    async fn ask(&self, method: Method, path: &str, bearer: Option<&str>) -> Result<Answer, Error> {
        let url = format!("http://{}{path}", self.config.listen.admin);
        let bearer = bearer.map(|token| (AUTHORIZATION, format!("Bearer {token}")));
        let answer = self.http.ask(method, &url, bearer.as_ref(), None).await?;
        Ok(Answer {
            status: answer.status,
            body: answer.body,
        })
    }

    fn status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child
            .try_wait()
            .map_err(|error| Error::Process(format!("cannot wait for the gateway: {error}")))
    }

    fn blame(&self, what: &str) -> Error {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        Error::Process(format!("gateway {} {what}:\n{end}", self.config.node))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the log of gateway {} is in {}",
                self.config.node,
                self.dir.path().display()
            );
        }
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(dir: &Scratch, config: &Config) -> Result<PathBuf, Error> {
    let text = serde_json::to_string_pretty(config)
        .map_err(|error| Error::Process(format!("the configuration cannot be written: {error}")))?;
    dir.write("config.json", &text)
}

/// Tests run from `target/<profile>/deps`, binaries from `target/<profile>`.
pub(super) fn program(name: &str) -> Result<PathBuf, Error> {
    let me = std::env::current_exe()
        .map_err(|error| Error::Process(format!("cannot find this executable: {error}")))?;
    let mut folders = me.ancestors().skip(1).take(2);
    folders
        .find_map(|folder| {
            let program = folder.join(name);
            program.is_file().then_some(program)
        })
        .ok_or_else(|| {
            let why = format!("there is no {name} beside this executable");
            Error::Process(format!("{why}: cargo build --workspace --bins"))
        })
}
