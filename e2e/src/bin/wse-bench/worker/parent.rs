//! The parent, as a worker hears and tells it.

use std::io::{BufRead, Write};
use std::thread;

use serde::Deserialize;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::plan::{Order, Plan, Said};

/// Lines from stdin, which a thread reads: some workers have no runtime.
#[derive(Debug)]
pub(crate) struct Parent {
    lines: UnboundedReceiver<String>,
}

impl Parent {
    pub(crate) fn listen() -> Self {
        let (heard, lines) = unbounded_channel();
        thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if heard.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// # Errors
    /// When the parent is not one.
    pub(crate) fn plan(&mut self) -> Result<Plan, String> {
        parse(&self.lines.blocking_recv().ok_or("no plan came")?)
    }

    /// The next order. None: the parent is gone, and nobody waits for figures.
    ///
    /// # Errors
    /// As [`Parent::plan`].
    pub(crate) async fn order(&mut self) -> Result<Option<Order>, String> {
        self.lines.recv().await.map(|line| parse(&line)).transpose()
    }

    /// [`Parent::order`] without a runtime.
    ///
    /// # Errors
    /// As [`Parent::plan`].
    pub(crate) fn wait(&mut self) -> Result<Option<Order>, String> {
        let line = self.lines.blocking_recv();
        line.map(|line| parse(&line)).transpose()
    }

    /// What the parent has said meanwhile, if anything; that it is gone is a [`Order::Finish`].
    ///
    /// # Errors
    /// As [`Parent::plan`].
    pub(crate) fn glance(&mut self) -> Result<Option<Order>, String> {
        match self.lines.try_recv() {
            Ok(line) => parse(&line).map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Ok(Some(Order::Finish { messages_each: 0 })),
        }
    }
}

/// Tells the parent.
///
/// # Errors
/// When the parent is gone.
pub(crate) fn say(said: &Said) -> Result<(), String> {
    let line = serde_json::to_string(said).map_err(|error| error.to_string())?;
    writeln!(std::io::stdout(), "{line}").map_err(|_| "the parent is gone".into())
}

fn parse<T: for<'de> Deserialize<'de>>(line: &str) -> Result<T, String> {
    serde_json::from_str(line)
        .map_err(|error| format!("a worker is started by wse-bench itself: {error}"))
}
