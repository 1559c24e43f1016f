use proptest::prelude::*;

use super::*;
use crate::wire::NO_CODE;

mod deflate;

const LIMIT: usize = 100_000;

/// What an engine said, in a form that does not depend on how the input was split.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    Closed(u16),
    Failed(Violation),
    Message(Kind, Vec<u8>),
    Transmit(Vec<u8>),
}

/// Feeds the input in pieces of these sizes, the last piece being the rest.
fn run(engine: &mut Engine, input: &[u8], sizes: &[usize]) -> Vec<Seen> {
    run_sharing(engine, &mut Inflater::default(), input, sizes)
}

/// The same with an inflater that others use, too.
fn run_sharing(
    engine: &mut Engine,
    inflater: &mut Inflater,
    input: &[u8],
    sizes: &[usize],
) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut rest = input;
    for size in sizes.iter().copied().chain([input.len()]) {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        feed(engine, inflater, piece, &mut seen);
    }
    transmit(engine, &mut seen);
    seen
}

fn transmit(engine: &mut Engine, seen: &mut Vec<Seen>) {
    let mut out = Vec::new();
    if engine.poll_transmit(&mut out) {
        seen.push(Seen::Transmit(out));
    }
}

fn feed(engine: &mut Engine, inflater: &mut Inflater, piece: &[u8], seen: &mut Vec<Seen>) {
    let mut piece = piece.to_vec();
    let mut at = 0;
    while at < piece.len() {
        if let Some((kind, payload)) = engine.take_whole(&mut piece[at..], LIMIT) {
            let payload = at + payload.start..at + payload.end;
            at = payload.end;
            seen.push(Seen::Message(kind, piece[payload].to_vec()));
            continue;
        }
        let step = engine.handle_input(&mut piece[at..], LIMIT, inflater);
        assert!(step.event.is_some() || at + step.consumed == piece.len());
        match step.event {
            None => {}
            Some(Event::Assembled(message)) => {
                seen.push(Seen::Message(message.kind(), message.payload().to_vec()));
            }
            Some(Event::Closed(code)) => seen.push(Seen::Closed(code)),
            Some(Event::Failed(violation)) => seen.push(Seen::Failed(violation)),
            Some(Event::Ping) => transmit(engine, seen),
        }
        at += step.consumed;
    }
}

fn whole(input: &[u8]) -> Vec<Seen> {
    run(&mut Engine::default(), input, &[])
}

fn text(payload: &str) -> Seen {
    Seen::Message(Kind::Text, payload.as_bytes().to_vec())
}

/// A client's frame, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0xfe);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0xff);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    out
}

#[test]
fn the_example_of_the_rfc() {
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(whole(&hello), [text("Hello")]);
}

#[test]
fn control_frames_come_between_fragments() {
    let input = [
        frame(0x01, b"a"),
        frame(0x89, b"?"),
        frame(0x00, b"b"),
        frame(0x80, b""),
    ]
    .concat();
    assert_eq!(
        whole(&input),
        [Seen::Transmit(b"\x8a\x01?".to_vec()), text("ab")]
    );
}

#[test]
fn every_ping_is_answered_in_its_place() {
    let input = [
        frame(0x89, b"1"),
        frame(0x81, b"a"),
        frame(0x89, b"2"),
        frame(0x8a, b"unasked"),
    ]
    .concat();
    let pong = |payload: &[u8]| Seen::Transmit([b"\x8a\x01", payload].concat());
    assert_eq!(whole(&input), [pong(b"1"), text("a"), pong(b"2")]);
}

#[test]
fn a_close_frame_is_echoed_with_its_code() {
    let input = [frame(0x88, b"\x03\xe8bye"), frame(0x81, b"late")].concat();
    assert_eq!(
        whole(&input),
        [
            Seen::Closed(1000),
            Seen::Transmit(b"\x88\x02\x03\xe8".to_vec())
        ]
    );
    assert_eq!(
        whole(&frame(0x88, b"")),
        [Seen::Closed(NO_CODE), Seen::Transmit(b"\x88\x00".to_vec())]
    );
}

#[test]
fn violations_have_their_codes() {
    let table: [(Vec<u8>, Violation, u16); 10] = [
        (frame(0x80, b"x"), Violation::UnexpectedContinuation, 1002),
        (
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            Violation::MessageInsideMessage,
            1002,
        ),
        (frame(0x81, b"\xff"), Violation::InvalidUtf8, 1007),
        (
            [frame(0x01, b"\xce"), frame(0x80, b"")].concat(),
            Violation::InvalidUtf8,
            1007,
        ),
        (frame(0x88, b"x"), Violation::CloseBody, 1002),
        (frame(0x88, b"\x03\xed"), Violation::CloseCode, 1002),
        (frame(0x88, b"\x03\xe8\xff"), Violation::InvalidUtf8, 1007),
        (frame(0x82, &[0; LIMIT + 1]), Violation::TooBig, 1009),
        (
            [frame(0x02, &[0; LIMIT]), frame(0x80, b"x")].concat(),
            Violation::TooBig,
            1009,
        ),
        (frame(0xc1, b"x"), Violation::ReservedBits, 1002),
    ];
    for (input, violation, code) in table {
        let seen = whole(&input);
        assert_eq!(seen[0], Seen::Failed(violation));
        let Seen::Transmit(out) = &seen[1] else {
            panic!("no Close frame: {seen:?}")
        };
        assert_eq!((out[0], u16::from_be_bytes([out[2], out[3]])), (0x88, code));
        assert_eq!(seen.len(), 2);
    }
}

#[test]
fn after_our_close_only_the_clients_close_is_seen() {
    let mut engine = Engine::default();
    let started = frame(0x01, b"never finished");
    assert_eq!(run(&mut engine, &started[..9], &[]), []);
    assert!(engine.close(4300, "drain"));
    assert!(!engine.close(4401, "again"));
    assert!(!engine.is_open());
    assert_eq!(engine.partial_bytes(), 0);
    let rest = [
        &started[9..],
        &frame(0x82, &[0; 70_000]),
        &frame(0x89, b"?"),
        &frame(0x88, b"\x10\xcc"),
    ]
    .concat();
    let out = b"\x88\x07\x10\xccdrain".to_vec();
    assert_eq!(
        run(&mut engine, &rest, &[3, 5_000]),
        [Seen::Closed(4300), Seen::Transmit(out)]
    );
}

#[test]
fn an_idle_engine_holds_no_memory() {
    let mut engine = Engine::default();
    let input = [
        frame(0x01, b"a"),
        frame(0x80, &[b'b'; 3_000]),
        frame(0x8a, b"pong"),
    ]
    .concat();
    for byte in &input {
        run(&mut engine, &[*byte], &[]);
    }
    assert_eq!(engine.partial_bytes(), 0);
}

/// Where the fragments of a payload end that is cut at these places.
fn ends(cuts: &[prop::sample::Index], payload_bytes: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts
        .iter()
        .map(|cut| cut.index(payload_bytes + 1))
        .collect();
    ends.sort_unstable();
    ends.push(payload_bytes);
    ends
}

/// A valid exchange: messages in one or several frames, pings between them, perhaps a Close frame.
fn valid_stream() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        3 => ".{0,20}".prop_map(|text| (Kind::Text, text.into_bytes())),
        2 => prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (Kind::Binary, bytes)),
        1 => (65_530_usize..65_540).prop_map(|n| (Kind::Binary, vec![7; n])),
    ];
    let message = (
        body,
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        any::<bool>(),
    );
    let close = prop::option::of(Just(frame(0x88, b"\x0f\xa0over")));
    (prop::collection::vec(message, 0..6), close).prop_map(|(messages, close)| {
        let mut out = Vec::new();
        for ((kind, payload), cuts, ping) in messages {
            let cuts = ends(&cuts, payload.len());
            let last = cuts.len() - 1;
            let mut from = 0;
            for (i, to) in cuts.into_iter().enumerate() {
                let opcode = match (i, kind) {
                    (0, Kind::Text) => 0x01,
                    (0, Kind::Binary) => 0x02,
                    _ => 0x00,
                };
                let fin = if i == last { 0x80 } else { 0x00 };
                out.extend(frame(fin | opcode, &payload[from..to]));
                if ping {
                    out.extend(frame(0x89, b"between"));
                }
                from = to;
            }
        }
        out.extend(close.into_iter().flatten());
        out
    })
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![4 => 0_usize..12, 1 => 0_usize..70_000], 0..60)
}

proptest! {
    #[test]
    fn any_split_of_a_valid_stream_gives_the_same_events(stream in valid_stream(), sizes in sizes()) {
        let seen = whole(&stream);
        prop_assert!(!seen.iter().any(|seen| matches!(seen, Seen::Failed(_))));
        prop_assert_eq!(run(&mut Engine::default(), &stream, &sizes), seen);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_splits_do_not_matter(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        sizes in prop::collection::vec(0_usize..20, 0..30),
    ) {
        prop_assert_eq!(run(&mut Engine::default(), &bytes, &sizes), whole(&bytes));
    }

    #[test]
    fn damaged_streams_never_panic_and_splits_do_not_matter(
        stream in valid_stream(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        sizes in sizes(),
    ) {
        let mut stream = stream;
        prop_assume!(!stream.is_empty());
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        prop_assert_eq!(run(&mut Engine::default(), &stream, &sizes), whole(&stream));
    }
}

#[test]
fn frames_that_complete_no_message_are_counted() {
    let mut engine = Engine::default();
    let frames = [
        frame(0x81, b"whole"),
        frame(0x89, b"ping"),
        frame(0x8a, b"pong"),
        frame(0x01, b"first"),
        frame(0x00, b"middle"),
        frame(0x80, b"last"),
    ];
    run(&mut engine, &frames.concat(), &[7, 20]);
    assert_eq!(engine.take_overhead_frames(), 4);
    assert_eq!(engine.take_overhead_frames(), 0);
}
