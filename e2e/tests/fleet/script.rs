//! Runs a script of `e2e/python` in the environment that has the published client.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use wse_e2e::Error;

/// A running script, which prints JSON documents, one a line.
pub(crate) struct Script {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    pub(crate) fn start(name: &str, token: &str, arguments: &[&str]) -> Result<Self, Error> {
        let python = std::env::var_os("WSE_PYTHON").ok_or_else(|| {
            let how = "run the tests by `e2e/run test`, or name a Python 3.12 that has the packages of \
                       e2e/python/requirements.txt";
            Error::Process(format!("WSE_PYTHON is not set; {how}"))
        })?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("python")
            .join(name);
        let failed = |error| {
            let python = python.display();
            Error::Process(format!(
                "cannot run {name} with WSE_PYTHON={python}: {error}"
            ))
        };
        let mut child = Command::new(&python)
            .arg(script)
            .args(arguments)
            .env("WSE_TOKEN", token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take();
        let stdout = stdout.ok_or_else(|| Error::Process(format!("{name} has no stdout")))?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// The next document.
    pub(crate) async fn says(&mut self) -> Result<Value, Error> {
        let line = timeout(std::time::Duration::from_secs(180), self.lines.next_line());
        let line = line
            .await
            .map_err(|_| Error::Timeout("a line from the script".into()))?
            .map_err(|error| Error::Lost(error.to_string()))?;
        let Some(line) = line else {
            let status = self.child.wait().await;
            return Err(Error::Process(format!("the script ended: {status:?}")));
        };
        serde_json::from_str(&line).map_err(|error| Error::Protocol(format!("{error} in {line}")))
    }
}
