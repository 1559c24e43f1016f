//! Clients connect, each with a token of its own, and subscribe to a topic of all and some of their own.
//! Prints the seconds until the last acknowledgement.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::Outcome;
use super::client::{Client, Door};

/// Connects and subscribes; gives the clients, and how long it took. `at_once` connections at most have
/// seen nothing yet: more than the accept queue holds and the kernel tries again only after a second.
pub(super) fn gather(
    door: &Door,
    poll: &mut Poll,
    connections: usize,
    at_once: usize,
    topics: impl Fn(usize) -> Vec<String>,
) -> Outcome<(Vec<Client>, Duration)> {
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 << 10];
    let mut clients: Vec<Client> = Vec::with_capacity(connections);
    let subscriptions: Vec<Option<Vec<u8>>> = (0..connections)
        .map(|number| subscription(&topics(number)))
        .collect();
    // Tokens are made before the clock runs.
    let requests: Vec<Vec<u8>> = (0..connections)
        .map(|number| door.request(number))
        .collect();
    let mut requests = requests.into_iter();
    let (mut answered, mut settled) = (0, 0);
    let begin = Instant::now();
    while settled < connections {
        while clients.len() < connections
            && clients.len() - answered < at_once
            && let Some(request) = requests.next()
        {
            clients.push(Client::connect(door, request, clients.len(), poll)?);
        }
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        if events.is_empty() {
            return Err(format!("{settled} of {connections}, and nothing moves any more").into());
        }
        for event in &events {
            let number = event.token().0;
            let client = &mut clients[number];
            client.flush()?;
            let (mut is_ready, mut is_settled) = (false, false);
            client.read(&mut buffer, |payload| {
                is_ready |= has_type(payload, b"server_ready");
                is_settled |= has_type(payload, b"subscription_update");
            })?;
            if is_ready {
                answered += 1;
                match &subscriptions[number] {
                    Some(subscription) => client.send(subscription)?,
                    None => is_settled = true,
                }
            }
            settled += usize::from(is_settled);
        }
    }
    Ok((clients, begin.elapsed()))
}

pub(super) fn run(door: &Door, connections: usize, topics: usize, at_once: usize) -> Outcome<()> {
    let mut poll = Poll::new()?;
    let (clients, took) = gather(door, &mut poll, connections, at_once, |number| {
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

/// None for a client that subscribes to nothing.
fn subscription(topics: &[String]) -> Option<Vec<u8>> {
    if topics.is_empty() {
        return None;
    }
    let payload = serde_json::json!({"action": "subscribe", "topics": topics});
    let message = serde_json::json!({"c": "WSE", "t": "subscription_update", "p": payload});
    Some(message.to_string().into_bytes())
}

/// Whether a message of the gateway's own has this type; those begin with `c` and `t`.
fn has_type(payload: &[u8], name: &[u8]) -> bool {
    payload
        .strip_prefix(br#"{"c":"WSE","t":""#)
        .is_some_and(|rest| rest.starts_with(name))
}
