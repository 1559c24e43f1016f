//! A redis-server for this run alone: on loopback, nothing kept on disk.

use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::process::{Process, free_address, on_path};
use super::scratch::{Scratch, random_text};
use super::{Error, report, tried};

const PROGRAM: &str = "redis-server";
/// Longest wait for a start, in steps of [`STEP`].
const STEPS: u32 = 100;
const STEP: Duration = Duration::from_millis(100);

/// A running redis-server.
pub(super) struct Redis {
    program: PathBuf,
    address: SocketAddr,
    password: String,
    process: Process,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub(super) async fn start(scratch: &Scratch) -> Result<Self, Error> {
        let program = on_path(PROGRAM).ok_or(Error::NoRedis)?;
        let address = tried("cannot find a free port", free_address())?;
        let password = random_text()?;
        // In a file of the owner's, because everybody on the machine can read a process's arguments.
        scratch.write_redis(&format!(
            "bind {}\nport {}\ndir \"{}\"\nsave \"\"\nappendonly no\nrequirepass {password}\n",
            address.ip(),
            address.port(),
            scratch.path().display(),
        ))?;
        let process = spawn(&program, scratch)?;
        let mut redis = Self {
            program,
            address,
            password,
            process,
        };
        for _ in 0..STEPS {
            if redis.answers().await {
                return Ok(redis);
            }
            if redis.process.ended().is_some() {
                break;
            }
            sleep(STEP).await;
        }
        let said = std::fs::read_to_string(scratch.log_file(PROGRAM)).unwrap_or_default();
        Err(Error::Redis(said))
    }

    /// How to reach it, password and all: not for the terminal.
    pub(super) fn url(&self) -> String {
        format!("redis://:{}@{}", self.password, self.address)
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Starts it again, on the same port, when it died. What it held is lost.
    pub(super) fn look(&mut self, scratch: &Scratch) -> Result<(), Error> {
        if let Some(status) = self.process.ended() {
            report::news(PROGRAM, &format!("ended with {status}; it starts again"));
            self.process = spawn(&self.program, scratch)?;
        }
        Ok(())
    }

    async fn answers(&self) -> bool {
        let ping = async {
            let mut stream = TcpStream::connect(self.address).await?;
            let ask = format!("AUTH {}\r\nPING\r\n", self.password);
            stream.write_all(ask.as_bytes()).await?;
            let mut answer = [0; 10];
            stream.read_exact(&mut answer).await?;
            Ok::<_, io::Error>(&answer == b"+OK\r\n+PONG")
        };
        matches!(timeout(STEP, ping).await, Ok(Ok(true)))
    }
}

fn spawn(program: &Path, scratch: &Scratch) -> Result<Process, Error> {
    let path = scratch.log_file(PROGRAM);
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = tried(format!("cannot write {}", path.display()), log)?;
    let process = Process::start(program, [scratch.redis_file()], log);
    tried(format!("cannot start {}", program.display()), process)
}
