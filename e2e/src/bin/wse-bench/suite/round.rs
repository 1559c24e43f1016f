//! One round of a test.

use super::figures::Figures;
use super::run::Suite;
use super::test::Test;
use crate::progress::Bar;
use crate::round::Conductor;
use crate::worker::plan::Work;

impl Suite<'_> {
    pub(super) async fn round(
        &self,
        test: Test,
        size: Option<usize>,
        tier: usize,
        work: Work,
    ) -> Result<Figures, String> {
        let job = self.job(test, tier, work)?;
        let seconds = self.seconds(test, &job.work);
        let bar = Bar::new(&test.name(), test.rate_of(), tier, seconds);
        let conductor = Conductor {
            server: &self.server,
            interrupt: &self.interrupt,
        };
        let (report, did) = conductor.round(&job, seconds, &bar).await?;
        Ok(Figures::new(test, size, report, did))
    }
}
