//! A fleet that `wse-operator up` runs.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::sleep;

use super::gateway::program;
use super::{Page, Scratch, Shown, Signal, signal};
use crate::Error;
use crate::api::Api;

/// How long it may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The fleet's file.
const FILE: &str = "fleet.yaml";

/// A running `wse-operator up`. Dropping it kills it, and with it all that it started.
#[derive(Debug)]
pub struct Up {
    child: Child,
    dir: Scratch,
    /// Where clients connect.
    pub url: String,
    page: Page,
}

impl Up {
    /// Runs the fleet of a file with this text, on a free port, and waits until it is ready.
    ///
    /// # Errors
    /// [`Error::Process`] with what it said when it ends before.
    pub async fn start(text: &str, options: &[&str]) -> Result<Self, Error> {
        let dir = Scratch::new("up")?;
        let file = dir.write(FILE, text)?;
        let program = program("wse-operator")?;
        let failed = |error| Error::Process(format!("cannot start {}: {error}", program.display()));
        let log = File::create(dir.path().join("log")).map_err(failed)?;
        let child = Command::new(&program)
            .arg("up")
            .arg(file)
            .args(["--port", "0"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let mut up = Self {
            child,
            dir,
            url: String::new(),
            page: Page::new(""),
        };
        for _ in 0..PATIENCE.as_secs() * 10 {
            let said = up.said();
            if said.contains("Ctrl-C drains") {
                let word = |label| {
                    let line = said.lines().find_map(|it| it.trim().strip_prefix(label));
                    line.map(|rest| rest.trim().to_owned())
                };
                up.url = word("WebSocket").unwrap_or_default();
                up.page = Page::new(&word("Page").unwrap_or_default());
                return Ok(up);
            }
            if let Some(status) = up.status()? {
                return Err(Error::Process(format!("`up` ended with {status}:\n{said}")));
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err(Error::Timeout(format!("`up` to be ready:\n{}", up.said())))
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Changes the file to this text, which the run follows.
    ///
    /// # Errors
    /// [`Error::Process`] when it cannot be written.
    pub fn edit(&self, text: &str) -> Result<(), Error> {
        self.dir.write(FILE, text).map(drop)
    }

    /// Its page.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// What its page shows.
    ///
    /// # Errors
    /// As [`Page::shown`].
    pub async fn shown(&self) -> Result<Shown, Error> {
        self.page.shown().await
    }

    /// A backend that calls the gateway that the terminal named last.
    pub fn api(&self, key: &str) -> Api {
        let said = self.said();
        let before = said
            .rsplit_once("/publish")
            .map_or("", |(before, _)| before);
        let base = before.rsplit(' ').next().unwrap_or_default();
        Api::new(base, key)
    }

    /// Ends it as Ctrl-C does, and waits for that.
    ///
    /// # Errors
    /// [`Error::Timeout`].
    pub async fn end(&mut self) -> Result<ExitStatus, Error> {
        signal(&self.child, Signal::TERM);
        for _ in 0..PATIENCE.as_secs() * 10 {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err(Error::Timeout(format!("`up` to end:\n{}", self.said())))
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child
            .try_wait()
            .map_err(|error| Error::Process(format!("cannot wait for `up`: {error}")))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("`up` said:\n{}", self.said());
        }
        // Gateways and the redis-server are told to end when it does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
