//! Every connection sends the same message over and over, as fast as the server reads. Between them are
//! pings: a PONG says that the server has read all that came before it. What the kernel took and nobody
//! has read yet is not counted as done, and there is never much of it.

use std::time::{Duration, Instant};

use mio::Events;
use wse_e2e::Error;
use wse_e2e::raw::{Client, Dialect, Heard};

use super::parent::{Parent, say};
use super::plan::{Plan, Progress, Said};
use super::raw::{BUFFER_BYTES, Crowd, note};
use super::{QUIET, TELL};

/// Messages and a ping behind them are repeated up to this size, so that a write is a large one; of all
/// connections together, up to the other.
const BLOCK_BYTES: usize = 256 << 10;
const ALL_BLOCKS_BYTES: usize = 64 << 20;
/// Blocks of one connection whose PONG has not come.
const WINDOW: u64 = 3;
/// A server that drops a ping, because it drops what is too much, is asked again after this long.
const STALLED: Duration = Duration::from_secs(1);

/// Messages, and a ping that is always the same.
struct Block {
    bytes: Vec<u8>,
    messages: u64,
}

/// How far a connection is.
#[derive(Clone)]
struct Sender {
    /// Where the next write begins in the block.
    at: usize,
    /// Blocks that the kernel has taken, and those that the server has read.
    sent: u64,
    read: u64,
    /// The kernel may take more.
    is_ready: bool,
    /// When the last PONG came.
    last: Instant,
}

pub(super) fn run(
    plan: &Plan,
    bytes: usize,
    seconds: f64,
    parent: &mut Parent,
) -> Result<(), String> {
    let block = Block::new(plan.dialect, bytes, plan.connections * plan.workers)?;
    let Some(mut crowd) = Crowd::arrive(plan, parent)? else {
        return Ok(());
    };
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let mut senders = vec![Sender::new(begin); crowd.clients.len()];
    let mut ready: Vec<usize> = (0..senders.len()).collect();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut told, mut last) = (begin, begin);
    let mut is_over = false;
    loop {
        is_over |= Instant::now() >= end || parent.glance()?.is_some();
        // One write each, and those that were taken whole once more after the others.
        for number in std::mem::take(&mut ready) {
            let (Some(client), sender) = (&mut crowd.clients[number], &mut senders[number]) else {
                continue;
            };
            match sender.pour(client, &block, is_over) {
                Ok(true) => ready.push(number),
                Ok(false) => {}
                Err(error) => crowd.lose(number, &error),
            }
        }
        let open = senders.iter().zip(&crowd.clients);
        let mut open = open.filter_map(|(it, client)| client.is_some().then_some(it));
        if is_over && (open.all(Sender::is_done) || last.max(end).elapsed() > QUIET) {
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
            let (read, told) = (sender.read, &mut crowd.seen.deeds.told);
            // What TLS has taken, and the kernel had not.
            let flushed = client.flush();
            let came = match event.is_readable() {
                true => client.read(&mut buffer, |payload| {
                    plan.dialect
                        .split(payload, &mut |message| match plan.dialect.hear(message) {
                            Heard::Answer(before) => sender.hear(before),
                            Heard::Error(said) => note(&said, told),
                            _ => {}
                        });
                }),
                false => Ok(()),
            };
            if let Err(error) = flushed.and(came) {
                crowd.lose(number, &error);
                continue;
            }
            if sender.read > read {
                last = sender.last;
            }
            let may_write = event.is_writable() || sender.read > read;
            if may_write && !std::mem::replace(&mut sender.is_ready, true) {
                ready.push(number);
            }
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            for (client, sender) in crowd.clients.iter_mut().zip(&mut senders) {
                if let Some(client) = client
                    && let Err(error) = sender.ask_again(client, plan.dialect)
                {
                    // The next read tells it too, with its number.
                    *crowd.seen.failures.entry(error.to_string()).or_default() += 1;
                }
            }
            let read: u64 = senders.iter().map(|it| it.read).sum();
            say(&Said::Progress(Progress {
                opened: crowd.seen.opened,
                held: crowd.seen.held,
                done: read * block.messages,
                ..Progress::default()
            }))?;
        }
    }
    let deeds = &mut crowd.seen.deeds;
    deeds.seconds = (last - begin).as_secs_f64();
    deeds.due = senders.iter().map(|it| it.begun()).sum::<u64>() * block.messages;
    deeds.done = senders.iter().map(|it| it.read).sum::<u64>() * block.messages;
    crowd.tell()
}

impl Block {
    fn new(dialect: Dialect, bytes: usize, connections: usize) -> Result<Self, String> {
        let frame = dialect.filled(bytes)?;
        let room = BLOCK_BYTES.min(ALL_BLOCKS_BYTES / connections.max(1));
        let messages = (room / frame.len()).max(1);
        Ok(Self {
            bytes: [frame.repeat(messages), dialect.question(0)].concat(),
            messages: messages as u64,
        })
    }
}

impl Sender {
    fn new(begin: Instant) -> Self {
        Self {
            at: 0,
            sent: 0,
            read: 0,
            is_ready: true,
            last: begin,
        }
    }

    /// Writes once, as far as the window allows; at the end only the rest of a block. Whether the kernel
    /// may take more.
    fn pour(&mut self, client: &mut Client, block: &Block, is_over: bool) -> Result<bool, Error> {
        let is_full = self.sent - self.read >= WINDOW;
        let may_begin = !is_over && !is_full;
        if self.at == 0 && !may_begin {
            self.is_ready = false;
            return Ok(false);
        }
        let taken = client.pour(&block.bytes, self.at)?;
        self.is_ready = self.at + taken == block.bytes.len();
        self.at = (self.at + taken) % block.bytes.len();
        self.sent += u64::from(self.is_ready);
        Ok(self.is_ready)
    }

    /// Takes in an answer. The question of a block has 0, one that asks again has all that was sent
    /// before it.
    fn hear(&mut self, before: u64) {
        self.read = match before {
            0 => self.read + 1,
            before => self.read.max(before),
        }
        .min(self.sent);
        self.last = Instant::now();
    }

    /// Asks how far the server is, if it should have said so.
    fn ask_again(&mut self, client: &mut Client, dialect: Dialect) -> Result<(), Error> {
        let waits = self.at == 0 && self.sent > self.read;
        if !waits || self.last.elapsed() < STALLED {
            return Ok(());
        }
        self.last = Instant::now();
        client.queue(&dialect.question(self.sent))
    }

    /// Blocks of which the kernel has taken a part.
    fn begun(&self) -> u64 {
        self.sent + u64::from(self.at > 0)
    }

    fn is_done(&self) -> bool {
        self.at == 0 && self.read == self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_pong_vouches_for_is_read() {
        let mut sender = Sender::new(Instant::now());
        sender.sent = 5;
        sender.hear(0);
        sender.hear(0);
        assert_eq!((sender.read, sender.is_done()), (2, false));
        // Two pings were dropped; the answer to the question that came after them vouches for all.
        sender.hear(4);
        assert_eq!(sender.read, 4);
        sender.hear(0);
        sender.hear(0);
        assert_eq!((sender.read, sender.is_done()), (5, true));
    }
}
