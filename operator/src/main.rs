//! The command line.

mod logs;
mod offline;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use wse_operator::local::{self, Options};
use wse_operator::{api, controller, sysctl, tier, verify};

/// Turns a WseCluster into a fleet of gateways.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the CustomResourceDefinition.
    Crd,
    /// Carry WseClusters out with Kubernetes: the cluster that this pod is in, or the one of the kubeconfig.
    Run(Run),
    /// Run the fleet of a file on this machine, until Ctrl-C.
    Up {
        /// YAML with one WseCluster and its Secrets; edits are followed.
        file: PathBuf,
        /// Number of gateways; several share a redis-server that is started for them. Left out: one.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
        replicas: Option<u32>,
        /// Let the number of gateways follow the load, as the file's `scaling` says, with the mode
        /// `Autoscale`; they share a redis-server that is started for them.
        #[arg(long, conflicts_with = "replicas")]
        autoscale: bool,
        /// Redis that the gateways share over instead, such as redis://127.0.0.1:6379; then there are
        /// as many as the file says, if --replicas does not.
        #[arg(long, value_name = "URL")]
        redis: Option<String>,
        /// Port that clients connect to, on 127.0.0.1. 0: a free one.
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// The gateway's executable, if it is not beside this one.
        #[arg(long)]
        sidecar: Option<PathBuf>,
    },
    /// Print what would be done for the fleet of a file, and do nothing.
    Plan {
        /// YAML with one WseCluster and its Secrets.
        file: PathBuf,
        /// JSON with the pods that there are; without it there are none. Such as
        /// {"pods": [{"name": "chat-0", "state": "Ready", "load": {"sessions": 12}}]}
        #[arg(long)]
        load: Option<PathBuf>,
        /// The file before an edit, which the pods were made from: says what the edit does to clients.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Print the eight load tiers, and what each asks of the kernel.
    Tiers,
    /// See that an installed operator works: it is ready, and a fleet made for this becomes so. Run by
    /// `helm test`.
    Verify {
        /// Namespace to make the fleet in.
        #[arg(long)]
        namespace: String,
        /// Where the operator answers, such as http://wse-operator.wse-system:8080.
        #[arg(long)]
        service: String,
        /// Seconds that all of it may take.
        #[arg(long, default_value_t = 120)]
        timeout: u64,
    },
}

#[derive(Args)]
struct Run {
    /// The gateway's image where a WseCluster names none.
    #[arg(long, env = "WSE_SIDECAR_IMAGE")]
    sidecar_image: String,
    /// Namespaces to serve, separated by commas. Left out: all.
    #[arg(long, env = "WSE_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Where `/live`, `/ready` and `/metrics` are served.
    #[arg(long, env = "WSE_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Namespace of the Lease that decides which process acts.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    lease_namespace: String,
    /// Name of the Lease.
    #[arg(long, default_value = "wse-operator")]
    lease_name: String,
    /// Name of this process among those that want the Lease.
    #[arg(long, env = "POD_NAME", default_value_t = format!("pid-{}", std::process::id()))]
    identity: String,
    /// Log filter, such as `info` or `info,wse_operator=debug`; JSON lines on standard error.
    #[arg(long, env = "WSE_LOG", default_value = "info")]
    log: String,
}

impl From<Run> for controller::Options {
    fn from(run: Run) -> Self {
        Self {
            sidecar_image: run.sidecar_image,
            // An empty variable is one empty name.
            namespaces: run
                .namespaces
                .into_iter()
                .filter(|it| !it.is_empty())
                .collect(),
            listen: run.listen,
            lease_namespace: run.lease_namespace,
            lease_name: run.lease_name,
            identity: run.identity,
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whether or not somebody can read it.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Crd => print!("{}", serde_saphyr::to_string(&api::crd())?),
        Command::Plan { file, load, from } => {
            print!(
                "{}",
                offline::plan(&file, load.as_deref(), from.as_deref())?
            );
        }
        Command::Run(options) => {
            logs::start(&options.log)?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            let run = controller::run(options.into());
            if let Err(error) = runtime.block_on(run) {
                tracing::error!(reason = error.reason(), "{error}");
                return Err(error.into());
            }
        }
        Command::Tiers => print!("{}\n{}", tier::table(), sysctl::table()),
        Command::Verify {
            namespace,
            service,
            timeout,
        } => {
            let options = verify::Options {
                namespace,
                service,
                timeout: Duration::from_secs(timeout),
            };
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build()?;
            println!("{}", runtime.block_on(verify::verify(&options))?);
        }
        Command::Up {
            file,
            replicas,
            autoscale,
            redis,
            port,
            sidecar,
        } => {
            let options = Options {
                file,
                replicas,
                autoscale,
                redis,
                port,
                sidecar,
            };
            // One thread: children are signalled once for each of their parent's threads that a SIGKILL
            // ends, and a gateway that is told twice to end does so without draining.
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build()?.block_on(local::up(options))?;
        }
    }
    Ok(())
}
