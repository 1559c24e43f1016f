//! One round of a test.

use std::time::Duration;

use tokio::time::sleep;

use super::figures::Figures;
use super::progress::Bar;
use super::run::Suite;
use super::test::Test;
use crate::crew::Crew;
use crate::worker::plan::Work;

impl Suite<'_> {
    /// One crew, from its first connection to its last.
    pub(super) async fn round(
        &self,
        test: Test,
        size: Option<usize>,
        tier: usize,
        work: Work,
    ) -> Result<Figures, String> {
        let job = self.job(test, tier, work);
        let mut interrupt = self.interrupt.clone();
        let bar = Bar::new(test, tier, self.seconds(test, &job.work));
        let mut before = self.server.read().await;
        let mut crew = Crew::start(&job).await?.watched(bar.watch());
        let mut each = 0;
        let opened = tokio::select! {
            opened = crew.opened() => Some(opened?),
            () = interrupt.come() => None,
        };
        if opened.is_some() {
            // Handshakes are the work of those that hold; they are not that of the others.
            if !matches!(job.work, Work::Hold { .. } | Work::Reconnect) {
                before = self.server.read().await;
            }
            bar.begin();
            tokio::select! {
                done = self.wait(&mut crew, test, &job.work) => each = done?,
                () = interrupt.come() => {}
            }
        }
        let report = crew.finish(each).await?;
        bar.end();
        let did = self.server.did_since(before).await;
        Ok(Figures::new(test, size, report, did))
    }

    /// Waits until the work is done: how many messages each connection should have had.
    async fn wait(&self, crew: &mut Crew, test: Test, work: &Work) -> Result<u64, String> {
        let time = Duration::from_secs_f64(self.seconds(test, work));
        match work {
            Work::Hold { .. } => {
                tokio::select! {
                    failed = crew.attend() => failed?,
                    () = sleep(time) => {}
                }
                Ok(0)
            }
            Work::Turns(_) | Work::Reconnect | Work::Flood { .. } => {
                crew.begin().await?;
                crew.done().await.map(|()| 0)
            }
            Work::Fan(fan) => {
                crew.begin().await?;
                if fan.publisher.is_some() {
                    return crew.published().await;
                }
                tokio::select! {
                    failed = crew.attend() => failed?,
                    () = sleep(time) => {}
                }
                Ok(0)
            }
        }
    }
}
