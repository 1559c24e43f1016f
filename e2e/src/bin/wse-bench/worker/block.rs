//! What a connection of a flood sends over and over: frames, and behind them a ping.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use wse_e2e::raw::{Dialect, deflated, masked, masked_deflated};

use super::plan::{Content, Flood};
use crate::connection::CHANGED;

/// Messages and a ping behind them are repeated up to this size, so that a write is a large one; of all
/// connections together, up to the other, unless the plan says how many there are.
const BLOCK_BYTES: usize = 256 << 10;
const ALL_BLOCKS_BYTES: usize = 64 << 20;
/// Blocks of one connection that are under way: so that a server has always something to read, and so that
/// one which answers the questions of a client in their order need not keep many.
const WINDOW: u64 = 3;
const WINDOW_OF_QUESTIONS: u64 = 2;
/// Topics to which the connections of a worker subscribe by turns.
const TOPICS: usize = 128;
/// Topics in one question of [`Content::Checks`], and those of them that are allowed.
const ASKED: usize = 8;
const ALLOWED: usize = 2;
/// What no token allows.
const FORBIDDEN: &str = "bench.forbidden.";

pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// Things that the server has done once it has read all of it.
    pub(super) things: u64,
    /// Acknowledgements that come for them. 0: only PONGs tell.
    pub(super) acks: u64,
    /// Blocks of one connection that may be under way.
    pub(super) window: u64,
    /// Payload bytes of the messages in it, as they are and as they go over the wire.
    pub(super) plain_bytes: u64,
    pub(super) wire_bytes: u64,
}

/// What a server says of subscriptions, as far as it is counted.
#[derive(Deserialize)]
struct Acknowledged<'a> {
    #[serde(borrow)]
    p: Judged<'a>,
}

#[derive(Deserialize)]
struct Judged<'a> {
    action: &'a str,
    #[serde(default)]
    success: bool,
    // Lists of nothing take no memory.
    #[serde(default)]
    success_topics: Vec<IgnoredAny>,
    #[serde(default)]
    failed_topics: Vec<IgnoredAny>,
}

/// The blocks of a flood: connections take them by turns.
///
/// # Errors
/// When a message is to have fewer bytes than its envelope.
pub(super) fn blocks(
    dialect: Dialect,
    flood: &Flood,
    connections: usize,
) -> Result<Vec<Block>, String> {
    let many = |frame: &[u8]| {
        let room = BLOCK_BYTES.min(ALL_BLOCKS_BYTES / connections.max(1));
        flood.frames.unwrap_or_else(|| (room / frame.len()).max(1))
    };
    Ok(match flood.content {
        Content::Messages { bytes } => {
            let frame = dialect.filled(bytes)?;
            let sizes = (bytes, bytes);
            vec![Block::of_messages(dialect, &frame, many(&frame), sizes)]
        }
        Content::Deflated { bytes } => {
            let text = quotes(bytes);
            let message = format!(r#"{{"c":"U","t":"bench","p":{{"text":"{text}"}}}}"#);
            let payload = deflated(message.as_bytes());
            let frame = masked_deflated(&payload);
            let sizes = (message.len(), payload.len());
            vec![Block::of_messages(dialect, &frame, many(&frame), sizes)]
        }
        Content::Changes => {
            let block = |topic: usize| {
                let topics = [format!("{CHANGED}{topic}")];
                let both = [change("subscribe", &topics), change("unsubscribe", &topics)].concat();
                let pairs = (many(&both) / 2).max(1);
                Block::of_questions(both.repeat(pairs), pairs * 2, pairs * 2)
            };
            (0..TOPICS).map(block).collect()
        }
        Content::Checks => {
            let allowed = (0..ALLOWED).map(|number| format!("{CHANGED}{number}"));
            let forbidden = (ALLOWED..ASKED).map(|number| format!("{FORBIDDEN}{number}"));
            let allowed: Vec<String> = allowed.collect();
            let all: Vec<String> = allowed.iter().cloned().chain(forbidden).collect();
            // What a client has is not judged again.
            let both = [change("subscribe", &all), change("unsubscribe", &allowed)].concat();
            let questions = (many(&both) / 2).max(1);
            let frames = both.repeat(questions);
            vec![Block::of_questions(
                frames,
                questions * 2,
                questions * ASKED,
            )]
        }
    })
}

impl Block {
    /// Frames that are acknowledged, all of them so many things.
    fn of_questions(frames: Vec<u8>, acks: usize, things: usize) -> Self {
        Self {
            bytes: [frames, Dialect::Wse.question(0)].concat(),
            things: things as u64,
            acks: acks as u64,
            window: WINDOW_OF_QUESTIONS,
            plain_bytes: 0,
            wire_bytes: 0,
        }
    }

    fn of_messages(dialect: Dialect, frame: &[u8], messages: usize, sizes: (usize, usize)) -> Self {
        let (plain, wire) = sizes;
        Self {
            bytes: [frame.repeat(messages), dialect.question(0)].concat(),
            things: messages as u64,
            acks: 0,
            window: WINDOW,
            plain_bytes: (plain * messages) as u64,
            wire_bytes: (wire * messages) as u64,
        }
    }
}

impl Content {
    /// Things that an acknowledgement says are done. None: it is not one.
    pub(super) fn acknowledged(self, payload: &[u8]) -> Option<u64> {
        let said: Acknowledged<'_> = serde_json::from_slice(payload).ok()?;
        let judged = said.p.success_topics.len() + said.p.failed_topics.len();
        match self {
            Self::Changes => Some(said.p.success.into()),
            Self::Checks if said.p.action == "subscribe" => Some(judged as u64),
            Self::Checks => Some(0),
            Self::Messages { .. } | Self::Deflated { .. } => None,
        }
    }
}

/// Text that shrinks as real messages do: the same words over and over with other numbers. It is the same
/// for all who ask.
pub(super) fn quotes(bytes: usize) -> String {
    let mut random = fastrand::Rng::with_seed(7);
    let mut text = String::with_capacity(bytes + 64);
    while text.len() < bytes {
        let symbol = ["AAPL", "MSFT", "NVDA", "ORCL", "INTC"][random.usize(..5)];
        let (cents, size) = (random.u32(1_000..90_000), random.u32(1..5_000));
        let price = f64::from(cents) / 100.0;
        text += &format!("symbol={symbol} price={price:.2} size={size} side=buy venue=XNAS;");
    }
    text.truncate(bytes);
    text
}

fn change(action: &str, topics: &[String]) -> Vec<u8> {
    let payload = json!({ "action": action, "topics": topics });
    let message = format!(r#"{{"c":"WSE","t":"subscription_update","p":{payload},"v":1}}"#);
    masked(message.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_count_changes_that_were_made_and_topics_that_were_judged() {
        let ack = |success: bool, got: &[&str], not: &[&str]| {
            let payload = json!({ "action": "subscribe", "success": success,
                "success_topics": got, "failed_topics": not });
            let ack = json!({ "c": "WSE", "t": "subscription_update", "p": payload });
            ack.to_string().into_bytes()
        };
        let cases = [
            (ack(true, &["a"], &[]), 1, 1),
            (ack(true, &["a"], &["b", "c"]), 1, 3),
            (ack(false, &[], &["b", "c"]), 0, 2),
        ];
        for (ack, changes, checks) in cases {
            assert_eq!(Content::Changes.acknowledged(&ack), Some(changes));
            assert_eq!(Content::Checks.acknowledged(&ack), Some(checks));
        }
        assert_eq!(Content::Checks.acknowledged(b"{}"), None);
    }

    #[test]
    fn a_block_has_as_many_things_as_its_acknowledgements_say() {
        for (content, things, acks) in [
            (Content::Messages { bytes: 100 }, 6, 0),
            (Content::Deflated { bytes: 100 }, 6, 0),
            (Content::Changes, 6, 6),
            (Content::Checks, 3 * ASKED as u64, 6),
        ] {
            let flood = Flood {
                frames: Some(6),
                ..Flood::of_messages(0, 1.0)
            };
            let flood = Flood { content, ..flood };
            for block in blocks(Dialect::Wse, &flood, 10).unwrap() {
                assert_eq!((block.things, block.acks), (things, acks), "{content:?}");
            }
        }
    }
}
