//! Questions on a fixed schedule: each is late from the moment that it was due.

use std::pin::pin;
use std::time::Duration;

use wse_e2e::Error;
use wse_e2e::client::Client;

use super::Connection;
use crate::worker::plan::{Ask, Turns};

/// What the names of topics begin with to which connections subscribe by turns.
pub(crate) const CHANGED: &str = "bench.churn.";

impl Connection {
    /// Asks on its schedule, and stays until the connection ends.
    pub(super) async fn take_turns(mut self, mut client: Client) {
        let crowd = self.crowd.clone();
        let Some((turns, phases)) = &crowd.turns else {
            return;
        };
        let first = phases[self.number];
        if let Err(end) = self.ask(&mut client, turns, first).await {
            drop(client);
            self.left();
            self.ended(&end);
        }
    }

    async fn ask(&self, client: &mut Client, turns: &Turns, first: Duration) -> Result<(), Error> {
        let mut begun = self.crowd.begun.subscribe();
        let begun = loop {
            tokio::select! {
                begun = begun.wait_for(Option::is_some) => match begun {
                    Ok(begun) => break *begun,
                    Err(_) => return Ok(()),
                },
                event = client.next() => drop(event?),
            }
        };
        let topic = [format!("{CHANGED}{}", self.number)];
        let Some(begun) = begun else { return Ok(()) };
        for turn in 0..turns.each {
            let due = begun + first + turns.every() * turn;
            let mut wait = pin!(self.crowd.pace.until(due));
            loop {
                tokio::select! {
                    biased;
                    () = &mut wait => break,
                    event = client.next() => drop(event?),
                }
            }
            let topic = [topic[0].as_str()];
            match turns.ask {
                Ask::Ping => drop(client.ping().await?),
                Ask::Change if turn % 2 == 0 => drop(client.subscribe(&topic).await?),
                Ask::Change => drop(client.unsubscribe(&topic).await?),
            }
            let mut seen = self.crowd.seen.borrow_mut();
            seen.deeds.done += 1;
            seen.deeds.latency.record(due.elapsed());
        }
        loop {
            client.next().await?;
        }
    }
}
