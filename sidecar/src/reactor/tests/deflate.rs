//! What clients that inflate are sent, and what they send.

use std::rc::Rc;

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress};

use super::rig::{Client, Rig, Seen, frame};
use crate::reactor::{
    BlockBuilder, Closed, Compression, Kind, Options, Overflow, Pushed, Reply, SessionId, Span,
};
use crate::wire::deflate::Agreed;

const CLOSE: Overflow = Overflow::Close(4508);

fn options() -> Options {
    Options {
        compression: Compression {
            level: 6,
            min_bytes: 64,
        },
        outbound_bytes: 64 * 1024,
        ..Options::default()
    }
}

/// Clients of every kind: what they offer, and whether the server lets messages refer back.
const KINDS: [(&str, bool); 4] = [
    ("permessage-deflate", false),
    ("permessage-deflate", true),
    ("permessage-deflate; server_max_window_bits=9", false),
    ("permessage-deflate; server_max_window_bits=9", true),
];

fn agreed((offer, context_takeover): (&'static str, bool)) -> Option<Agreed> {
    Some(Agreed::for_tests(offer, context_takeover))
}

/// The client's side of the extension, with zlib's own memory of what was said.
struct Peer {
    inflate: Decompress,
    remembers: bool,
}

impl Peer {
    fn new((offer, remembers): (&str, bool)) -> Self {
        let bits = if offer.ends_with("=9") { 9 } else { 15 };
        Self {
            inflate: Decompress::new_with_window_bits(false, bits),
            remembers,
        }
    }

    /// What the frames say: the opcode, and the payload inflated.
    fn read(&mut self, frames: &[(u8, Vec<u8>)]) -> Vec<(u8, Vec<u8>)> {
        let mut messages = Vec::new();
        for (first, payload) in frames {
            let payload = if first & 0x40 == 0 {
                payload.clone()
            } else {
                self.inflate(payload)
            };
            messages.push((first & !0x40, payload));
        }
        messages
    }

    fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.remembers {
            self.inflate.reset(false);
        }
        let input = [payload, &[0, 0, 0xff, 0xff]].concat();
        let mut out = Vec::with_capacity(1 << 20);
        self.inflate
            .decompress_vec(&input, &mut out, FlushDecompress::Sync)
            .unwrap();
        out
    }
}

fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 100);
    Compress::new(Level::new(6), false)
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

fn price(number: usize) -> Vec<u8> {
    let items = (0..8).map(|i| format!(r#"{{"symbol":"EURUSD","price":{}}},"#, number * 97 + i));
    items.collect::<String>().into_bytes()
}

fn span(messages: &[Vec<u8>]) -> Span {
    let mut builder = BlockBuilder::default();
    for message in messages {
        builder.push(Kind::Text, message);
    }
    Span::whole(builder.finish())
}

fn texts(messages: &[Vec<u8>]) -> Vec<(u8, Vec<u8>)> {
    messages
        .iter()
        .map(|message| (0x81, message.clone()))
        .collect()
}

#[test]
fn one_block_says_the_same_to_everybody() {
    let mut rig = Rig::new(options());
    let mut clients: Vec<(SessionId, Client, Option<Peer>)> = Vec::new();
    for _ in 0..2 {
        let (id, client) = rig.connect(b"");
        clients.push((id, client, None));
        for kind in KINDS {
            let (id, client) = rig.connect_deflating(agreed(kind));
            clients.push((id, client, Some(Peer::new(kind))));
        }
    }
    let mut expected = Vec::new();
    for round in 0..5 {
        let messages = [
            price(round),
            b"short".to_vec(),
            Vec::new(),
            price(round + 100).repeat(20),
        ];
        let all = span(&messages);
        for (index, (id, ..)) in clients.iter().enumerate() {
            // Half of them joined when the block had a message.
            let first = u32::from(index % 2 == 1);
            let span = Span {
                first,
                ..all.clone()
            };
            assert_eq!(rig.reactor.cx.push(*id, &span, CLOSE), Pushed::Queued);
        }
        expected.push(messages);
    }
    for (index, (_, client, peer)) in clients.iter_mut().enumerate() {
        let joined = index % 2;
        let expected: Vec<_> = expected
            .iter()
            .flat_map(|messages| texts(&messages[joined..]))
            .collect();
        let frames = rig.frames(client, expected.len());
        match peer {
            None => assert!(frames == expected),
            Some(peer) => {
                let deflated = frames.iter().filter(|(first, _)| first & 0x40 != 0);
                assert_eq!(deflated.count(), (2 - joined) * 5);
                assert!(peer.read(&frames) == expected);
            }
        }
    }
    let counters = rig.reactor.cx.counters;
    assert_eq!(counters.sessions_deflated, 8);
    assert!(counters.deflated_bytes * 5 < counters.deflated_plain_bytes);
}

#[test]
fn a_block_is_deflated_once_for_all_who_can_share_it() {
    let mut rig = Rig::new(options());
    let (one, _client) = rig.connect_deflating(agreed(KINDS[0]));
    let (other, _client) = rig.connect_deflating(agreed(KINDS[0]));
    let (alone, _client) = rig.connect_deflating(agreed(KINDS[2]));
    let all = span(&[price(1), price(2)]);
    let late = Span {
        first: 1,
        ..all.clone()
    };
    let cx = &mut rig.reactor.cx;
    let first = cx.deflated_span(one, &late, CLOSE);
    let second = cx.deflated_span(other, &all, CLOSE);
    assert!(Rc::ptr_eq(&first.block, &second.block));
    assert_eq!((first.frames(), second.frames()), (1, 2));
    assert!(second.as_bytes().ends_with(first.as_bytes()));
    assert!(!Rc::ptr_eq(
        &second.block,
        &cx.deflated_span(alone, &all, CLOSE).block
    ));
    // What does not shrink takes no memory twice.
    let short = span(&[b"short".to_vec()]);
    let same = cx.deflated_span(one, &short, CLOSE);
    assert!(Rc::ptr_eq(&short.block, &same.block));
}

#[test]
fn messages_sent_and_echoed_stay_in_order() {
    for kind in KINDS {
        let mut rig = Rig::new(options());
        rig.reactor.handler.answer = |id, payload, cx| {
            if payload.starts_with(b"send") {
                cx.send(id, Kind::Text, payload);
                return Reply::Nothing;
            }
            Reply::InPlace
        };
        let (_, mut client) = rig.connect_deflating(agreed(kind));
        let mut messages = Vec::new();
        let mut input = Vec::new();
        for i in 0..40 {
            let message = match i % 4 {
                0 => [b"send ".to_vec(), price(i)].concat(),
                1 => b"short".to_vec(),
                _ => price(i),
            };
            if i % 3 == 0 {
                let deflated = deflate(&message);
                let (head, tail) = deflated.split_at(deflated.len() / 2);
                input.extend([frame(0x41, head), frame(0x80, tail)].concat());
            } else {
                input.extend(frame(0x81, &message));
            }
            messages.push(message);
        }
        for piece in input.chunks(1_000) {
            client.send(piece);
            rig.turn();
        }
        let frames = rig.frames(&mut client, messages.len());
        assert!(
            Peer::new(kind).read(&frames) == texts(&messages),
            "{kind:?}"
        );
        let counters = rig.reactor.cx.counters;
        assert_eq!(
            (counters.messages_in, counters.messages_out),
            (messages.len() as u64, messages.len() as u64)
        );
        assert!(counters.inflated_bytes < counters.inflated_plain_bytes);
    }
}

#[test]
fn drops_do_not_confuse_a_client_that_remembers() {
    for overflow in [Overflow::DropNewest, Overflow::LatestWins { key: 7 }] {
        let mut rig = Rig::new(options());
        let kind = KINDS[1];
        let (id, mut client) = rig.connect_deflating(agreed(kind));
        // Noise, so that the queue fills although it is deflated.
        let noise = |number: usize| -> Vec<u8> {
            let mut seed = number as u32 + 1;
            let digits = (0..6_000).map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b'a' + (seed >> 28) as u8
            });
            digits.collect()
        };
        let mut queued = Vec::new();
        let mut dropped = 0;
        for number in 0..400 {
            let message = noise(number);
            let other = price(number);
            for (message, overflow) in [(message, overflow), (other, Overflow::DropNewest)] {
                let span = span(std::slice::from_ref(&message));
                match rig.reactor.cx.push(id, &span, overflow) {
                    Pushed::Queued => queued.push(message),
                    Pushed::Replaced(frames) => {
                        dropped += frames;
                        queued.push(message);
                    }
                    Pushed::Dropped(frames) => dropped += frames,
                    other => panic!("{other:?}"),
                }
            }
            if number % 8 == 0 {
                rig.turn();
            }
            if number % 100 == 50 {
                client.read();
            }
        }
        assert!(dropped > 0);
        rig.until(|rig| {
            client.read();
            rig.reactor.cx.queued_bytes(id) == 0
        });
        client.read();
        let read = Peer::new(kind).read(&client.frames());
        // Every message that came is one that was queued, in that order.
        let mut rest = queued.iter();
        for (_, message) in &read {
            assert!(rest.any(|queued| queued == message), "{overflow:?}");
        }
        assert!(read.len() > 50, "{}", read.len());
    }
}

#[test]
fn a_bomb_closes_its_session_and_is_counted() {
    let mut rig = Rig::new(options());
    let (id, mut client) = rig.connect_deflating(agreed(KINDS[0]));
    let bomb = deflate(&vec![0; 20 << 20]);
    client.send(&frame(0xc2, &bomb));
    let frames = rig.frames(&mut client, 1);
    assert_eq!(frames[0].0, 0x88);
    assert_eq!(frames[0].1[..2], 1009_u16.to_be_bytes());
    assert_eq!(rig.closed(), [(id, Closed::ByServer(1009))]);
    rig.turn();
    let counters = rig.reactor.cx.counters;
    assert_eq!((counters.inflated_oversize, counters.messages_in), (1, 0));
    assert_eq!(counters.inflated_plain_bytes, (1 << 20) + 1);
}

#[test]
fn what_is_remembered_is_counted_and_goes_with_the_session() {
    let mut rig = Rig::new(options());
    let (id, mut client) = rig.connect_deflating(agreed(KINDS[1]));
    let (_, mut other) = rig.connect_deflating(agreed(KINDS[0]));
    let message = price(1).repeat(200);
    for client in [&mut client, &mut other] {
        client.send(&frame(0xc1, &deflate(&message)));
        rig.frames(client, 1);
    }
    assert_eq!(rig.messages(), 2);
    assert!(rig.reactor.handler.seen.contains(&Seen::Message(message)));
    // 32 KiB of what the client said, 8 KiB of what it was told.
    assert_eq!(rig.reactor.cx.counters.history_bytes, 40 << 10);
    rig.reactor.cx.abort(id);
    rig.turn();
    assert_eq!(rig.reactor.cx.counters.history_bytes, 0);
}

#[test]
fn a_new_level_is_taken_by_a_running_reactor() {
    let mut rig = Rig::new(options());
    let (id, mut client) = rig.connect_deflating(agreed(KINDS[0]));
    let deflated = |rig: &mut Rig| {
        let message = price(7).repeat(30);
        rig.reactor.cx.send(id, Kind::Text, &message)
    };
    assert_eq!(deflated(&mut rig), Pushed::Queued);
    for (level, min_bytes) in [(1, 64), (9, 64), (9, 1 << 20)] {
        rig.inbox.resize(Options {
            compression: Compression { level, min_bytes },
            ..options()
        });
        rig.turn();
        assert_eq!(deflated(&mut rig), Pushed::Queued);
    }
    let frames = rig.frames(&mut client, 4);
    let sizes: Vec<_> = frames.iter().map(|(_, payload)| payload.len()).collect();
    assert!(sizes[1] >= sizes[0] && sizes[0] >= sizes[2], "{sizes:?}");
    assert_eq!(frames[3].0, 0x81);
    let said = Peer::new(KINDS[0]).read(&frames);
    assert!(said.iter().all(|message| *message == said[3]));
}
