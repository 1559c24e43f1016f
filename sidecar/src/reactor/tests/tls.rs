//! Sessions over TLS. The handshakes are made in memory: here they are over.

use std::io::Write;
use std::net::Shutdown;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, ServerConnection, SupportedProtocolVersion};

use super::rig::{Client, Rig, frame};
use crate::certificates::Certificate;
use crate::reactor::receive::RECEIVE_BYTES;
use crate::reactor::tls::{Ciphertext, Tls};
use crate::reactor::{
    BlockBuilder, Closed, Kind, Options, Overflow, Pushed, Reply, SLOW_CONSUMER, SessionId, Span,
};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

const CLOSE_1000: [u8; 2] = 1000_u16.to_be_bytes();

/// Both ends after the handshake. What the server said last is still in it: with TLS 1.3 the tickets.
fn shake_hands(version: &'static SupportedProtocolVersion) -> (ServerConnection, ClientConnection) {
    let certificate = Certificate::new();
    let mut client = certificate.client(version);
    let mut server = ServerConnection::new(certificate.server()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        if !wire.is_empty() {
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        pass_on(&mut client, &mut server);
    }
    (server, client)
}

/// What the client has to say goes to the server, past the socket.
fn pass_on(client: &mut ClientConnection, server: &mut ServerConnection) {
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        server.read_tls(&mut rest).unwrap();
        server.process_new_packets().unwrap();
    }
}

fn connect(rig: &mut Rig, version: &'static SupportedProtocolVersion) -> (SessionId, Client) {
    rig.connect_with(b"", Some(shake_hands(version)))
}

fn span(frames: usize, payload: &[u8]) -> Span {
    let mut builder = BlockBuilder::default();
    (0..frames).for_each(|_| builder.push(Kind::Text, payload));
    Span::whole(builder.finish())
}

fn texts(frames: &[(u8, Vec<u8>)]) -> Vec<&[u8]> {
    frames.iter().map(|(_, text)| text.as_slice()).collect()
}

#[test]
fn messages_go_both_ways() {
    for version in VERSIONS {
        let mut rig = Rig::new(Options::default());
        let (id, mut client) = connect(&mut rig, version);
        client.send(&[frame(0x81, b"a"), frame(0x81, b"b")].concat());
        rig.frames(&mut client, 2);
        rig.reactor.cx.send(id, Kind::Binary, b"from here");
        client.send(&frame(0x89, b"?"));
        let frames = rig.frames(&mut client, 4);
        let expected: [&[u8]; 4] = [b"a", b"b", b"from here", b"?"];
        assert_eq!(texts(&frames), expected);
        let counters = rig.reactor.cx.counters;
        assert_eq!((counters.messages_in, counters.queued_bytes), (2, 0));
        // With what TLS adds.
        assert!(counters.bytes_in > 22 && counters.bytes_out > 22);
    }
}

#[test]
fn large_messages_go_both_ways() {
    let payload: Vec<u8> = (0..1_048_576_u32).map(|i| (i % 251) as u8).collect();
    for version in VERSIONS {
        let mut rig = Rig::new(Options::default());
        let (_, mut client) = connect(&mut rig, version);
        for _ in 0..2 {
            client.send(&frame(0x82, &payload));
        }
        let frames = rig.frames(&mut client, 2);
        assert!(frames.iter().all(|(_, echo)| *echo == payload));
        rig.until(|rig| rig.reactor.cx.counters.queued_bytes == 0);
    }
}

#[test]
fn what_came_with_the_handshake_is_handed_over_in_order() {
    for version in VERSIONS {
        let (mut server, mut client) = shake_hands(version);
        let long = frame(0x82, &[7; 12_000]);
        let write = |client: &mut ClientConnection, bytes: &[u8]| {
            client.writer().write_all(bytes).unwrap();
        };
        // The third message is cut at the end of what the server has decrypted.
        write(&mut client, &frame(0x81, b"second"));
        write(&mut client, &long[..5_000]);
        pass_on(&mut client, &mut server);
        // Of this one it has a part of the record.
        write(&mut client, &long[5_000..]);
        let mut record = Vec::new();
        client.write_tls(&mut record).unwrap();
        let (mut start, rest) = record.split_at(100);
        server.read_tls(&mut start).unwrap();
        server.process_new_packets().unwrap();

        let mut rig = Rig::new(Options::default());
        let (_, mut client) = rig.connect_with(&frame(0x81, b"first"), Some((server, client)));
        let frames = rig.frames(&mut client, 2);
        let expected: [&[u8]; 2] = [b"first", b"second"];
        assert_eq!(texts(&frames), expected);
        client.stream.write_all(rest).unwrap();
        client.send(&frame(0x81, b"last"));
        let frames = rig.frames(&mut client, 4);
        assert_eq!(
            (&frames[2].1, &frames[3].1),
            (&vec![7; 12_000], &b"last".to_vec())
        );
    }
}

#[test]
fn what_one_read_becomes_fits_the_receive_buffer() {
    let plain: Vec<u8> = (0..400_000_u32).map(|i| (i % 249) as u8).collect();
    let full = Ciphertext::default().space().len();
    for version in VERSIONS {
        // How much the first read has: the later ones then begin at different places of a record.
        for first in [1, 5, 100, 16_000, 16_404, full - 1, full] {
            let (server, mut client) = shake_hands(version);
            client.set_buffer_limit(None);
            client.writer().write_all(&plain).unwrap();
            let mut ciphertext = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut ciphertext).unwrap();
            }
            let mut tls = Tls::new(Box::new(server));
            let mut buffer = vec![0; RECEIVE_BYTES];
            let mut got = Vec::new();
            let (head, rest) = ciphertext.split_at(first);
            for read in std::iter::once(head).chain(rest.chunks(full)) {
                let bytes = tls.decrypt(read, &mut buffer);
                got.extend_from_slice(&buffer[..bytes]);
            }
            assert!(got == plain, "{first}: {} bytes", got.len());
            assert_eq!(tls.end(), None);
        }
    }
}

#[test]
fn what_the_handshake_left_to_be_sent_is_sent() {
    let (server, client) = shake_hands(&TLS13);
    assert!(server.wants_write());
    let mut rig = Rig::new(Options::default());
    let (_, mut client) = rig.connect_with(b"", Some((server, client)));
    rig.until(|_| {
        client.read();
        client.tls.as_ref().unwrap().tls13_tickets_received() > 0
    });
    assert_eq!(rig.reactor.cx.counters.queued_bytes, 0);
}

#[test]
fn a_burst_of_many_buffers_loses_nothing() {
    for version in VERSIONS {
        let mut rig = Rig::new(Options::default());
        let (_, mut client) = connect(&mut rig, version);
        let sent: Vec<Vec<u8>> = (0..20_000_usize)
            .map(|i| format!("{i} {}", "x".repeat(i % 40)).into_bytes())
            .collect();
        let burst: Vec<u8> = sent.iter().flat_map(|text| frame(0x81, text)).collect();
        client.send(&burst);
        let frames = rig.frames(&mut client, sent.len());
        assert!(texts(&frames).into_iter().eq(sent.iter()));
    }
}

#[test]
fn what_is_queued_keeps_its_place_among_the_replies_when_writes_are_short() {
    for version in VERSIONS {
        let mut rig = Rig::new(Options {
            outbound_bytes: 8 << 20,
            ..Options::default()
        });
        rig.reactor.handler.answer = |id, payload, cx| {
            if payload[0] % 3 == 0 {
                cx.send(id, Kind::Text, &payload[..1]);
            }
            Reply::InPlace
        };
        let (id, mut client) = connect(&mut rig, version);
        let mut expected = Vec::new();
        for i in 0..90_u8 {
            let message = vec![i; 4_000];
            client.send(&frame(0x81, &message));
            if i % 3 == 0 {
                expected.push(vec![i]);
            }
            expected.push(message);
        }
        // It does not read for a while.
        rig.until(|rig| rig.reactor.cx.queued_bytes(id) > 0);
        let frames = rig.frames(&mut client, expected.len());
        assert!(texts(&frames).into_iter().eq(expected.iter()));
    }
}

#[test]
fn the_clients_close_is_answered_in_both_languages() {
    for version in VERSIONS {
        let mut rig = Rig::new(Options::default());
        let (id, mut client) = connect(&mut rig, version);
        client.send(&[frame(0x81, b"hi"), frame(0x88, &CLOSE_1000)].concat());
        rig.until(|_| {
            client.read();
            client.ended
        });
        assert!(client.closed, "no close_notify");
        assert_eq!(
            client.frames(),
            [(0x81, b"hi".to_vec()), (0x88, CLOSE_1000.to_vec())]
        );
        assert_eq!(rig.closed(), [(id, Closed::ByClient(1000))]);
        client.send_close_notify();
        client.stream.shutdown(Shutdown::Write).unwrap();
        rig.until(|rig| rig.inbox.sessions() == 0);
        assert_eq!(rig.closed().len(), 1);
    }
}

#[test]
fn our_close_is_followed_by_a_close_notify() {
    for version in VERSIONS {
        let mut rig = Rig::new(Options::default());
        let (id, mut client) = connect(&mut rig, version);
        rig.reactor.cx.send(id, Kind::Text, b"bye");
        rig.reactor.cx.close(id, 4300, "drain");
        let frames = rig.frames(&mut client, 2);
        assert_eq!(frames[1], (0x88, b"\x10\xccdrain".to_vec()));
        assert!(!client.closed && !client.ended);
        // The client says the last word of both at once, and ends its side.
        client.send(&frame(0x88, b"\x10\xcc"));
        client.send_close_notify();
        client.stream.shutdown(Shutdown::Write).unwrap();
        rig.until(|rig| {
            client.read();
            client.ended && rig.inbox.sessions() == 0
        });
        assert!(client.closed, "no close_notify");
        assert_eq!(rig.closed(), [(id, Closed::ByServer(4300))]);
    }
}

#[test]
fn a_close_notify_ends_the_input_after_what_came_with_it() {
    for version in VERSIONS {
        let mut rig = Rig::new(Options::default());
        let (id, mut client) = connect(&mut rig, version);
        let mut pieces = Vec::new();
        let tls = client.tls.as_mut().unwrap();
        tls.writer().write_all(&frame(0x81, b"last words")).unwrap();
        tls.send_close_notify();
        while tls.wants_write() {
            tls.write_tls(&mut pieces).unwrap();
        }
        pieces.extend([0x17; 40]);
        client.stream.write_all(&pieces).unwrap();
        rig.until(|rig| {
            client.read();
            client.ended && rig.inbox.sessions() == 0
        });
        assert_eq!(client.frames(), [(0x81, b"last words".to_vec())]);
        assert!(client.closed, "no close_notify");
        assert_eq!(rig.closed(), [(id, Closed::Lost)]);
    }
}

#[test]
fn an_end_without_close_notify_is_a_loss_after_the_reply() {
    let mut rig = Rig::new(Options::default());
    let (id, mut client) = connect(&mut rig, &TLS13);
    client.send(&frame(0x81, b"last words"));
    client.stream.shutdown(Shutdown::Write).unwrap();
    rig.until(|rig| rig.inbox.sessions() == 0);
    client.read();
    assert_eq!(client.frames(), [(0x81, b"last words".to_vec())]);
    assert!(client.closed && client.ended);
    assert_eq!(rig.closed(), [(id, Closed::Lost)]);
}

#[test]
fn what_is_no_tls_ends_its_own_session_alone() {
    let forged = [&[0x17, 3, 3, 0, 40][..], &[0x55; 40]].concat();
    let oversized = [0x17, 3, 3, 0xff, 0xff, 0, 0, 0];
    let plain = frame(0x81, b"not encrypted");
    for garbage in [forged.as_slice(), &oversized, &plain] {
        let mut rig = Rig::new(Options::default());
        let (id, mut client) = connect(&mut rig, &TLS13);
        let (_, mut other) = connect(&mut rig, &TLS13);
        client.send(&frame(0x81, b"before"));
        client.stream.write_all(garbage).unwrap();
        rig.until(|rig| rig.inbox.sessions() == 1);
        assert_eq!(rig.closed(), [(id, Closed::Lost)]);
        assert_eq!(rig.messages(), 1);
        other.send(&frame(0x81, b"still here"));
        rig.frames(&mut other, 1);
    }
}

#[test]
fn a_client_that_does_not_read_is_bounded_and_closed_with_4508() {
    const BOUND: usize = 256 * 1024;
    for version in VERSIONS {
        let mut rig = Rig::new(Options {
            outbound_bytes: BOUND,
            ..Options::default()
        });
        let (id, mut client) = connect(&mut rig, version);
        // More at once than the kernel takes.
        let large = span(250, &[b'x'; 1_000]);
        let overflow = Overflow::Close(SLOW_CONSUMER);
        assert_eq!(rig.reactor.cx.push(id, &large, overflow), Pushed::Queued);
        (0..50).for_each(|_| rig.turn());
        let counters = rig.reactor.cx.counters;
        assert!(counters.queued_bytes > 0);
        assert!(counters.writes < 10, "it spins: {}", counters.writes);

        let span = span(3, &[b'x'; 1_000]);
        let mut pushes = 0..10_000;
        while rig.reactor.cx.push(id, &span, overflow) == Pushed::Queued {
            assert!(pushes.next().is_some(), "the queue has no end");
            assert!(rig.reactor.cx.queued_bytes(id) <= BOUND);
            rig.turn();
            let gauge = rig.reactor.cx.counters.queued_bytes;
            assert_eq!(gauge, rig.reactor.cx.queued_bytes(id) as u64);
        }
        rig.turn();
        // What TLS has made of the queue cannot be dropped; all else can.
        assert!(rig.reactor.cx.counters.queued_bytes < 80 * 1024);
        rig.until(|_| {
            client.read();
            let frames = client.frames();
            frames.last().is_some_and(|(first, _)| *first == 0x88)
        });
        let frames = client.frames();
        let (close, rest) = frames.split_last().unwrap();
        assert!(rest.iter().all(|(_, text)| *text == [b'x'; 1_000]));
        assert_eq!(close.1[..2], SLOW_CONSUMER.to_be_bytes());
        client.send(&frame(0x88, &SLOW_CONSUMER.to_be_bytes()));
        client.send_close_notify();
        client.stream.shutdown(Shutdown::Write).unwrap();
        rig.until(|rig| rig.inbox.sessions() == 0);
        let counters = rig.reactor.cx.counters;
        assert_eq!((counters.closed_slow, counters.queued_bytes), (1, 0));
    }
}

#[test]
fn reading_stops_while_the_client_does_not_read_and_loses_nothing() {
    let mut rig = Rig::new(Options {
        outbound_bytes: 128 * 1024,
        ..Options::default()
    });
    let (_, mut client) = connect(&mut rig, &TLS13);
    let message = frame(0x82, &[1; 50_000]);
    (0..40).for_each(|_| client.send(&message));
    // It writes all the time and reads nothing.
    for _ in 0..200 {
        client.send(b"");
        rig.turn();
    }
    let queued = rig.reactor.cx.counters.queued_bytes;
    assert!(queued > 0 && queued < 512 * 1024, "{queued}");
    assert!(rig.messages() < 40);
    let frames = rig.frames(&mut client, 40);
    assert!(frames.iter().all(|(_, echo)| *echo == [1; 50_000]));
}

#[test]
fn new_keys_in_the_middle_change_nothing() {
    let mut rig = Rig::new(Options::default());
    let (_, mut client) = connect(&mut rig, &TLS13);
    for text in [b"one", b"two"] {
        client.send(&frame(0x81, text));
        client.tls.as_mut().unwrap().refresh_traffic_keys().unwrap();
    }
    client.send(&frame(0x81, b"six"));
    let frames = rig.frames(&mut client, 3);
    let expected: [&[u8]; 3] = [b"one", b"two", b"six"];
    assert_eq!(texts(&frames), expected);
}
