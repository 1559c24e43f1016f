//! The task that keeps this pod connected: connect, join, catch up, run until something fails, read
//! what is still there, say so, begin again.

use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, RedisResult};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::inbox::{Event, Inbox, Outlet};
use super::reader::{Reader, Routes};
use super::roll_call::RollCall;
use super::session::{Fault, Session};
use super::subscriptions::{Request, Subscriptions, Wanted};
use super::{Access, Core};
use crate::backplane::{Interest, State};

/// First and longest pause between attempts to connect; each is drawn from its upper half. After an
/// outage publishes wait for a pod that is in its longest.
const PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Time for the connections to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A clock whose reading took longer than this is not believed over an earlier reading: it looks slow
/// by as much.
const LATE: Duration = Duration::from_secs(1);

/// Time for what the server had sent to be read when a session ends.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Keeps one pod connected.
pub(super) struct Link {
    core: Arc<Core>,
    wanted: Wanted,
    routes: Routes,
}

/// Every handle of the backplane is gone.
struct Abandoned;

impl Link {
    pub(super) fn new(core: Arc<Core>, requests: mpsc::Receiver<Request>) -> Self {
        Self {
            wanted: Wanted::new(requests),
            routes: Routes::new(core.config.partitions),
            core,
        }
    }

    /// Runs until every handle of the backplane is gone.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSE;
        let mut told = String::new();
        self.core.sink.state(State::Degraded);
        loop {
            let opened = timeout(CONNECT_TIMEOUT, open(&self.core));
            let Some(opened) = self.wanted.while_away(opened).await else {
                return;
            };
            let error = match opened {
                Ok(Ok((session, inbox, outlet))) => {
                    match self.session(&session, inbox, outlet).await {
                        Err(Abandoned) => return,
                        Ok(true) => {
                            pause = PAUSE;
                            told.clear();
                        }
                        Ok(false) => {}
                    }
                    "the connection was lost".to_owned()
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            let jitter = 0.5 + fastrand::f64() / 2.0;
            let wait = pause.mul_f64(jitter);
            if error != told {
                tracing::warn!(error, "Redis is away; connecting again until it is back");
                told = error;
            }
            if self.wanted.while_away(sleep(wait)).await.is_none() {
                return;
            }
            pause = LONGEST_PAUSE.min(pause * 2);
            self.core.metrics.reconnects.inc();
        }
    }

    /// One session from its first to its last message. True when the fleet was connected.
    async fn session(
        &mut self,
        session: &Arc<Session>,
        inbox: Inbox,
        mut outlet: Outlet,
    ) -> Result<bool, Abandoned> {
        let core = Arc::clone(&self.core);
        let mut subscriptions = Subscriptions::new(&core, session, inbox.clone());
        self.routes.follow(self.wanted.take_all());
        let wanted: Vec<Interest> = {
            let topics = self.wanted.interests.topics.iter().cloned();
            let patterns = self.wanted.interests.patterns.iter().cloned();
            let topics = topics.map(Interest::Topic);
            topics.chain(patterns.map(Interest::Pattern)).collect()
        };
        let mut reader = Reader::new(&core, session, inbox.clone(), &mut self.routes);
        let begin = async {
            begin(&core, session).await?;
            subscriptions.join_all(&wanted).await?;
            reader.catch_up().await
        };
        if let Err(fault) = self.wanted.while_away(begin).await.ok_or(Abandoned)? {
            tracing::warn!(?fault, "connected to Redis, but could not catch up");
            session.close();
            // What was read so far counts as delivered.
            let flush = reader.flush();
            self.wanted.while_away(flush).await.ok_or(Abandoned)?;
            return Ok(false);
        }
        let mut reading = std::pin::pin!(reader.run(&mut outlet.events));
        let mut connected = false;
        let mut ended = false;
        let abandoned = {
            let work = async {
                // What was asked for while this one caught up.
                while subscriptions.join_changed(&mut self.wanted).await? {}
                connected = true;
                core.connected(session);
                tokio::select! {
                    served = subscriptions.serve(&mut self.wanted) => {
                        Ok::<_, Fault>(served.is_none())
                    }
                    never = core.settle(session) => match never {},
                }
            };
            tokio::select! {
                served = work => matches!(served, Ok(true)),
                () = &mut reading => {
                    ended = true;
                    false
                }
                () = core.keep_alive(session) => false,
                () = core.serve_control(session, &mut outlet.control) => false,
                () = session.closed() => false,
            }
        };
        session.close();
        if connected {
            core.disconnected();
        }
        if abandoned {
            return Err(Abandoned);
        }
        let end = async {
            session.drained(DRAIN_TIMEOUT).await;
            inbox.note(Event::End);
            if !ended {
                reading.await;
            }
        };
        self.wanted.while_away(end).await.ok_or(Abandoned)?;
        Ok(connected)
    }
}

impl Core {
    fn connected(&self, session: &Arc<Session>) {
        tracing::info!("connected to the fleet");
        let session = Arc::clone(session);
        let complete = self.roll_call.borrow().is_complete();
        self.admit(if complete {
            Access::Open(session)
        } else {
            Access::Settling(session)
        });
        self.metrics.connected.set(1);
        self.sink.state(State::Connected);
    }

    fn disconnected(&self) {
        self.roll_call.send_modify(RollCall::lost);
        self.admit(Access::Away);
        self.metrics.connected.set(0);
        self.sink.state(State::Degraded);
    }

    /// Renews the lease and asks the connections whether they live. Ends when they do not.
    async fn keep_alive(&self, session: &Session) {
        let lease = self.lease();
        let mut probe = interval(Duration::from_secs(1).min(lease / 3));
        let mut renewal = interval(lease / 3);
        for interval in [&mut probe, &mut renewal] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                _ = probe.tick() => {
                    if !session.answers(self.patience()).await {
                        return;
                    }
                }
                _ = renewal.tick() => {
                    // Refused: a lease that cannot be renewed ends, and the pod is missing among the
                    // nodes. Later: it is no primary any more; the next connection may find it.
                    if let Err(Fault::Later(_) | Fault::Lost) = self.renew(session).await {
                        return;
                    }
                }
            }
        }
    }

    /// Renews what ends by itself, and reads the partitions' clocks again.
    async fn renew(&self, session: &Session) -> Result<(), Fault> {
        let nodes = self.nodes(session, true).await?.into_iter();
        let nodes = nodes.map(|node| node.id);
        let others = nodes.filter(|node| *node != self.node).collect();
        self.roll_call
            .send_if_modified(|roll_call| roll_call.leases(others));
        let mut clocks = Vec::with_capacity(self.windows.len());
        for k in self.keys.partitions() {
            let seen = self.seen.partition(k);
            let asked = Instant::now();
            let clock = self.partition(session, k, seen, false).await?.clock;
            let before = session.clock(k).filter(|_| asked.elapsed() > LATE);
            clocks.push(before.unwrap_or(clock));
        }
        session.set_clocks(clocks);
        Ok(())
    }
}

async fn open(core: &Core) -> RedisResult<(Arc<Session>, Inbox, Outlet)> {
    let (closed, _) = watch::channel(false);
    let keys = Arc::clone(&core.keys);
    let (inbox, outlet) = Inbox::new(keys, core.metrics.clone(), closed.clone());
    let push = {
        let inbox = inbox.clone();
        move |push: PushInfo| {
            inbox.push(push);
            Ok(())
        }
    };
    let connections = core.address.connect(push).await?;
    core.scripts.load(&mut connections.0.clone()).await?;
    let address = Arc::clone(&core.address);
    let session = Arc::new(Session::new(address, connections, closed));
    Ok((session, inbox, outlet))
}

/// What a session needs before anything else: the servers' clocks, the lease, the control channels.
async fn begin(core: &Core, session: &Session) -> Result<(), Fault> {
    core.renew(session).await?;
    let channels = [
        (0, core.keys.all_nodes()),
        (0, core.keys.to_node(&core.node)),
    ];
    session.join(&channels).await
}
