//! Clients that come back whenever they are asked to move, as the published ones do, and must not be
//! sent away in any other manner nor miss what is published while they are subscribed.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use wse_e2e::Error;
use wse_e2e::client::{Client, Dial};

/// Published last: who receives it has received all.
pub(crate) const LAST: &str = "last";

pub(crate) struct Crowd {
    dial: Dial,
    topic: &'static str,
    clients: JoinSet<Result<u32, Error>>,
    /// How many are to stay.
    stay: watch::Sender<usize>,
    here: watch::Sender<usize>,
}

impl Crowd {
    pub(crate) fn new(dial: Dial, topic: &'static str) -> Self {
        Self {
            dial,
            topic,
            clients: JoinSet::new(),
            stay: watch::Sender::new(usize::MAX),
            here: watch::Sender::new(0),
        }
    }

    /// Lets so many more come, without waiting for them.
    pub(crate) fn grow(&mut self, clients: usize) {
        for _ in 0..clients {
            let client = Person {
                dial: self.dial.clone(),
                topic: self.topic,
                number: self.clients.len(),
                stay: self.stay.subscribe(),
                here: self.here.clone(),
            };
            self.clients.spawn(client.live());
        }
    }

    /// How many are connected and subscribed now.
    pub(crate) fn here(&self) -> usize {
        *self.here.borrow()
    }

    /// Sends all but so many away; the others stay.
    pub(crate) fn shrink(&self, clients: usize) {
        self.stay.send_replace(clients);
    }

    /// Waits until all have received the last message or have been sent away: how often each was
    /// asked to move.
    ///
    /// # Errors
    /// The first of what must not happen to a client.
    pub(crate) async fn finish(self) -> Result<Vec<u32>, Error> {
        self.clients.join_all().await.into_iter().collect()
    }
}

struct Person {
    dial: Dial,
    topic: &'static str,
    number: usize,
    stay: watch::Receiver<usize>,
    here: watch::Sender<usize>,
}

impl Person {
    /// Until it is sent away by its owner, or has received the last message.
    async fn live(mut self) -> Result<u32, Error> {
        let mut moves = 0;
        loop {
            let Some(mut client) = self.arrive().await? else {
                return Ok(moves);
            };
            self.here.send_modify(|here| *here += 1);
            let number = self.number;
            let end = tokio::select! {
                end = listen(&mut client) => end,
                _ = self.stay.wait_for(|stay| *stay <= number) => Ok(()),
            };
            self.here.send_modify(|here| *here -= 1);
            match end {
                Ok(()) => {
                    client.close().await;
                    return Ok(moves);
                }
                Err(Error::Closed { code: 4300, .. }) => moves += 1,
                Err(other) => return Err(other),
            }
        }
    }

    /// Tries until it is let in and has subscribed. None: it was sent away meanwhile.
    async fn arrive(&self) -> Result<Option<Client>, Error> {
        loop {
            // The published clients pause about a second.
            sleep(Duration::from_millis(fastrand::u64(..1_000))).await;
            if *self.stay.borrow() <= self.number {
                return Ok(None);
            }
            let attempt = async {
                let mut client = Client::connect(&self.dial).await?;
                client.subscribe(&[self.topic]).await?;
                Ok(client)
            };
            match attempt.await {
                Ok(client) => return Ok(Some(client)),
                // Full until another gateway is there, or asked to move already.
                Err(Error::Upgrade {
                    status: 429 | 503, ..
                })
                | Err(Error::Closed { code: 4300, .. }) => {}
                Err(other) => return Err(other),
            }
        }
    }
}

/// Reads until the last message; what is numbered comes without a gap, once each.
async fn listen(client: &mut Client) -> Result<(), Error> {
    let mut before = None;
    loop {
        let event = client.next().await?;
        match event.t.as_str() {
            LAST => return Ok(()),
            "numbered" => {
                let number = event.p["number"].as_u64();
                let next = before.map_or(number, |before: u64| Some(before + 1));
                if number != next {
                    return Err(Error::Protocol(format!("{number:?} instead of {next:?}")));
                }
                before = number;
            }
            other => return Err(Error::Protocol(format!("{other} came"))),
        }
    }
}
