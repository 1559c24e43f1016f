//! permessage-deflate (RFC 7692): a client with zlib's own state, as most clients have it.

use std::thread;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::client::{BINARY, CLOSE, Client, Frame, PING, PONG, TEXT, body, frame, request};
use super::server::Server;

const MIB: usize = 1024 * 1024;

/// Final frames of deflated messages.
const DEFLATED_TEXT: u8 = TEXT | 0x40;
const DEFLATED_BINARY: u8 = BINARY | 0x40;

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

const ALONE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

fn alone() -> Server {
    Server::start_with(&["1", "deflate"])
}

fn takeover() -> Server {
    Server::start_with(&["1", "takeover"])
}

/// A client that was answered something.
fn agreed(server: &Server, offer: &str) -> (Client, Zlib) {
    let (client, answer) = Client::offer(server.address, &[offer]);
    (client, Zlib::new(&answer.unwrap()))
}

struct Zlib {
    compress: Compress,
    decompress: Decompress,
    answer: String,
}

impl Zlib {
    fn new(answer: &str) -> Self {
        let bits = |name: &str| {
            let (_, rest) = answer.split_once(name)?;
            rest.split(';').next()?.parse().ok()
        };
        let client: u8 = bits("client_max_window_bits=").unwrap_or(15);
        let server: u8 = bits("server_max_window_bits=").unwrap_or(15);
        Self {
            compress: Compress::new_with_window_bits(Compression::new(6), false, client),
            decompress: Decompress::new_with_window_bits(false, server),
            answer: answer.to_owned(),
        }
    }

    fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.answer.contains("client_no_context_takeover") {
            self.compress.reset();
        }
        let mut out = Vec::with_capacity(payload.len() + 1_000);
        self.compress
            .compress_vec(payload, &mut out, FlushCompress::Sync)
            .unwrap();
        out.truncate(out.len().saturating_sub(4));
        out
    }

    /// What a frame says.
    fn read(&mut self, frame: &Frame) -> (u8, Vec<u8>) {
        if frame.first & 0x40 == 0 {
            return (frame.first, frame.payload.clone());
        }
        if self.answer.contains("server_no_context_takeover") {
            self.decompress = Self::new(&self.answer).decompress;
        }
        let input = [&frame.payload[..], &TAIL].concat();
        let mut out = Vec::with_capacity(2 * MIB);
        self.decompress
            .decompress_vec(&input, &mut out, FlushDecompress::Sync)
            .unwrap();
        (frame.first & !0x40, out)
    }
}

fn message(number: usize) -> Vec<u8> {
    let items = (0..20).map(|i| format!(r#"{{"symbol":"EURUSD","price":{}}}"#, number * 31 + i));
    items.collect::<String>().into_bytes()
}

/// The code of the Close frame that ends the connection, after nothing else.
fn close_code(client: &mut Client) -> u16 {
    let frames = client.rest();
    assert_eq!((frames.len(), frames[0].first), (1, CLOSE), "{frames:?}");
    u16::from_be_bytes(*frames[0].payload.first_chunk().unwrap())
}

#[test]
fn offers_are_answered() {
    let (off, alone, takeover) = (Server::start(1), alone(), takeover());
    let offer = "permessage-deflate; client_max_window_bits";
    let table: [(&Server, &[&str], Option<&str>); 10] = [
        (&off, &[offer], None),
        (&alone, &[], None),
        (&alone, &["x-webkit-deflate-frame"], None),
        (&alone, &[offer], Some(ALONE)),
        (&alone, &["foo, bar; baz=\"1\"", offer], Some(ALONE)),
        (
            &alone,
            &["permessage-deflate; server_max_window_bits=8"],
            None,
        ),
        (
            &alone,
            &["permessage-deflate; foo, permessage-deflate"],
            Some(ALONE),
        ),
        (
            &takeover,
            &[offer],
            Some("permessage-deflate; client_max_window_bits=13"),
        ),
        (
            &takeover,
            &["permessage-deflate; server_no_context_takeover; server_max_window_bits=\"10\""],
            Some("permessage-deflate; server_no_context_takeover; server_max_window_bits=10"),
        ),
        (
            &takeover,
            &["permessage-deflate; client_no_context_takeover"],
            Some("permessage-deflate; client_no_context_takeover"),
        ),
    ];
    for (server, offers, expected) in table {
        let (mut client, answer) = Client::offer(server.address, offers);
        assert_eq!(answer.as_deref(), expected, "{offers:?}");
        client.send(&frame(TEXT, b"plain"));
        assert_eq!(client.next().unwrap().payload, b"plain");
    }
    let mut client = Client::connect(alone.address);
    let malformed = request().replace("Host:", "Sec-WebSocket-Extensions: ;\r\nHost:");
    client.send(malformed.as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 400 "));
}

#[test]
fn messages_come_back_deflated() {
    for (server, offer, remembered) in [
        (alone(), "permessage-deflate", (false, false)),
        (takeover(), "permessage-deflate", (true, true)),
        (
            takeover(),
            "permessage-deflate; client_max_window_bits",
            (true, true),
        ),
        (
            takeover(),
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=12",
            (false, true),
        ),
        (
            takeover(),
            "permessage-deflate; server_no_context_takeover",
            (true, false),
        ),
    ] {
        let (mut client, mut zlib) = agreed(&server, offer);
        let mut sizes = Vec::new();
        for round in 0..3 {
            for length in [0, 1, 2, 125, 126, 127, 1_000, 65_535, 65_536, 300_000] {
                let text = message(1).repeat(length / 500 + 1);
                let deflated = zlib.deflate(&text[..length]);
                client.send(&frame(DEFLATED_TEXT, &deflated));
                let answer = client.next().unwrap();
                if length == 1_000 {
                    sizes.push((deflated.len(), answer.payload.len()));
                }
                assert!(
                    zlib.read(&answer) == (TEXT, text[..length].to_vec()),
                    "{offer}: {length} in round {round}"
                );
            }
        }
        let (asked, told): (Vec<_>, Vec<_>) = sizes.into_iter().unzip();
        assert_eq!(asked[1] < asked[0], remembered.0, "{offer}: {asked:?}");
        assert_eq!(told[1] < told[0], remembered.1, "{offer}: {told:?}");
    }
}

#[test]
fn what_is_remembered_is_each_clients_own() {
    let server = takeover();
    let (mut one, mut zlib) = agreed(&server, "permessage-deflate");
    let (mut other, _) = agreed(&server, "permessage-deflate");
    for _ in 0..2 {
        one.send(&frame(DEFLATED_TEXT, &zlib.deflate(&message(1))));
        assert_eq!(zlib.read(&one.next().unwrap()).1, message(1));
    }
    // It refers to what the other client said.
    other.send(&frame(DEFLATED_TEXT, &zlib.deflate(&message(1))));
    assert_eq!(close_code(&mut other), 1007);
}

#[test]
fn a_client_that_remembers_where_that_was_not_agreed_is_refused() {
    let server = alone();
    let (mut client, _) = agreed(&server, "permessage-deflate");
    let mut zlib = Zlib::new("permessage-deflate");
    client.send(&frame(DEFLATED_TEXT, &zlib.deflate(&message(1))));
    client.next().unwrap();
    client.send(&frame(DEFLATED_TEXT, &zlib.deflate(&message(1))));
    assert_eq!(close_code(&mut client), 1007);
}

#[test]
fn a_ping_comes_between_the_fragments_of_a_deflated_message() {
    for server in [alone(), takeover()] {
        let (mut client, mut zlib) = agreed(&server, "permessage-deflate");
        let deflated = zlib.deflate(&message(2));
        let (head, tail) = deflated.split_at(7);
        let (middle, tail) = tail.split_at(20);
        client.send(&frame(0x41, head));
        client.send(&frame(PING, b"between"));
        let pong = client.next().unwrap();
        assert_eq!((pong.first, &pong.payload[..]), (PONG, &b"between"[..]));
        client.send(&[frame(0x00, b""), frame(0x00, middle), frame(0x80, tail)].concat());
        assert_eq!(zlib.read(&client.next().unwrap()), (TEXT, message(2)));
    }
}

#[test]
fn an_empty_message_is_deflated_in_two_ways() {
    let server = alone();
    let (mut client, _) = agreed(&server, "permessage-deflate");
    // Section 7.2.3.6, and what zlib makes of it behind another message.
    for payload in [&b"\x00"[..], b""] {
        client.send(&frame(DEFLATED_BINARY, payload));
        let answer = client.next().unwrap();
        assert_eq!((answer.first, answer.payload.len()), (BINARY, 0));
    }
}

#[test]
fn violations_have_their_codes() {
    let server = alone();
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let not_utf8 = Zlib::new(ALONE).deflate(b"\xce\xba\xff and some more of it");
    let table: [(&str, Vec<u8>, u16); 10] = [
        (
            "RSV1 on a continuation",
            [frame(0x41, &hello[..3]), frame(0xc0, &hello[3..])].concat(),
            1002,
        ),
        ("RSV1 on a ping", frame(PING | 0x40, b""), 1002),
        (
            "RSV1 on a close",
            frame(CLOSE | 0x40, &body(1000, "")),
            1002,
        ),
        ("RSV2", frame(TEXT | 0x20, b"a"), 1002),
        ("RSV1 and RSV3", frame(TEXT | 0x50, hello), 1002),
        ("no deflated data", frame(DEFLATED_BINARY, b"\x07"), 1007),
        ("half of it", frame(DEFLATED_BINARY, &hello[..3]), 1007),
        (
            "back to where nothing was",
            frame(DEFLATED_TEXT, b"\xf2\x00\x11\x00\x00"),
            1007,
        ),
        ("not UTF-8", frame(DEFLATED_TEXT, &not_utf8), 1007),
        (
            "longer than anything that would fit",
            frame(DEFLATED_BINARY, &vec![0; 2 * MIB]),
            1009,
        ),
    ];
    for (name, bytes, code) in table {
        let (mut client, _) = agreed(&server, "permessage-deflate");
        let mut sender = client.sender();
        thread::scope(|scope| {
            // The server may have ended the connection before the last byte.
            scope.spawn(move || std::io::Write::write_all(&mut sender, &bytes).is_ok());
            assert_eq!(close_code(&mut client), code, "{name}");
        });
    }
    // Without an agreement.
    let (mut client, answer) = Client::offer(server.address, &["permessage-deflate; foo"]);
    assert_eq!(answer, None);
    client.send(&frame(DEFLATED_TEXT, hello));
    assert_eq!(close_code(&mut client), 1002);
}

#[test]
fn a_bomb_is_refused_and_costs_no_more_than_a_message() {
    let server = alone();
    let zeroes = Zlib::new(ALONE).deflate(&vec![0; 64 * MIB]);
    assert!(zeroes.len() < 70_000);
    // Both the inflater and the deflater have been made.
    let (mut client, mut zlib) = agreed(&server, "permessage-deflate");
    client.send(&frame(DEFLATED_TEXT, &zlib.deflate(&message(1))));
    client.next().unwrap();
    let before = server.resident_bytes();
    for round in 0..20 {
        let (mut client, _) = agreed(&server, "permessage-deflate");
        if round % 2 == 0 {
            client.send(&frame(DEFLATED_BINARY, &zeroes));
        } else {
            let (head, tail) = zeroes.split_at(1_000);
            client.send(&[frame(0x42, head), frame(0x80, tail)].concat());
        }
        assert_eq!(close_code(&mut client), 1009);
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown}");
    let most = Zlib::new(ALONE).deflate(&vec![0; MIB]);
    client.send(&frame(DEFLATED_BINARY, &most));
    assert!(zlib.read(&client.next().unwrap()).1 == vec![0; MIB]);
}

#[test]
fn five_hundred_idle_clients_keep_no_more_than_they_agreed_to() {
    for (server, offer, bound) in [
        (alone(), "permessage-deflate", 4 * 1024),
        (
            takeover(),
            "permessage-deflate; client_max_window_bits",
            24 * 1024,
        ),
    ] {
        let mut clients = Vec::new();
        let warm = |clients: &mut Vec<Client>| {
            let (mut client, mut zlib) = agreed(&server, offer);
            let text = message(1).repeat(100);
            client.send(&frame(DEFLATED_TEXT, &zlib.deflate(&text)));
            assert!(zlib.read(&client.next().unwrap()).1 == text);
            clients.push(client);
        };
        (0..50).for_each(|_| warm(&mut clients));
        let before = server.resident_bytes();
        (0..500).for_each(|_| warm(&mut clients));
        let each = server.resident_bytes().saturating_sub(before) / 500;
        assert!(each < bound, "{offer}: {each} bytes for each client");
    }
}
