//! The process: from its options to its end.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, future};
use kube::Client;
use kube::runtime::events::Reporter;
use kube::runtime::reflector::ObjectRef;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::caches::Caches;
use super::health::Health;
use super::lease::Lease;
use super::memory::Memories;
use super::metrics::Metrics;
use super::nodes::{self, Nodes};
use super::observe::Places;
use super::pass::{Context, Pass};
use super::prober::{Prober, QUESTIONS};
use super::queue::Queue;
use super::root::Root;
use super::{Error, names, serve, watches};
use crate::ask::Ask;

/// Clusters that are worked on at once: a pass waits for the API server, and for pods that are told
/// to drain. Few enough that renewing the Lease is not far behind in what the API server has to do.
const CONCURRENCY: usize = 16;
/// How long the first pass waits to know the nodes, which it can do without.
const NODES: Duration = Duration::from_secs(5);
/// How long giving the Lease back may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the controller is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway's image where a WseCluster names none.
    pub sidecar_image: String,
    /// Namespaces to serve. Empty: all.
    pub namespaces: Vec<String>,
    /// Where probes and metrics are served.
    pub listen: SocketAddr,
    /// Namespace of the Lease; the one the process runs in.
    pub lease_namespace: String,
    /// Name of the Lease.
    pub lease_name: String,
    /// Who this process is among those that want the Lease; its pod's name.
    pub identity: String,
}

/// Runs until a signal ends it.
///
/// # Errors
/// When it cannot start, or has lost the Lease: then the process must end, so that no write of it
/// comes late.
pub async fn run(options: Options) -> Result<(), Error> {
    let end = end()?;
    let client = Client::try_default()
        .await
        .map_err(|error| Error::Client(error.to_string()))?;
    let (health, metrics) = (Health::default(), Metrics::new());
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.map_err(|error| Error::Listen(options.listen, error))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(serve::serve(listener, health.clone(), metrics.clone()));

    let (nodes, of_nodes) = Nodes::new();
    let context = Arc::new(Context {
        reporter: reporter(&options),
        client: client.clone(),
        ask: Ask::new(),
        metrics,
        nodes,
        default_image: options.sidecar_image.clone(),
        admin_port: names::ADMIN_PORT,
    });
    let fleets = follow(&options, &context, &health, &mut tasks);
    let changed = {
        let fleets = fleets.clone();
        move || fleets.iter().for_each(|one| one.look_at_all())
    };
    tasks.spawn(nodes::follow(client.clone(), of_nodes, changed));
    tokio::select! {
        result = lead(&options, client, &context, fleets, end) => result,
        Some(_) = tasks.join_next() => Err(Error::Ended("a watch")),
    }
}

/// Resolves at the first signal to end.
fn end() -> Result<impl Future<Output = ()>, Error> {
    let listen = |kind| signal(kind).map_err(Error::Signal);
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ends");
    })
}

fn reporter(options: &Options) -> Reporter {
    Reporter {
        controller: names::MANAGER.into(),
        instance: Some(options.identity.clone()),
    }
}

/// One namespace's clusters, or those of all.
struct Fleets {
    /// The namespace, for metrics. Empty: all.
    place: String,
    caches: Caches,
    changes: watches::Changes,
    memories: Memories,
    prober: Prober,
    context: Arc<Context>,
}

impl Fleets {
    fn places(&self) -> Places {
        Places {
            caches: self.caches.clone(),
            admin_port: self.context.admin_port,
        }
    }

    /// Has a pass made over every cluster.
    fn look_at_all(&self) {
        for cluster in self.caches.all() {
            // Nobody hears it while this is the standby.
            let _ = self.changes.send(cluster);
        }
    }

    /// Counts the clusters, and forgets those that are gone.
    fn tidy(&self) {
        let Context { metrics, .. } = &*self.context;
        let count = self.caches.clusters.len();
        let clusters = metrics.clusters.with_label_values(&[&self.place]);
        clusters.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.memories.tidy(count, || self.caches.uids());
    }

    async fn first_round(&self) {
        self.prober.first_round(&self.places()).await;
    }

    /// Asks pods how they are, for ever.
    async fn ask(&self, questions: usize) {
        let Context { ask, metrics, .. } = &*self.context;
        let asked = &metrics.pod_questions;
        self.prober
            .run(&self.places(), ask, questions, &self.changes, asked)
            .await;
    }
}

fn follow(
    options: &Options,
    context: &Arc<Context>,
    health: &Health,
    tasks: &mut JoinSet<()>,
) -> Vec<Arc<Fleets>> {
    let places = match options.namespaces.as_slice() {
        [] => vec![None],
        some => some.iter().map(|it| Some(it.as_str())).collect(),
    };
    let follow = |place: Option<&str>| {
        let (caches, writers) = Caches::new();
        let changes = watches::changes();
        watches::start(&context.client, place, writers, &changes, health, tasks);
        Arc::new(Fleets {
            place: place.unwrap_or_default().into(),
            caches,
            changes,
            memories: Memories::default(),
            prober: Prober::default(),
            context: context.clone(),
        })
    };
    places.into_iter().map(follow).collect()
}

/// Acts while it holds the Lease, until it is told to end.
async fn lead(
    options: &Options,
    client: Client,
    context: &Context,
    fleets: Vec<Arc<Fleets>>,
    end: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut end = pin!(end);
    let filled = future::join_all(fleets.iter().map(|one| one.caches.filled()));
    tokio::select! {
        () = &mut end => return Ok(()),
        filled = filled => if filled.contains(&false) {
            return Err(Error::Ended("a watch"));
        },
    }
    tokio::select! {
        () = &mut end => return Ok(()),
        _ = tokio::time::timeout(NODES, context.nodes.answered()) => {}
    }
    let (namespace, name) = (&options.lease_namespace, &options.lease_name);
    let mut lease = tokio::select! {
        () = &mut end => return Ok(()),
        lease = Lease::enter(client, namespace, name, &options.identity) => lease,
    };
    tracing::info!(
        lease = format!("{namespace}/{name}"),
        identity = options.identity,
        "waits for the lease"
    );
    let work = async {
        lease.won().await?;
        tracing::info!("leads");
        context.metrics.leads.set(1);
        let questions = QUESTIONS.div_ceil(fleets.len());
        // Ends with this scope: whoever does not lead loads no pod.
        let mut questioners = JoinSet::new();
        for one in &fleets {
            let one = one.clone();
            questioners.spawn(async move { one.ask(questions).await });
        }
        let first = fleets.iter().map(|one| one.first_round());
        future::join_all(first).await;
        // In tasks of their own: a thousand passes in a row must not keep anybody from seeing that the
        // Lease is lost.
        let mut workers = JoinSet::new();
        for one in fleets {
            workers.spawn(passes(one));
        }
        tokio::select! {
            lost = lease.lost() => Err(lost),
            Some(_) = questioners.join_next() => Err(Error::Ended("asking pods")),
            Some(_) = workers.join_next() => Err(Error::Ended("the queue of passes")),
        }
    };
    tokio::select! {
        () = &mut end => {}
        result = work => return result,
    }
    if tokio::time::timeout(FAREWELL, lease.leave()).await.is_err() {
        tracing::warn!("the Lease was not given back in time; it runs out by itself");
    }
    Ok(())
}

/// Passes over every cluster, for ever.
async fn passes(fleets: Arc<Fleets>) {
    // Heard from before the first look, so that nothing falls between.
    let mut heard = fleets.changes.subscribe();
    let (mut queue, mut running) = (Queue::default(), FuturesUnordered::new());
    let all = |queue: &mut Queue| {
        let now = Instant::now();
        fleets
            .caches
            .all()
            .into_iter()
            .for_each(|one| queue.change(one, now));
    };
    all(&mut queue);
    loop {
        while running.len() < CONCURRENCY
            && let Some(cluster) = queue.take(Instant::now())
        {
            running.push(one_pass(cluster, &fleets));
        }
        let next = queue.next().filter(|_| running.len() < CONCURRENCY);
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            changed = heard.recv() => match changed {
                Ok(cluster) => queue.change(cluster, Instant::now()),
                Err(RecvError::Lagged(_)) => all(&mut queue),
                Err(RecvError::Closed) => return,
            },
            Some((cluster, again)) = running.next() => {
                queue.done(cluster, again, Instant::now());
                fleets.tidy();
                // A pass that writes nothing never waits.
                tokio::task::yield_now().await;
            }
            () = due => {}
        }
    }
}

/// One pass, and how long the cluster may wait for the next. None: there is no such cluster.
async fn one_pass(
    cluster: ObjectRef<Root>,
    fleets: &Fleets,
) -> (ObjectRef<Root>, Option<Duration>) {
    let Some(root) = fleets.caches.clusters.get(&cluster) else {
        return (cluster, None);
    };
    let mut memory = fleets.memories.take(root.uid());
    let pass = Pass::new(&fleets.context, &fleets.caches, &fleets.prober, &root);
    let result = pass.run(&mut memory).await;
    fleets.memories.put(root.uid(), memory, result.is_err());
    let again = result.unwrap_or_else(|error| {
        let retry = fleets.memories.retry(root.uid());
        tracing::error!(
            cluster = root.full_name(),
            retry_seconds = retry.as_secs(),
            "{error}"
        );
        retry
    });
    (cluster, Some(again))
}
