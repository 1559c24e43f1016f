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
use super::scratch::Scratch;
use super::{Error, report, tried};

const PROGRAM: &str = "redis-server";
/// Longest wait for a start, in steps of [`STEP`].
const STEPS: u32 = 100;
const STEP: Duration = Duration::from_millis(100);

/// A running redis-server.
pub(super) struct Redis {
    program: PathBuf,
    address: SocketAddr,
    process: Process,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub(super) async fn start(scratch: &Scratch) -> Result<Self, Error> {
        let program = on_path(PROGRAM).ok_or(Error::NoRedis)?;
        let address = tried("cannot find a free port", free_address())?;
        let process = spawn(&program, address, scratch)?;
        let mut redis = Self {
            program,
            address,
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

    /// How to reach it.
    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Starts it again, on the same port, when it died. What it held is lost.
    pub(super) fn look(&mut self, scratch: &Scratch) -> Result<(), Error> {
        if let Some(status) = self.process.ended() {
            report::news(PROGRAM, &format!("ended with {status}; it starts again"));
            self.process = spawn(&self.program, self.address, scratch)?;
        }
        Ok(())
    }

    async fn answers(&self) -> bool {
        let ping = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(b"PING\r\n").await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            Ok::<_, io::Error>(&answer == b"+PONG")
        };
        matches!(timeout(STEP, ping).await, Ok(Ok(true)))
    }
}

fn spawn(program: &Path, address: SocketAddr, scratch: &Scratch) -> Result<Process, Error> {
    let path = scratch.log_file(PROGRAM);
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = tried(format!("cannot write {}", path.display()), log)?;
    let folder = scratch.path().to_string_lossy();
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let arguments = [
        ["--bind", &ip],
        ["--port", &port],
        ["--dir", &folder],
        ["--save", ""],
        ["--appendonly", "no"],
    ];
    let process = Process::start(program, arguments.as_flattened(), log);
    tried(format!("cannot start {}", program.display()), process)
}
