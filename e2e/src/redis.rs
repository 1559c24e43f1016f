//! A redis-server of one's own, which can be killed, started again on its port, and frozen.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::fleet::{Scratch, signal};
use crate::{Error, ports};

/// What survives a kill.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keeps {
    /// Everything that was answered: the log is on disk before the answer leaves.
    Everything,
    /// Nothing.
    Nothing,
}

/// A redis-server on 127.0.0.1. Dropping it kills it and removes its files.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    keeps: Keeps,
    dir: Scratch,
    child: Option<Child>,
}

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// [`Error::Process`] when there is no redis-server or it does not come up.
    pub async fn start(keeps: Keeps) -> Result<Self, Error> {
        let mut redis = Self {
            port: ports::free(),
            keeps,
            dir: Scratch::new("redis")?,
            child: None,
        };
        redis.start_again().await?;
        Ok(redis)
    }

    /// Starts it again after [`Redis::kill`], on the same port.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_again(&mut self) -> Result<(), Error> {
        let dir: PathBuf = self.dir.path().to_owned();
        let log = dir.join("redis.log");
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--daemonize", "no"])
            .arg("--dir")
            .arg(&dir)
            .arg("--logfile")
            .arg(&log);
        if self.keeps == Keeps::Everything {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        let child = command.stdin(Stdio::null()).spawn().map_err(|error| {
            Error::Process(format!(
                "cannot start redis-server ({error}); apt-get install redis-server"
            ))
        })?;
        self.child = Some(child);
        for _ in 0..600 {
            if self.answers().await {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        Err(Error::Process(format!(
            "redis-server does not answer:\n{log}"
        )))
    }

    /// Kills it at once (SIGKILL). What it kept is there after [`Redis::start_again`].
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it where it is (SIGSTOP): connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// What a gateway is told.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn signal(&self, what: Signal) {
        if let Some(child) = &self.child {
            signal(child, what);
        }
    }

    /// Whether it serves: not while it reads its log back.
    async fn answers(&self) -> bool {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.write_all(b"PING\r\n").await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(&answer == b"+PONG")
        };
        matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
