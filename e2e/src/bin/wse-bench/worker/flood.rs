//! Every connection sends the same block over and over, as fast as the server answers. At its end is a
//! ping: a PONG says that the server has read all that came before it. What the kernel took and nobody has
//! read yet is not counted as done, and there is never much of it. Where the server acknowledges what is in
//! the block, the acknowledgements are counted, and a block is done when it has all of them.

use std::collections::VecDeque;
use std::mem::{replace, take};
use std::time::{Duration, Instant};

use mio::Events;
use wse_e2e::raw::{Data, Heard, Inflater};

use super::block::{Block, blocks};
use super::parent::{Parent, say};
use super::plan::{Flood, Plan, Progress, Said};
use super::raw::{BUFFER_BYTES, Crowd, note};
use super::sender::Sender;
use super::{QUIET, TELL};

/// Blocks of all connections that are under way, where the plan says how large they are: they keep a server
/// busy, and a slow one is done with them within seconds.
const UNDER_WAY: u64 = 1_024;

pub(super) fn run(plan: &Plan, flood: &Flood, parent: &mut Parent) -> Result<(), String> {
    let dialect = plan.dialect;
    let blocks = blocks(dialect, flood, plan.connections * plan.workers)?;
    let block = |number: usize| -> &Block { &blocks[number % blocks.len()] };
    let Some(mut crowd) = Crowd::arrive(plan, parent)? else {
        return Ok(());
    };
    let begin = Instant::now();
    let mut senders = vec![Sender::new(begin); crowd.clients.len()];
    let mut ready: Vec<usize> = (0..senders.len()).collect();
    // Those that could begin a block, but enough of them are under way.
    let mut waiting = VecDeque::new();
    let most = match flood.frames {
        Some(_) => (UNDER_WAY / plan.workers.max(1) as u64).max(1),
        None => u64::MAX,
    };
    let mut under_way = 0;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut inflater = Inflater::default();
    let (mut told, mut last) = (begin, begin);
    let (mut done, mut pongs) = (0, 0);
    let mut over = None;
    loop {
        let until = flood.until;
        let is_quiet = begin.elapsed() > until.least() && last.elapsed() > QUIET;
        let is_over = until.is_over(begin.elapsed(), done, crowd.seen.opened);
        if over.is_none() && (is_over || is_quiet || parent.glance()?.is_some()) {
            over = Some(Instant::now());
        }
        let is_over = over.is_some();
        let room = usize::try_from(most.saturating_sub(under_way)).unwrap_or(usize::MAX);
        ready.extend(waiting.drain(..room.min(waiting.len())));
        // One write each, and those that were taken whole once more after the others.
        for number in take(&mut ready) {
            let (Some(client), sender) = (&mut crowd.clients[number], &mut senders[number]) else {
                continue;
            };
            if sender.at == 0 && under_way >= most && !is_over {
                waiting.push_back(number);
                continue;
            }
            let before = sender.begun();
            match sender.pour(client, block(number), is_over) {
                Ok(true) => ready.push(number),
                Ok(false) => {}
                Err(error) => {
                    under_way -= before - sender.read;
                    crowd.lose(number, &error);
                    continue;
                }
            }
            under_way += sender.begun() - before;
        }
        let open = senders.iter().zip(&crowd.clients);
        let mut open = open.filter_map(|(it, client)| client.is_some().then_some(it));
        if let Some(end) = over
            && (open.all(Sender::is_done)
                || last.max(end).elapsed() > QUIET
                || end.elapsed() > until.most().max(QUIET))
        {
            break;
        }
        let wait = if ready.is_empty() {
            TELL
        } else {
            Duration::ZERO
        };
        let polled = crowd.poll.poll(&mut events, Some(wait));
        polled.map_err(|error| format!("cannot wait for sockets: {error}"))?;
        for event in &events {
            let number = event.token().0;
            let (Some(client), sender) = (&mut crowd.clients[number], &mut senders[number]) else {
                continue;
            };
            let (read, block) = (sender.read, block(number));
            let errors = &mut crowd.seen.deeds.told;
            let mut broken = None;
            let mut hear = |message: &[u8]| {
                if let Some(things) = flood.content.acknowledged(message) {
                    done += things;
                    return sender.hear_ack(block);
                }
                match dialect.hear(message) {
                    Heard::Answer(before) => {
                        pongs += 1;
                        sender.hear_answer(before, block);
                    }
                    Heard::Error(said) => note(&said, errors),
                    _ => {}
                }
            };
            let mut each = |data: Data<'_>| match inflater.plain(data) {
                Ok(payload) => dialect.split(payload, &mut hear),
                Err(error) => broken = Some(error),
            };
            // What TLS has taken, and the kernel had not.
            let flushed = client.flush();
            let mut came = flushed.map(|()| event.is_readable());
            while matches!(came, Ok(true)) {
                came = client.read_data(&mut buffer, &mut each);
            }
            let more = sender.read - read;
            under_way -= more;
            if block.acks == 0 {
                done += more * block.things;
            }
            last = last.max(sender.last);
            if let Some(error) = came.err().or(broken) {
                under_way -= sender.begun() - sender.read;
                crowd.lose(number, &error);
                continue;
            }
            let may_write = event.is_writable() || more > 0;
            if may_write && !replace(&mut sender.is_ready, true) {
                ready.push(number);
            }
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            for (client, sender) in crowd.clients.iter_mut().zip(&mut senders) {
                if let Some(client) = client
                    && let Err(error) = sender.ask_again(client, dialect)
                {
                    // The next read tells it too, with its number.
                    *crowd.seen.failures.entry(error.to_string()).or_default() += 1;
                }
            }
            say(&Said::Progress(Progress {
                opened: crowd.seen.opened,
                held: crowd.seen.held,
                done,
                ..Progress::default()
            }))?;
        }
    }
    let begun = || {
        senders
            .iter()
            .enumerate()
            .map(|(number, it)| (block(number), it.begun()))
    };
    let deeds = &mut crowd.seen.deeds;
    deeds.seconds = (last - begin).as_secs_f64();
    deeds.due = begun().map(|(block, begun)| block.things * begun).sum();
    deeds.plain_bytes = begun()
        .map(|(block, begun)| block.plain_bytes * begun)
        .sum();
    deeds.wire_bytes = begun().map(|(block, begun)| block.wire_bytes * begun).sum();
    (deeds.done, deeds.pongs) = (done, pongs);
    crowd.tell()
}
