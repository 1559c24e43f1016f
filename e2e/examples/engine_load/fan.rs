//! Publications on one topic that every client has. Prints how many were published, how many
//! deliveries came, and in how many seconds; fails when one is missing.

use std::time::{Duration, Instant};

use mio::{Events, Poll};
use serde_json::json;
use wse_e2e::raw::{Api, Caller};

use super::storm::gather;
use super::{Gateway, Outcome};

/// Publications in a call.
const BATCH: usize = 250;
/// Bytes that have been published and not delivered: enough to keep the gateway busy, and less than makes
/// it take a client for one that does not read.
const WINDOW_BYTES: usize = 1 << 20;

pub(super) fn run(
    gateway: &Gateway,
    connections: usize,
    bytes: usize,
    seconds: f64,
    api: &Api<'_>,
) -> Outcome<()> {
    let topic = "engine.fan";
    let mut poll = Poll::new()?;
    let (mut clients, _) = gather(gateway, &mut poll, connections, connections, |_| {
        vec![topic.to_owned()]
    })?;
    let call = batch(api, topic, bytes)?;
    let mut publisher = Caller::connect(api, connections, &poll)?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 << 10];
    let mut deliveries = 0_usize;
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let mut last = begin;
    loop {
        let delivered = deliveries / connections;
        while Instant::now() < end && (publisher.called * BATCH - delivered) * bytes < WINDOW_BYTES
        {
            publisher.call(&call)?;
        }
        poll.poll(&mut events, Some(Duration::from_secs(5)))?;
        for event in &events {
            let number = event.token().0;
            if number < connections {
                clients[number].read(&mut buffer, |payload| {
                    // Not the gateway's own messages.
                    deliveries += usize::from(payload.starts_with(br#"{"c":"U""#));
                })?;
                continue;
            }
            publisher.read_answers(&mut buffer)?;
            publisher.flush()?;
        }
        let expected = publisher.called * BATCH * connections;
        if !events.is_empty() {
            last = Instant::now();
        }
        if publisher.is_idle() && deliveries == expected {
            break;
        }
        if events.is_empty() {
            return Err(format!("{deliveries} of {expected} deliveries came").into());
        }
    }
    let took = (last - begin).as_secs_f64();
    println!("{} {deliveries} {took:.3}", publisher.called * BATCH);
    Ok(())
}

/// A call that publishes one batch.
fn batch(api: &Api<'_>, topic: &str, bytes: usize) -> Outcome<Vec<u8>> {
    let empty = json!({"c": "U", "t": "bench", "p": ""}).to_string().len();
    let filling = bytes
        .checked_sub(empty)
        .ok_or("too few bytes for a message")?;
    let message = json!({"c": "U", "t": "bench", "p": "x".repeat(filling)});
    let publications = vec![json!({"topic": topic, "message": message}); BATCH];
    let body = json!({"publications": publications}).to_string();
    Ok(api.call("/publish/batch", &body))
}
