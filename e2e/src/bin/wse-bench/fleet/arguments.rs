//! What the user says about a fleet.

use std::path::PathBuf;

use clap::Args;
use wse_e2e::api::Api;
use wse_e2e::fleet::Page;

use crate::ramp::Stage;

/// Of `wse-bench fleet`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A fleet of this machine: the address of its page, as `wse-operator up` prints it.
    #[arg(long, value_name = "URL", required_unless_present = "cluster")]
    pub(super) page: Option<String>,
    /// A WseCluster. Without a namespace it is in that of the context.
    #[arg(long, value_name = "[NAMESPACE/]NAME", conflicts_with = "page")]
    pub(super) cluster: Option<String>,
    /// How to reach Kubernetes. Left out: as kubectl, by KUBECONFIG or ~/.kube/config; in a pod, by its
    /// service account.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig. Left out: the current one.
    #[arg(long, value_name = "NAME", requires = "cluster")]
    pub(super) context: Option<String>,
    /// Within TIME the connections become so many, in a straight line from those before; the first stage
    /// begins with none. The same number again holds them. Stages follow one another, by commas or by
    /// repeating the option.
    #[arg(
        long = "stage",
        value_name = "TIME:CONNECTIONS",
        value_delimiter = ',',
        default_value = "30s:1000,1m:1000,30s:100,1m:100"
    )]
    pub(super) stages: Vec<Stage>,
    /// Handshakes under way at once in each worker.
    #[arg(long, default_value_t = 256)]
    pub(super) concurrency: usize,
    /// Worker processes. 0: as few as their open-file limit allows.
    #[arg(long, default_value_t = 0)]
    pub(super) workers: usize,
    /// Seconds between the pings of one connection. 0: none.
    #[arg(long, default_value_t = 5)]
    pub(super) ping_seconds: u64,
    /// Topic or pattern that every connection subscribes to; may be repeated.
    #[arg(long = "topic")]
    pub(super) topics: Vec<String>,
    /// Numbered messages a second that are published meanwhile, on all topics by turns, one call at a
    /// time and each until it is taken: what connections do not get of them is counted. They go through
    /// `--api`, or else through `--page`.
    #[arg(long, requires = "topics")]
    pub(super) messages_per_second: Option<f64>,
    /// Bytes of text in each message.
    #[arg(long, default_value_t = 128)]
    pub(super) size: usize,
    /// The backends' API of the fleet, such as http://127.0.0.1:8081.
    #[arg(long, requires = "api_key")]
    pub(super) api: Option<String>,
    /// A key of that API.
    #[arg(long, env = "WSE_API_KEY", hide_env_values = true)]
    pub(super) api_key: Option<String>,
}

impl Arguments {
    /// What is published through.
    ///
    /// # Errors
    /// When it is not said.
    pub(super) fn backend(&self) -> Result<Api, String> {
        match (&self.api, &self.api_key, &self.page) {
            (Some(api), Some(key), _) => Ok(Api::new(api, key)),
            (_, _, Some(page)) => Ok(Page::new(page).api()),
            _ => Err("--messages-per-second needs --api and --api-key".into()),
        }
    }
}
