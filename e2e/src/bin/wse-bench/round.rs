//! One round: a crew from its first connection to its last.

use std::time::Duration;

use tokio::time::sleep;

use crate::crew::{Crew, Job};
use crate::interrupt::Interrupt;
use crate::progress::Bar;
use crate::report::Report;
use crate::server::{Did, Server};
use crate::worker::plan::Work;

/// Who watches a round, and who may end it.
#[derive(Debug)]
pub(crate) struct Conductor<'a> {
    pub(crate) server: &'a Server,
    pub(crate) interrupt: &'a Interrupt,
}

impl Conductor<'_> {
    /// What a crew saw, and what the server says that it did meanwhile. Work that has no end of its own
    /// takes so many seconds.
    ///
    /// # Errors
    /// When a worker cannot be started, or died.
    pub(crate) async fn round(
        &self,
        job: &Job,
        seconds: f64,
        bar: &Bar,
    ) -> Result<(Report, Option<Vec<Did>>), String> {
        let mut interrupt = self.interrupt.clone();
        let mut before = self.server.read().await;
        let mut crew = Crew::start(job).await?.watched(bar.watch());
        let mut each = 0;
        let opened = tokio::select! {
            opened = crew.opened() => Some(opened?),
            () = interrupt.come() => None,
        };
        if opened.is_some() {
            // Handshakes are the work of those that hold; they are not that of the others.
            if !matches!(
                job.work,
                Work::Hold { .. } | Work::Reconnect | Work::Storms(_)
            ) {
                before = self.server.read().await;
            }
            bar.begin();
            tokio::select! {
                done = wait(&mut crew, seconds, &job.work) => each = done?,
                () = interrupt.come() => {}
            }
        }
        let report = crew.finish(each).await?;
        bar.end();
        let did = self.server.did_since(before).await;
        Ok((report, did))
    }
}

/// Waits until the work is done: how many messages each connection should have had.
async fn wait(crew: &mut Crew, seconds: f64, work: &Work) -> Result<u64, String> {
    let time = Duration::from_secs_f64(seconds);
    match work {
        Work::Hold { .. } | Work::Ramp { .. } => {}
        Work::Turns(_) | Work::Reconnect | Work::Storms(_) | Work::Flood(_) => {
            crew.begin().await?;
            return crew.done().await.map(|()| 0);
        }
        Work::Fan(fan) => {
            crew.begin().await?;
            if fan.publisher.is_some() {
                return crew.published().await;
            }
        }
    }
    tokio::select! {
        failed = crew.attend() => failed?,
        () = sleep(time) => {}
    }
    Ok(0)
}
