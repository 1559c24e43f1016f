//! Who acts: the one that holds the Lease. The others watch, and so know everything when it is theirs.

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Error;

/// Seconds after its last renewal that a Lease is free for others.
const DURATION_SECONDS: u64 = 15;
/// Seconds before that in which it is renewed.
const GRACE_SECONDS: u64 = 5;

/// The race for the Lease.
pub(super) struct Lease {
    held: watch::Receiver<bool>,
    race: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Lease {
    /// Enters it.
    ///
    /// # Errors
    /// When the Lease cannot be read or made.
    pub(super) async fn enter(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
    ) -> Result<Self, Error> {
        let manager = LeaseManagerBuilder::new(client, name)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_field_manager(format!("wse-operator-{identity}"))
            .with_duration(DURATION_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
            .map_err(|error| Error::Lease(error.to_string()))?;
        let (held, race) = manager.watch().await;
        Ok(Self { held, race })
    }

    /// Waits until it is held.
    pub(super) async fn won(&mut self) -> Result<(), Error> {
        let won = self.held.wait_for(|held| *held).await;
        won.map(|_| ())
            .map_err(|_| Error::Ended("the race for the Lease"))
    }

    /// Waits until it is lost, which should never happen.
    pub(super) async fn lost(&mut self) -> Error {
        match self.held.wait_for(|held| !*held).await {
            Ok(_) => {
                Error::LeaseLost("another process holds it, or it was not renewed in time".into())
            }
            Err(_) => Error::Ended("the race for the Lease"),
        }
    }

    /// Gives it back, so that the next need not wait until it has run out.
    pub(super) async fn leave(self) {
        drop(self.held);
        match self.race.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not given back"),
            Err(error) => tracing::warn!(%error, "the race for the Lease ended badly"),
        }
    }
}
