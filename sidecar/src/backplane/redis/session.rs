//! One connected spell: the connections to Redis from when they came up until the first of them
//! fails. Whatever fails ends the whole session; the next one begins by reading what was missed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{ErrorKind, Pipeline, RedisError, RedisResult, cmd};
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, timeout};

use super::client::{Address, Conn};

/// A command that has no answer after this time means that the connection is dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Subscriptions in one pipeline, at most.
const PIPELINE: usize = 512;

/// Why a command was not done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// The server cannot do it now (it loads its data, it is no primary any more): not executed.
    Later(String),
    /// The connection is lost: it may have been executed.
    Lost,
    /// The server will not do it: not executed.
    Refused(String),
}

/// The connections.
pub(super) struct Session {
    address: Arc<Address>,
    commands: Conn,
    subscriptions: Conn,
    /// For publishes that wait for a replica: WAIT stops every command behind it.
    replicated: OnceCell<Conn>,
    clocks: Mutex<Vec<Clock>>,
    closed: watch::Sender<bool>,
}

/// What a partition's server's clock showed, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Milliseconds since 1970.
    shown_millis: u64,
    /// Not before it showed that.
    at: Instant,
}

impl Clock {
    pub(super) fn new(shown_millis: u64, at: Instant) -> Self {
        Self { shown_millis, at }
    }

    /// What the server's clock shows at `when`, or earlier than that, never later.
    pub(super) fn at(&self, when: Instant) -> u64 {
        let later = when.saturating_duration_since(self.at).as_millis();
        let earlier = self.at.saturating_duration_since(when).as_millis();
        let millis = |millis: u128| u64::try_from(millis).unwrap_or(u64::MAX);
        self.shown_millis
            .saturating_add(millis(later))
            .saturating_sub(millis(earlier))
    }
}

impl Session {
    pub(super) fn new(
        address: Arc<Address>,
        (commands, subscriptions): (Conn, Conn),
        closed: watch::Sender<bool>,
    ) -> Self {
        Self {
            address,
            commands,
            subscriptions,
            replicated: OnceCell::new(),
            clocks: Mutex::default(),
            closed,
        }
    }

    pub(super) fn commands(&self) -> Conn {
        self.commands.clone()
    }

    /// The connection on which a WAIT stops nobody else's commands.
    pub(super) async fn replicated(&self) -> RedisResult<Conn> {
        let connect = || self.address.connect_commands();
        self.replicated.get_or_try_init(connect).await.cloned()
    }

    pub(super) fn set_clocks(&self, clocks: Vec<Clock>) {
        *self.clocks.lock().unwrap_or_else(PoisonError::into_inner) = clocks;
    }

    pub(super) fn clock(&self, k: u16) -> Option<Clock> {
        let clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.get(usize::from(k)).copied()
    }

    /// Ends the session.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Ends when the session has.
    pub(super) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives as long as `self`.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Does a command, watched: a lost connection, or no answer in time, ends the session.
    pub(super) async fn ask<T>(
        &self,
        command: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Fault> {
        let fault = tokio::select! {
            biased;
            result = timeout(ANSWER_TIMEOUT, command) => match result {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => Fault::from(error),
                Err(_) => Fault::Lost,
            },
            () = self.closed() => Fault::Lost,
        };
        if fault == Fault::Lost {
            self.close();
        }
        Err(fault)
    }

    /// Joins channels; ends once the server has confirmed them all.
    pub(super) async fn join(&self, channels: &[(u16, String)]) -> Result<(), Fault> {
        self.each_channel("SSUBSCRIBE", channels).await
    }

    /// Leaves channels; ends once the server has confirmed them all.
    pub(super) async fn part(&self, channels: &[(u16, String)]) -> Result<(), Fault> {
        self.each_channel("SUNSUBSCRIBE", channels).await
    }

    /// Whether both connections answer within the time.
    pub(super) async fn answers(&self, within: Duration) -> bool {
        let (mut commands, mut subscriptions) = (self.commands.clone(), self.subscriptions.clone());
        let ping = cmd("PING");
        let both = async {
            tokio::try_join!(
                ping.exec_async(&mut commands),
                ping.exec_async(&mut subscriptions)
            )
        };
        matches!(timeout(within, both).await, Ok(Ok(_)))
    }

    /// Ends when everything that the server had sent on the subscriptions' connection is in the
    /// inbox: it answers behind it, or the connection's end lies behind it.
    pub(super) async fn drained(&self, within: Duration) {
        let mut subscriptions = self.subscriptions.clone();
        let ping = cmd("PING");
        let _ = timeout(within, ping.exec_async(&mut subscriptions)).await;
    }

    /// One command for each channel: each is confirmed by one push of its own, which is what the
    /// client library counts. `channels` is sorted into partitions where slots must not mix.
    async fn each_channel(&self, name: &str, channels: &[(u16, String)]) -> Result<(), Fault> {
        let mut conn = self.subscriptions.clone();
        let mixes = conn.mixes_slots();
        for of_a_slot in channels.chunk_by(|one, next| mixes || one.0 == next.0) {
            for some in of_a_slot.chunks(PIPELINE) {
                let mut pipeline = Pipeline::with_capacity(some.len());
                for (_, channel) in some {
                    pipeline.cmd(name).arg(channel.as_str());
                }
                self.ask(pipeline.exec_async(&mut conn)).await?;
            }
        }
        Ok(())
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        /// Answers by which a server says that it did nothing, and that later it or another may.
        const LATER: [&str; 9] = [
            "ASK",
            "BUSY",
            "CLUSTERDOWN",
            "LOADING",
            "MASTERDOWN",
            "MOVED",
            "NOREPLICAS",
            "READONLY",
            "TRYAGAIN",
        ];
        let errors = error.clone().into_server_errors();
        let code = match &errors {
            Some(errors) => errors.first().map(|(_, error)| error.code()),
            None => error.code(),
        };
        match code {
            Some(code) if LATER.contains(&code) => Self::Later(error.to_string()),
            Some(_) => Self::Refused(error.to_string()),
            None if error.kind() == ErrorKind::UnexpectedReturnType => {
                Self::Refused(error.to_string())
            }
            None => Self::Lost,
        }
    }
}
