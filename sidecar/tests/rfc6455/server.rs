//! The echo example as a child process. Each test has its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts one with this many reactors on a free port.
    pub(crate) fn start(reactors: usize) -> Self {
        // target/<profile>/deps/rfc6455-... has the example in target/<profile>/examples/.
        let test = env::current_exe().unwrap();
        let echo = test.ancestors().nth(2).unwrap().join("examples/echo");
        assert!(
            echo.exists(),
            "{} is missing: cargo build -p wse-sidecar --example echo",
            echo.display()
        );
        let mut child = Command::new(echo)
            .args(["127.0.0.1:0", &reactors.to_string()])
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
