//! How far one connection of a flood is.

use std::time::{Duration, Instant};

use wse_e2e::Error;
use wse_e2e::raw::{Client, Dialect};

use super::block::Block;

/// A server that drops a ping, because it drops what is too much, is asked again after this long.
const STALLED: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Sender {
    /// Where the next write begins in the block.
    pub(super) at: usize,
    /// Blocks that the kernel has taken, and those that the server has read and answered.
    pub(super) sent: u64,
    pub(super) read: u64,
    /// PONGs that came, and acknowledgements, of both also those that will not come any more.
    pongs: u64,
    acks: u64,
    /// The kernel may take more.
    pub(super) is_ready: bool,
    /// When the last answer came.
    pub(super) last: Instant,
}

impl Sender {
    pub(super) fn new(begin: Instant) -> Self {
        Self {
            at: 0,
            sent: 0,
            read: 0,
            pongs: 0,
            acks: 0,
            is_ready: true,
            last: begin,
        }
    }

    /// Writes once, as far as the window allows; at the end only the rest of a block. Whether the kernel
    /// may take more.
    pub(super) fn pour(
        &mut self,
        client: &mut Client,
        block: &Block,
        is_over: bool,
    ) -> Result<bool, Error> {
        let is_full = self.sent - self.read >= block.window;
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
    pub(super) fn hear_answer(&mut self, before: u64, block: &Block) {
        match before {
            0 => self.pongs += 1,
            before => {
                self.pongs = self.pongs.max(before);
                self.acks = self.acks.max(before * block.acks);
            }
        }
        self.settle(block);
    }

    /// Takes in an acknowledgement.
    pub(super) fn hear_ack(&mut self, block: &Block) {
        self.acks += 1;
        self.settle(block);
    }

    /// Asks how far the server is, if it should have said so.
    pub(super) fn ask_again(&mut self, client: &mut Client, dialect: Dialect) -> Result<(), Error> {
        let waits = self.at == 0 && self.sent > self.read;
        if !waits || self.last.elapsed() < STALLED {
            return Ok(());
        }
        self.last = Instant::now();
        client.queue(&dialect.question(self.sent))
    }

    /// Blocks of which the kernel has taken a part.
    pub(super) fn begun(&self) -> u64 {
        self.sent + u64::from(self.at > 0)
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == 0 && self.read == self.sent
    }

    fn settle(&mut self, block: &Block) {
        let acknowledged = self.acks.checked_div(block.acks).unwrap_or(self.pongs);
        let read = self.pongs.min(acknowledged).min(self.sent);
        self.read = self.read.max(read);
        self.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::block::blocks;
    use crate::worker::plan::{Content, Flood};

    fn block(content: Content) -> Block {
        let flood = Flood {
            content,
            frames: Some(2),
            ..Flood::of_messages(100, 1.0)
        };
        blocks(Dialect::Wse, &flood, 1).unwrap().remove(0)
    }

    #[test]
    fn only_what_a_pong_vouches_for_is_read() {
        let block = block(Content::Messages { bytes: 100 });
        let mut sender = Sender::new(Instant::now());
        sender.sent = 5;
        sender.hear_answer(0, &block);
        sender.hear_answer(0, &block);
        assert_eq!((sender.read, sender.is_done()), (2, false));
        // Two pings were dropped; the answer to the question that came after them vouches for all.
        sender.hear_answer(4, &block);
        assert_eq!(sender.read, 4);
        sender.hear_answer(0, &block);
        sender.hear_answer(0, &block);
        assert_eq!((sender.read, sender.is_done()), (5, true));
    }

    #[test]
    fn a_block_with_questions_is_done_when_they_are_answered() {
        let block = block(Content::Changes);
        let mut sender = Sender::new(Instant::now());
        sender.sent = 3;
        sender.hear_answer(0, &block);
        sender.hear_ack(&block);
        assert_eq!(sender.read, 0);
        sender.hear_ack(&block);
        assert_eq!(sender.read, 1);
        // The others were dropped.
        sender.hear_answer(3, &block);
        assert_eq!((sender.read, sender.is_done()), (3, true));
    }
}
