//! What other threads say to a reactor's hub, and the way there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Settings;
use super::control::{Question, Reply};
use crate::backplane::{Interest, Position, Publication, State};

/// Something for one reactor.
#[derive(Debug)]
pub enum Command {
    /// A backend asks, through [`Fleet`](super::Fleet).
    Ask {
        /// What.
        question: Arc<Question>,
        /// Where the answer goes.
        answer: oneshot::Sender<Reply>,
    },
    /// Every session is to leave.
    Leave(Leave),
    /// Publications of topics that this reactor has interest in, in order.
    Publications(Vec<Publication>),
    /// What became of interest that this reactor announced.
    Settled(Vec<Settled>),
    /// The configuration was read again.
    Settings(Arc<Settings>),
    /// Some sessions are to leave, and the pod goes on.
    Shed(Shed),
    /// The connection to the fleet was lost or is back.
    State(State),
    /// [`Command::Leave`] and [`Command::Shed`] are taken back.
    Stay,
    /// How many sessions are not to leave.
    Staying(oneshot::Sender<usize>),
}

/// When sessions are to leave.
#[derive(Clone, Copy, Debug)]
pub struct Leave {
    /// When the window begins.
    pub begin: Instant,
    /// How long it is. Each session leaves at its own moment inside it.
    pub window: Duration,
    /// How long after its begin the sessions still here are closed at once.
    pub deadline: Duration,
}

/// How many sessions of one reactor are to leave, and when.
#[derive(Debug)]
pub struct Shed {
    /// How many of those that are not leaving.
    pub sessions: usize,
    /// When the window begins.
    pub begin: Instant,
    /// How long it is. Each session leaves at its own moment inside it.
    pub window: Duration,
    /// Where it is told how many were chosen.
    pub chosen: oneshot::Sender<usize>,
}

/// What became of one interest.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Which.
    pub interest: Interest,
    /// The reactor's number for this announcement of it.
    pub announcement: u64,
    /// How it is.
    pub outcome: Outcome,
}

/// How the backplane took an interest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is away, keeps the interest, and the outcome is told again when it is back.
    Away,
    /// What is published from now on arrives. The topic's head; None for a pattern, whose outcome is
    /// told behind everything that arrived before the backplane confirmed it.
    Live(Option<Position>),
    /// It will not.
    Refused,
}

/// Why a reactor did not take a command.
#[derive(Debug)]
pub enum NotTaken {
    /// It has ended: it holds no session.
    Ended,
    /// There is no room. Hands the command back.
    Full(Command),
}

/// The way to one reactor, whatever runs on it.
pub trait Inbox: Send + Sync + 'static {
    /// Queues a command that weighs `bytes`.
    ///
    /// # Errors
    /// [`NotTaken`] when there is no room, or the reactor has ended.
    fn command(&self, command: Command, bytes: usize) -> Result<(), NotTaken>;

    /// Queues a command that weighs `bytes` whatever the bound: for the few that must not be lost.
    fn urge(&self, command: Command, bytes: usize);

    /// Ends when there is room again.
    fn room(&self) -> crate::backplane::BoxFuture<()>;

    /// Sessions of the reactor, with those on their way to it.
    fn sessions(&self) -> usize;
}

/// Where a reactor's hub announces what it wants to receive. Called in the reactor's thread, in order;
/// neither call waits.
pub trait Announce: Send + Sync + 'static {
    /// Wants these from now on. Each is answered by a [`Settled`] with its number.
    fn want(&self, reactor: usize, interests: Vec<(Interest, u64)>);

    /// Wants these no more.
    fn release(&self, reactor: usize, interests: Vec<Interest>);
}
