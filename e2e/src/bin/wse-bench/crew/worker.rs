//! One worker process.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::UnboundedSender;

use crate::report::Seen;
use crate::worker::plan::{Plan, Progress, Said};

pub(super) struct Worker {
    pub(super) child: Child,
    pub(super) orders: ChildStdin,
    pub(super) progress: Progress,
    pub(super) has_opened: bool,
    pub(super) seen: Option<Seen>,
}

impl Worker {
    pub(super) async fn start(
        number: usize,
        plan: &Plan,
        tell: UnboundedSender<(usize, Result<Said, String>)>,
    ) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start a worker: {error}");
        let me = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(me)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the parent, which asks for the figures then.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let orders = child.stdin.take().ok_or("a worker has no stdin")?;
        let words = child.stdout.take().ok_or("a worker has no stdout")?;
        tokio::spawn(listen(number, words, tell));
        let mut worker = Self {
            child,
            orders,
            progress: Progress::default(),
            has_opened: false,
            seen: None,
        };
        worker.say(plan).await?;
        Ok(worker)
    }

    pub(super) async fn say(&mut self, what: &impl serde::Serialize) -> Result<(), String> {
        let mut line = serde_json::to_vec(what).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let written = self.orders.write_all(&line).await;
        written.map_err(|error| format!("a worker does not listen: {error}"))
    }
}

/// Passes on what a worker says, until it has said what it saw.
async fn listen(
    number: usize,
    words: ChildStdout,
    tell: UnboundedSender<(usize, Result<Said, String>)>,
) {
    let mut words = BufReader::new(words).lines();
    loop {
        let said = match words.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line).map_err(|error| error.to_string()),
            Ok(None) => Err("a worker died".into()),
            Err(error) => Err(error.to_string()),
        };
        let is_last = matches!(said, Err(_) | Ok(Said::Seen(_) | Said::Failed(_)));
        if tell.send((number, said)).is_err() || is_last {
            return;
        }
    }
}
