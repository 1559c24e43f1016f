//! Every connection sends the same message over and over, as fast as the gateway reads. How many it
//! read is the gateway's to say: the kernel holds some megabytes for each connection.

use std::time::{Duration, Instant};

use mio::{Events, Poll};

use wse_e2e::raw::Dialect;

use super::storm::gather;
use super::{Gateway, Outcome};

/// Frames are repeated up to this size, so that a write is a large one.
const BLOCK_BYTES: usize = 64 << 10;

pub(super) fn run(
    gateway: &Gateway,
    connections: usize,
    bytes: usize,
    seconds: f64,
) -> Outcome<()> {
    let frame = Dialect::Wse.filled(bytes)?;
    let block = frame.repeat((BLOCK_BYTES / frame.len()).max(1));

    let mut poll = Poll::new()?;
    let (mut clients, _) = gather(gateway, &mut poll, connections, connections, |_| {
        vec!["engine.all".to_owned()]
    })?;
    let mut at = vec![0; connections];
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 << 10];
    let mut ready: Vec<usize> = (0..connections).collect();
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        // One write each, and those that were taken whole once more after the others.
        for number in std::mem::take(&mut ready) {
            let sent = clients[number].pour(&block, at[number])?;
            let is_whole = at[number] + sent == block.len();
            at[number] = (at[number] + sent) % block.len();
            if is_whole {
                ready.push(number);
            }
        }
        let wait = if ready.is_empty() {
            Duration::from_millis(100)
        } else {
            Duration::ZERO
        };
        poll.poll(&mut events, Some(wait))?;
        for event in &events {
            let number = event.token().0;
            if event.is_readable() {
                clients[number].read(&mut buffer, |_| {})?;
            }
            if event.is_writable() && !ready.contains(&number) {
                ready.push(number);
            }
        }
    }
    Ok(())
}
