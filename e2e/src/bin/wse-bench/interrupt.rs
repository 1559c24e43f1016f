//! Ctrl-C and SIGTERM: the first ends what is under way and asks for the report so far.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit code of a run that was ended early, which the help tells.
pub(crate) const INTERRUPTED: u8 = 130;

#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on. The second one ends the process at once.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub(crate) fn listen() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot listen to signals: {error}");
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if tell.send_replace(true) {
                    // The workers end when their orders do.
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
        Ok(Self(told))
    }

    /// Whether it has come.
    pub(crate) fn has_come(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for it.
    pub(crate) async fn come(&mut self) {
        if self.0.wait_for(|has_come| *has_come).await.is_err() {
            // Nobody listens any more: it does not come.
            std::future::pending::<()>().await;
        }
    }
}
