//! Clients connect, each with a token of its own, and subscribe to a topic of all and some of their own.
//! Prints the seconds until the last acknowledgement.

use std::io::{self, Read};
use std::time::Duration;

use mio::Poll;
use wse_e2e::raw::{self, Client, Dialect, Newcomer};

use super::{Gateway, Outcome};

/// Connects and subscribes; gives the clients, and how long it took. `at_once` connections at most have
/// seen nothing yet.
pub(super) fn gather(
    gateway: &Gateway,
    poll: &mut Poll,
    connections: usize,
    at_once: usize,
    topics: impl Fn(usize) -> Vec<String>,
) -> Outcome<(Vec<Client>, Duration)> {
    // Tokens are made before the clock runs.
    let newcomers = (0..connections).map(|number| Newcomer {
        door: gateway.door.clone(),
        request: gateway.request(number),
        dialect: Dialect::Wse,
        greetings: Vec::new(),
        topics: topics(number),
    });
    let gathered = raw::gather(poll, newcomers.collect(), at_once, &mut || false)?;
    let took = gathered.took;
    Ok((gathered.all()?, took))
}

pub(super) fn run(
    gateway: &Gateway,
    connections: usize,
    topics: usize,
    at_once: usize,
) -> Outcome<()> {
    let mut poll = Poll::new()?;
    let (clients, took) = gather(gateway, &mut poll, connections, at_once, |number| {
        // The first is everybody's.
        let name = |topic| match topic {
            0 => "engine.all".to_owned(),
            _ => format!("engine.{number}.{topic}"),
        };
        (0..topics).map(name).collect()
    })?;
    println!("{:.3}", took.as_secs_f64());
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(clients);
    Ok(())
}
