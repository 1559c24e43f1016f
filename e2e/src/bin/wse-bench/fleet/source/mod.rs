//! Where a fleet is looked at: the page of `wse-operator up`, or Kubernetes. Out comes the same of both.

mod kubernetes;
mod local;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use self::kubernetes::Cluster;
use self::local::Local;
use super::Arguments;

/// A look that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum Source {
    Kubernetes(Box<Cluster>),
    Local(Local),
}

/// A fleet at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    /// None: the operator has not said yet.
    pub(super) tier: Option<String>,
    pub(super) desired: Option<u32>,
    pub(super) pods: Vec<Pod>,
}

#[derive(Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) state: State,
    /// Sessions in it, or why it does not say. One that does not run has no reason.
    pub(super) sessions: Result<u64, Option<String>>,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Its gateway does not run.
    Down,
    /// It is being emptied.
    Draining,
    /// It was told to end.
    Leaving,
    /// It takes clients.
    Ready,
    /// Its gateway runs and does not take clients yet.
    Starting,
}

impl Source {
    /// The one that the user names, if it is there and says all.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) async fn find(arguments: &Arguments) -> Result<Self, String> {
        let source = match (&arguments.cluster, &arguments.page) {
            (Some(name), _) => {
                let (config, context) = (&arguments.kubeconfig, &arguments.context);
                let cluster = Cluster::find(name, config.as_deref(), context.as_deref());
                Self::Kubernetes(Box::new(cluster.await?))
            }
            (None, Some(page)) => Self::Local(Local::new(page)?),
            (None, None) => return Err("there is no fleet: --page or --cluster names one".into()),
        };
        let seen = source.look().await?;
        if let Self::Kubernetes(cluster) = &source {
            cluster.may_ask(&seen)?;
        }
        Ok(source)
    }

    /// How the user calls it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Kubernetes(cluster) => cluster.name(),
            Self::Local(local) => local.name(),
        }
    }

    /// # Errors
    /// Why it does not show itself.
    pub(super) async fn look(&self) -> Result<Seen, String> {
        let look = async {
            match self {
                Self::Kubernetes(cluster) => cluster.look().await,
                Self::Local(local) => local.look().await,
            }
        };
        let seen = timeout(PATIENCE, look).await;
        let late = || format!("{} does not answer", self.name());
        seen.unwrap_or_else(|_| Err(late()))
    }
}

impl Seen {
    pub(super) fn count(&self, state: State) -> u32 {
        let pods = self.pods.iter().filter(|pod| pod.state == state);
        u32::try_from(pods.count()).unwrap_or(u32::MAX)
    }
}
