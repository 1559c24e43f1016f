//! What a client sends, and what it must get back. Every case runs in one write and in small pieces, plain
//! and over TLS.

use std::thread;

use rustls::version::{TLS12, TLS13};

use super::client::{BINARY, CLOSE, Client, Frame, PING, PONG, TEXT, body, frame};
use super::server::Server;

/// Largest message of the echo example.
const LIMIT: usize = 1024 * 1024;

struct Case {
    name: String,
    send: Vec<u8>,
    /// Messages that come back: first byte and payload.
    messages: Vec<(u8, Vec<u8>)>,
    /// The last pong.
    pong: Option<Vec<u8>>,
    /// The code in the Close frame; None when its body is empty.
    close: Option<u16>,
}

/// Something that is answered, and does not end the connection.
fn fine(name: &str, send: &[Vec<u8>], messages: &[(u8, &[u8])], pong: Option<&[u8]>) -> Case {
    let last = frame(CLOSE, &body(1000, "done"));
    Case {
        name: name.to_owned(),
        send: [&send.concat(), last.as_slice()].concat(),
        messages: messages
            .iter()
            .map(|(first, payload)| (*first, payload.to_vec()))
            .collect(),
        pong: pong.map(<[u8]>::to_vec),
        close: Some(1000),
    }
}

/// Something that ends the connection with this code; what follows is not answered.
fn ends(name: impl Into<String>, send: &[Vec<u8>], code: impl Into<Option<u16>>) -> Case {
    Case {
        name: name.into(),
        send: [&send.concat(), frame(TEXT, b"too late").as_slice()].concat(),
        messages: Vec::new(),
        pong: None,
        close: code.into(),
    }
}

fn messages() -> Vec<Case> {
    let mut cases = vec![
        fine("empty text", &[frame(TEXT, b"")], &[(TEXT, b"")], None),
        fine(
            "empty binary",
            &[frame(BINARY, b"")],
            &[(BINARY, b"")],
            None,
        ),
        fine(
            "any bytes as binary",
            &[frame(BINARY, b"\xff\0")],
            &[(BINARY, b"\xff\0")],
            None,
        ),
        fine(
            "all lengths of UTF-8",
            &[frame(TEXT, "aä€😀\u{10ffff}".as_bytes())],
            &[(TEXT, "aä€😀\u{10ffff}".as_bytes())],
            None,
        ),
        fine(
            "several messages",
            &[frame(TEXT, b"1"), frame(BINARY, b"2"), frame(TEXT, b"3")],
            &[(TEXT, b"1"), (BINARY, b"2"), (TEXT, b"3")],
            None,
        ),
        fine(
            "a length in more bytes than it needs",
            &[b"\x81\xff\0\0\0\0\0\0\0\x02\0\0\0\0hi".to_vec()],
            &[(TEXT, b"hi")],
            None,
        ),
    ];
    for n in [
        1, 2, 3, 4, 7, 31, 32, 63, 64, 65, 125, 126, 127, 65_535, 65_536, 200_000, LIMIT,
    ] {
        let payload = vec![b'x'; n];
        let name = format!("{n} bytes");
        cases.push(fine(
            &name,
            &[frame(TEXT, &payload)],
            &[(TEXT, &payload)],
            None,
        ));
    }
    cases
}

fn fragments() -> Vec<Case> {
    let large = vec![b'x'; LIMIT / 2];
    vec![
        fine(
            "two fragments",
            &[frame(0x01, b"a"), frame(0x80, b"b")],
            &[(TEXT, b"ab")],
            None,
        ),
        fine(
            "empty fragments",
            &[frame(0x02, b""), frame(0x00, b""), frame(0x80, b"")],
            &[(BINARY, b"")],
            None,
        ),
        fine(
            "a character cut in two",
            &[frame(0x01, b"\xe2\x82"), frame(0x80, b"\xac")],
            &[(TEXT, "€".as_bytes())],
            None,
        ),
        fine(
            "control frames between fragments",
            &[
                frame(0x01, b"a"),
                frame(PING, b"1"),
                frame(0x00, b"b"),
                frame(PONG, b"2"),
                frame(0x80, b"c"),
            ],
            &[(TEXT, b"abc")],
            Some(b"1"),
        ),
        fine(
            "fragments up to the limit",
            &[frame(0x02, &large), frame(0x80, &large)],
            &[(BINARY, &large.repeat(2))],
            None,
        ),
        ends("continuation of nothing", &[frame(0x80, b"a")], 1002),
        ends("first fragment without a first", &[frame(0x00, b"a")], 1002),
        ends(
            "message inside a message",
            &[frame(0x01, b"a"), frame(TEXT, b"b")],
            1002,
        ),
        Case {
            messages: vec![(TEXT, Vec::new())],
            ..ends(
                "continuation after the end",
                &[frame(0x01, b""), frame(0x80, b""), frame(0x80, b"")],
                1002,
            )
        },
    ]
}

fn control_frames() -> Vec<Case> {
    vec![
        fine("ping", &[frame(PING, b"payload")], &[], Some(b"payload")),
        fine("empty ping", &[frame(PING, b"")], &[], Some(b"")),
        fine(
            "longest ping",
            &[frame(PING, &[0xfe; 125])],
            &[],
            Some(&[0xfe; 125]),
        ),
        fine(
            "several pings",
            &[frame(PING, b"1"), frame(PING, b"2")],
            &[],
            Some(b"2"),
        ),
        fine(
            "pong that nobody asked for",
            &[frame(PONG, b"x")],
            &[],
            None,
        ),
        Case {
            pong: Some(b"1".to_vec()),
            ..ends(
                "ping before the end",
                &[frame(PING, b"1"), frame(CLOSE, b"")],
                None,
            )
        },
        ends("ping too long", &[frame(PING, &[0; 126])], 1002),
        ends("close too long", &[frame(CLOSE, &[0; 126])], 1002),
        ends("ping in fragments", &[frame(0x09, b"a")], 1002),
        ends("pong in fragments", &[frame(0x0a, b"a")], 1002),
        ends("close in fragments", &[frame(0x08, b"")], 1002),
    ]
}

fn closes() -> Vec<Case> {
    let mut cases = vec![
        ends("close without a code", &[frame(CLOSE, b"")], None),
        ends("close with half a code", &[frame(CLOSE, b"\x03")], 1002),
        ends(
            "close with the longest reason",
            &[frame(CLOSE, &body(1000, &"r".repeat(123)))],
            1000,
        ),
        ends(
            "close with a reason that is not UTF-8",
            &[frame(CLOSE, b"\x03\xe8\xc3\x28")],
            1007,
        ),
        ends(
            "close inside a message",
            &[frame(0x01, b"a"), frame(CLOSE, &body(1001, ""))],
            1001,
        ),
    ];
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ] {
        cases.push(ends(
            format!("close {code}"),
            &[frame(CLOSE, &body(code, "why"))],
            code,
        ));
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1012, 1015, 1100, 2000, 2999, 5000, 65_535,
    ] {
        cases.push(ends(
            format!("close {code}"),
            &[frame(CLOSE, &body(code, ""))],
            1002,
        ));
    }
    cases
}

fn violations() -> Vec<Case> {
    let mut cases = vec![
        ends("frame without a mask", &[b"\x81\x02hi".to_vec()], 1002),
        ends(
            "control frame without a mask",
            &[b"\x89\x00".to_vec()],
            1002,
        ),
        ends(
            "length above 2^63",
            &[b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec()],
            1002,
        ),
        ends(
            "more than the limit",
            &[frame(BINARY, &[0; LIMIT + 1])],
            1009,
        ),
        ends(
            "a length of 2^62",
            &[b"\x82\xff\x40\0\0\0\0\0\0\0\0\0\0\0".to_vec()],
            1009,
        ),
        ends(
            "fragments above the limit",
            &[frame(0x02, &[0; LIMIT]), frame(0x80, b"x")],
            1009,
        ),
    ];
    for (name, bit) in [("RSV1", 0x40), ("RSV2", 0x20), ("RSV3", 0x10)] {
        cases.push(ends(name, &[frame(TEXT | bit, b"a")], 1002));
        cases.push(ends(
            format!("{name} on a ping"),
            &[frame(PING | bit, b"")],
            1002,
        ));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push(ends(
            format!("opcode {opcode}"),
            &[frame(0x80 | opcode, b"")],
            1002,
        ));
    }
    let not_utf8: [&[u8]; 8] = [
        b"\xff",
        b"\x80",
        b"abc\xc3",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ];
    for text in not_utf8 {
        cases.push(ends(format!("text {text:x?}"), &[frame(TEXT, text)], 1007));
        let (head, tail) = text.split_at(text.len() / 2);
        let split = [frame(0x01, head), frame(0x00, b""), frame(0x80, tail)];
        cases.push(ends(format!("fragmented text {text:x?}"), &split, 1007));
    }
    cases
}

fn check(client: &mut Client, case: &Case) {
    let name = &case.name;
    let frames = client.rest();
    let (last, others) = frames
        .split_last()
        .unwrap_or_else(|| panic!("{name}: nothing came"));
    let code = last
        .payload
        .first_chunk()
        .map(|code| u16::from_be_bytes(*code));
    assert_eq!(
        (last.first, code),
        (CLOSE, case.close),
        "{name}: {frames:?}"
    );
    let (pongs, messages): (Vec<&Frame>, Vec<&Frame>) =
        others.iter().partition(|frame| frame.first == PONG);
    let messages: Vec<_> = messages
        .into_iter()
        .map(|frame| (frame.first, frame.payload.clone()))
        .collect();
    assert!(
        messages == case.messages,
        "{name}: other messages than were sent"
    );
    assert_eq!(
        pongs.last().map(|pong| &pong.payload),
        case.pong.as_ref(),
        "{name}"
    );
}

fn run(cases: &[Case]) {
    run_over_tls(cases);
    let server = Server::start(1);
    for case in cases {
        let mut client = Client::open(server.address);
        client.send(&case.send);
        check(&mut client, case);

        let mut client = Client::open(server.address);
        let piece = if case.send.len() < 300 { 1 } else { 3_001 };
        let mut sender = client.sender();
        thread::scope(|scope| {
            // The server may have ended the connection before the last piece.
            scope.spawn(|| {
                let mut pieces = case.send.chunks(piece);
                pieces.all(|piece| std::io::Write::write_all(&mut sender, piece).is_ok());
            });
            check(&mut client, case);
        });
    }
}

/// The same behind the request, and in records that have nothing to do with the frames.
fn run_over_tls(cases: &[Case]) {
    let server = Server::start_with_tls();
    for case in cases {
        for version in [&TLS12, &TLS13] {
            let tls = || server.tls(version);
            let mut client = Client::open_over(tls(), server.address, &case.send);
            check(&mut client, case);

            let mut client = Client::open_over(tls(), server.address, &[]);
            let piece = if case.send.len() < 300 { 1 } else { 3_001 };
            // The server may have ended the connection before the last piece.
            let mut pieces = case.send.chunks(piece);
            pieces.all(|piece| client.try_send(piece).is_ok());
            check(&mut client, case);
        }
    }
}

#[test]
fn whole_messages() {
    run(&messages());
}

#[test]
fn fragmented_messages() {
    run(&fragments());
}

#[test]
fn control() {
    run(&control_frames());
}

#[test]
fn close_codes() {
    run(&closes());
}

#[test]
fn broken_protocol() {
    run(&violations());
}
