//! Carries out what the machine decides.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::machine::{Action, Machine};
use super::{Metrics, Phase, Schedule};

/// How often the sessions are counted while they leave.
const EVERY: Duration = Duration::from_millis(200);

/// How long a shed may take to choose its sessions. A drain that comes meanwhile waits for it.
const CHOICE: Duration = Duration::from_secs(1);

/// What a drain moves.
pub trait Doors: Send + Sync + 'static {
    /// Refuses new clients, or takes them again.
    fn refuse(&self, on: bool);

    /// Asks every session to leave inside the window; at the deadline the rest are closed.
    fn leave(&self, window: Duration, deadline: Duration);

    /// Asks so many of the sessions that are not leaving to leave inside the window, without a deadline.
    /// Resolves to how many were asked.
    fn shed(&self, sessions: usize, window: Duration) -> impl Future<Output = usize> + Send;

    /// Sessions that have not left may stay, whether a drain or a shed asked them.
    fn stay(&self);

    /// Sessions that are here.
    fn sessions(&self) -> usize;
}

/// The process is on its way out, so its drain cannot be taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the process was told to end; its drain cannot be taken back")]
pub struct Exiting;

/// Why no sessions were shed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotShed {
    /// The sessions could not be chosen in time. Some may leave all the same.
    #[error("the pod is too busy to choose sessions; some of them may leave all the same")]
    Busy,
    /// A drain is in progress.
    #[error("the pod is being drained: all of its sessions leave")]
    Draining,
}

enum Wish {
    Begin(oneshot::Sender<Phase>),
    Cancel(oneshot::Sender<Result<Phase, Exiting>>),
    Exit,
    Shed {
        sessions: usize,
        window: Duration,
        reply: oneshot::Sender<Result<usize, NotShed>>,
    },
}

/// Wishes to a drain. Cheap to clone.
#[derive(Clone)]
pub struct Controls {
    wishes: mpsc::Sender<Wish>,
    phase: watch::Receiver<Phase>,
    schedule: Arc<ArcSwap<Schedule>>,
}

impl Controls {
    /// Empties the pod and leaves it running.
    pub async fn begin(&self) -> Phase {
        let (reply, answer) = oneshot::channel();
        let _ = self.wishes.send(Wish::Begin(reply)).await;
        answer.await.unwrap_or_else(|_| self.phase())
    }

    /// Takes clients again.
    ///
    /// # Errors
    /// [`Exiting`] after [`Controls::exit`].
    pub async fn cancel(&self) -> Result<Phase, Exiting> {
        let (reply, answer) = oneshot::channel();
        let _ = self.wishes.send(Wish::Cancel(reply)).await;
        answer.await.unwrap_or(Err(Exiting))
    }

    /// Asks so many sessions to leave inside the window, while the pod goes on. Returns how many were
    /// asked: fewer than that when fewer are here, or are not leaving already.
    ///
    /// # Errors
    /// [`NotShed::Draining`] from the announcement of a drain on, which calls a shed off.
    pub async fn shed(&self, sessions: usize, window: Duration) -> Result<usize, NotShed> {
        let (reply, answer) = oneshot::channel();
        let wish = Wish::Shed {
            sessions,
            window,
            reply,
        };
        let _ = self.wishes.send(wish).await;
        // The driver ends with the last drain.
        answer.await.unwrap_or(Err(NotShed::Draining))
    }

    /// Empties the pod, then ends [`Driver::run`].
    pub async fn exit(&self) {
        let _ = self.wishes.send(Wish::Exit).await;
    }

    /// Where the drain is.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Changes the times of drains that begin from now on.
    pub fn reschedule(&self, schedule: Schedule) {
        self.schedule.store(Arc::new(schedule));
    }
}

/// A drain that can begin.
pub struct Driver<D> {
    doors: D,
    metrics: Metrics,
    machine: Machine,
    wishes: mpsc::Receiver<Wish>,
    phase: watch::Sender<Phase>,
    schedule: Arc<ArcSwap<Schedule>>,
}

impl<D: Doors> Driver<D> {
    /// No drain yet.
    pub fn new(doors: D, schedule: Schedule, metrics: Metrics) -> (Self, Controls) {
        let (wishes, incoming) = mpsc::channel(16);
        let (phase, seen) = watch::channel(Phase::Serving);
        let schedule = Arc::new(ArcSwap::from_pointee(schedule));
        let controls = Controls {
            wishes,
            phase: seen,
            schedule: schedule.clone(),
        };
        let driver = Self {
            doors,
            metrics,
            machine: Machine::new(),
            wishes: incoming,
            phase,
            schedule,
        };
        (driver, controls)
    }

    /// Runs until a drain that ends in exit is over, or no [`Controls`] are left.
    pub async fn run(mut self) {
        loop {
            if self.step() {
                return;
            }
            let wake_at = self.machine.wake_at(Instant::now().into_std(), EVERY);
            let timer = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                wish = self.wishes.recv() => match wish {
                    Some(wish) => self.wish(wish).await,
                    None => return,
                },
                () = timer => {}
            }
        }
    }

    async fn wish(&mut self, wish: Wish) {
        let now = Instant::now().into_std();
        match wish {
            Wish::Begin(reply) => {
                if self.machine.phase() == Phase::Serving {
                    tracing::info!(sessions = self.doors.sessions(), "drain announced");
                }
                self.machine.begin(now, **self.schedule.load());
                self.show();
                let _ = reply.send(self.machine.phase());
            }
            Wish::Cancel(reply) => {
                let mut actions = Vec::new();
                let taken_back = self.machine.cancel(&mut actions);
                self.act(actions);
                self.show();
                if taken_back {
                    tracing::info!("drain taken back");
                }
                let answer = if taken_back {
                    Ok(self.machine.phase())
                } else {
                    Err(Exiting)
                };
                let _ = reply.send(answer);
            }
            Wish::Exit => {
                tracing::info!(sessions = self.doors.sessions(), "draining, then exiting");
                self.machine.exit(now, **self.schedule.load());
            }
            Wish::Shed {
                sessions,
                window,
                reply,
            } => {
                let shed = self.shed(sessions, window).await;
                let _ = reply.send(shed);
            }
        }
    }

    async fn shed(&mut self, sessions: usize, window: Duration) -> Result<usize, NotShed> {
        if !self.machine.shed() {
            return Err(NotShed::Draining);
        }
        let window_seconds = window.as_secs();
        let Ok(shed) = timeout(CHOICE, self.doors.shed(sessions, window)).await else {
            tracing::warn!(sessions, window_seconds, "too busy to shed");
            return Err(NotShed::Busy);
        };
        tracing::info!(sessions, shed, window_seconds, "shedding");
        Ok(shed)
    }

    /// Whether it is time to exit.
    fn step(&mut self) -> bool {
        let before = self.machine.phase();
        let mut actions = Vec::new();
        let now = Instant::now().into_std();
        self.machine.step(now, self.doors.sessions(), &mut actions);
        let after = self.machine.phase();
        if before != after {
            tracing::info!(?before, ?after, "drain");
        }
        let exit = self.act(actions);
        self.show();
        exit
    }

    fn act(&self, actions: Vec<Action>) -> bool {
        let mut exit = false;
        for action in actions {
            match action {
                Action::Exit => {
                    let left = self.doors.sessions();
                    if left > 0 {
                        tracing::warn!(left, "the drain's deadline has passed");
                    }
                    exit = true;
                }
                Action::Leave { window, deadline } => self.doors.leave(window, deadline),
                Action::Refuse(on) => self.doors.refuse(on),
                Action::Stay => self.doors.stay(),
            }
        }
        exit
    }

    fn show(&self) {
        let phase = self.machine.phase();
        self.phase.send_if_modified(|shown| {
            let changed = *shown != phase;
            *shown = phase;
            changed
        });
        let draining = phase != Phase::Serving;
        self.metrics.draining.set(i64::from(draining));
        let left = if draining { self.doors.sessions() } else { 0 };
        self.metrics
            .sessions_left
            .set(i64::try_from(left).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
