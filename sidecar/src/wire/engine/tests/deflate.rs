//! Deflated messages among frames.

use flate2::{Compress, Compression, FlushCompress};

use super::*;

/// Final frames whose message is deflated.
const TEXT: u8 = 0xc1;
const BINARY: u8 = 0xc2;

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
/// "Hello" again, for those who remember it.
const AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

fn engine(context_takeover: bool) -> Engine {
    Engine::new(Some(Agreed::for_tests(
        "permessage-deflate",
        context_takeover,
    )))
}

fn inflated(input: &[u8]) -> Vec<Seen> {
    run(&mut engine(false), input, &[])
}

fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * payload.len() + 100);
    Compress::new(Compression::new(6), false)
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

#[test]
fn messages_are_inflated_whole_and_in_fragments() {
    let input = [
        frame(TEXT, HELLO),
        frame(0x81, b"plain"),
        frame(0x41, &HELLO[..3]),
        frame(0x89, b"?"),
        frame(0x00, b""),
        frame(0x00, &HELLO[3..4]),
        frame(0x80, &HELLO[4..]),
        frame(BINARY, b"\x00"),
        frame(BINARY, b""),
        frame(0x81, b"plain"),
    ]
    .concat();
    let expected = [
        text("Hello"),
        text("plain"),
        Seen::Transmit(b"\x8a\x01?".to_vec()),
        text("Hello"),
        Seen::Message(Kind::Binary, Vec::new()),
        Seen::Message(Kind::Binary, Vec::new()),
        text("plain"),
    ];
    assert_eq!(inflated(&input), expected);
    for size in 1..20 {
        let sizes = vec![size; input.len() / size];
        assert_eq!(run(&mut engine(false), &input, &sizes), expected, "{size}");
    }
}

#[test]
fn violations_have_their_codes() {
    let bomb = deflate(&vec![0; LIMIT + 1]);
    let long = vec![0; LIMIT + LIMIT / 8 + 65];
    let table: [(Vec<u8>, Violation, u16); 11] = [
        (frame(0xc0, HELLO), Violation::ReservedBits, 1002),
        (
            [frame(0x41, b"\xf2"), frame(0xc0, b"\x00")].concat(),
            Violation::ReservedBits,
            1002,
        ),
        (frame(0xc9, b""), Violation::ReservedBits, 1002),
        (frame(0xc8, b""), Violation::ReservedBits, 1002),
        (frame(0xe1, HELLO), Violation::ReservedBits, 1002),
        (
            [frame(0x41, HELLO), frame(TEXT, HELLO)].concat(),
            Violation::MessageInsideMessage,
            1002,
        ),
        (frame(BINARY, &HELLO[..3]), Violation::InvalidDeflate, 1007),
        (
            frame(TEXT, &deflate(b"\xff and more")),
            Violation::InvalidUtf8,
            1007,
        ),
        (frame(BINARY, &bomb), Violation::InflatedTooBig, 1009),
        (
            [frame(0x42, &bomb[..50]), frame(0x80, &bomb[50..])].concat(),
            Violation::InflatedTooBig,
            1009,
        ),
        (frame(BINARY, &long), Violation::TooBig, 1009),
    ];
    for (input, violation, code) in table {
        let seen = inflated(&input);
        assert_eq!(seen[0], Seen::Failed(violation));
        let Seen::Transmit(out) = &seen[1] else {
            panic!("no Close frame: {seen:?}")
        };
        assert_eq!((out[0], u16::from_be_bytes([out[2], out[3]])), (0x88, code));
    }
    assert_eq!(
        whole(&frame(TEXT, HELLO))[0],
        Seen::Failed(Violation::ReservedBits)
    );
}

#[test]
fn only_agreed_sessions_remember_what_was_said() {
    let mut inflater = Inflater::default();
    let (mut one, mut other) = (engine(true), engine(true));
    let mut send = |engine: &mut Engine, payload: &[u8]| {
        run_sharing(engine, &mut inflater, &frame(TEXT, payload), &[]).remove(0)
    };
    assert_eq!(send(&mut one, HELLO), text("Hello"));
    assert_eq!(send(&mut one, AGAIN), text("Hello"));
    assert_eq!(
        send(&mut other, AGAIN),
        Seen::Failed(Violation::InvalidDeflate)
    );
    assert_eq!(send(&mut one, AGAIN), text("Hello"));
    assert!((15..100).contains(&one.history_bytes()));

    let mut alone = engine(false);
    assert_eq!(send(&mut alone, HELLO), text("Hello"));
    assert_eq!(alone.history_bytes(), 0);
    assert_eq!(
        send(&mut alone, AGAIN),
        Seen::Failed(Violation::InvalidDeflate)
    );
}

#[test]
fn after_our_close_nothing_is_inflated() {
    let mut engine = engine(false);
    let mut inflater = Inflater::default();
    engine.close(4300, "drain");
    let input = [
        frame(TEXT, b"\x07"),
        frame(BINARY, &deflate(&vec![0; 2 * LIMIT])),
        frame(0x88, b"\x10\xcc"),
    ];
    let seen = run_sharing(&mut engine, &mut inflater, &input.concat(), &[5]);
    assert_eq!(seen[0], Seen::Closed(4300));
    assert_eq!(inflater.done(), Default::default());
}

#[test]
fn an_idle_engine_holds_no_memory() {
    let mut engine = engine(false);
    for byte in [frame(0x41, &HELLO[..2]), frame(0x80, &HELLO[2..])].concat() {
        run(&mut engine, &[byte], &[]);
    }
    assert_eq!((engine.partial_bytes(), engine.history_bytes()), (0, 0));
}

/// Messages, deflated or not, in one or several frames, with pings between them.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<Seen>)> {
    let message = (
        prop_oneof![
            4 => "[a-e ]{0,300}".prop_map(String::into_bytes),
            1 => (0..LIMIT).prop_map(|n| vec![b'x'; n]),
        ],
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        any::<bool>(),
        any::<bool>(),
    );
    prop::collection::vec(message, 0..8).prop_map(|messages| {
        let (mut out, mut seen) = (Vec::new(), Vec::new());
        for (plain, cuts, is_deflated, ping) in messages {
            let payload = if is_deflated {
                deflate(&plain)
            } else {
                plain.clone()
            };
            let cuts = ends(&cuts, payload.len());
            let last = cuts.len() - 1;
            let mut from = 0;
            for (i, to) in cuts.into_iter().enumerate() {
                let first = if i > 0 {
                    0x00
                } else {
                    0x01 | u8::from(is_deflated) << 6
                };
                let fin = u8::from(i == last) << 7;
                out.extend(frame(fin | first, &payload[from..to]));
                if ping {
                    out.extend(frame(0x8a, b"between"));
                }
                from = to;
            }
            seen.push(Seen::Message(Kind::Text, plain));
        }
        (out, seen)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_and_any_fragmentation_give_the_messages_that_were_sent(
        (stream, expected) in stream(),
        sizes in sizes(),
    ) {
        prop_assert_eq!(run(&mut engine(false), &stream, &sizes), &expected[..]);
        prop_assert_eq!(run(&mut engine(true), &stream, &sizes), expected);
    }

    #[test]
    fn damaged_streams_never_panic_and_splits_do_not_matter(
        (stream, _) in stream(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        sizes in sizes(),
    ) {
        let mut stream = stream;
        prop_assume!(!stream.is_empty());
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        prop_assert_eq!(run(&mut engine(true), &stream, &sizes), run(&mut engine(true), &stream, &[]));
    }
}
