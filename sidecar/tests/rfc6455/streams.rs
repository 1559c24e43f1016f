//! What goes wrong between a socket and an event loop: ends that come with data, bursts larger than
//! the receive buffer, readers that stop, and many clients that dribble.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustls::version::TLS13;

use super::client::{BINARY, CLOSE, Client, TEXT, body, frame};
use super::server::Server;

const MIB: usize = 1024 * 1024;

#[test]
fn a_fin_that_comes_with_data_is_seen() {
    let server = Server::start(1);
    for i in 0..100 {
        let mut client = Client::open(server.address);
        client.send(&frame(TEXT, b"last words"));
        client.finish();
        let frames = client.rest();
        assert_eq!(frames.len(), 1, "{i}");
        assert_eq!(frames[0].payload, b"last words");
    }
}

#[test]
fn a_fin_that_comes_with_the_handshake_is_seen() {
    let server = Server::start(1);
    for _ in 0..20 {
        let mut client = Client::connect(server.address);
        client.send(&[super::client::request().as_bytes(), &frame(TEXT, b"hi")].concat());
        client.finish();
        client.head();
        assert_eq!(client.rest()[0].payload, b"hi");
    }
}

#[test]
fn bytes_that_arrive_with_the_handshake_are_not_lost() {
    let server = Server::start(1);
    let split = frame(TEXT, b"cut in two");
    let ahead = [
        frame(TEXT, b"early"),
        frame(BINARY, &[7; 3_000]),
        split[..9].to_vec(),
    ]
    .concat();
    let mut client = Client::open_with(server.address, &ahead);
    client.send(&split[9..]);
    client.send(&frame(CLOSE, &body(1000, "")));
    let payloads: Vec<_> = client
        .rest()
        .into_iter()
        .map(|frame| frame.payload)
        .collect();
    assert_eq!(payloads[0], b"early");
    assert_eq!(payloads[1], [7; 3_000]);
    assert_eq!(payloads[2], b"cut in two");
}

#[test]
fn sessions_that_fill_the_receive_buffer_do_not_starve_the_others() {
    let server = Server::start(1);
    let small_is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::open(server.address);
                let mut sender = client.sender();
                let burst = frame(BINARY, &[7; 1_000]).repeat(300);
                // Four times what the receive buffer takes at once, until the small client is done.
                let writing = thread::scope(|inner| {
                    let writer = inner.spawn(|| {
                        let mut bursts = 0;
                        while bursts < 5 || !small_is_done.load(Ordering::Relaxed) {
                            sender.write_all(&burst).unwrap();
                            bursts += 1;
                        }
                        sender.write_all(&frame(CLOSE, &body(1000, ""))).unwrap();
                        bursts
                    });
                    let mut echoes = 0;
                    while client.next().unwrap().first == BINARY {
                        echoes += 1;
                    }
                    (writer.join().unwrap(), echoes)
                });
                assert_eq!(writing.0 * 300, writing.1);
            });
        }
        let mut small = Client::open(server.address);
        for i in 0..50 {
            let text = format!("message {i}");
            small.send(&frame(TEXT, text.as_bytes()));
            assert_eq!(small.next().unwrap().payload, text.as_bytes());
        }
        small_is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_client_that_does_not_read_stops_being_read() {
    let server = Server::start(1);
    let mut client = Client::open(server.address);
    let before = server.resident_bytes();
    let burst = frame(BINARY, &[7; 10_000]).repeat(10_000);
    let sent = client.write_until_blocked(&burst);
    assert!(
        sent < burst.len(),
        "the server took {sent} bytes without an end"
    );
    assert!(server.resident_bytes() - before < 8 * MIB);
    let mut other = Client::open(server.address);
    other.send(&frame(TEXT, b"still served"));
    assert_eq!(other.next().unwrap().payload, b"still served");

    let frame_bytes = 10_008;
    let rest = &burst[sent..sent.next_multiple_of(frame_bytes)];
    let mut sender = client.sender();
    thread::scope(|scope| {
        scope.spawn(move || {
            sender.write_all(rest).unwrap();
            sender.write_all(&frame(CLOSE, &body(1000, ""))).unwrap();
        });
        let frames = client.rest();
        assert_eq!(frames.len(), sent.div_ceil(frame_bytes) + 1);
        assert!(
            frames[..frames.len() - 1]
                .iter()
                .all(|frame| frame.payload == [7; 10_000])
        );
    });
}

#[test]
fn a_thousand_clients_dribble_within_the_budget() {
    let server = Server::start(2);
    let mut clients: Vec<_> = (0..1_000).map(|_| Client::open(server.address)).collect();
    for round in 0..10 {
        let first = if round == 0 { 0x01 } else { 0x00 };
        for client in &mut clients {
            client.send(&frame(first, &[b'a' + round; 1_500]));
        }
    }
    let expected: Vec<u8> = (0..10).flat_map(|round| [b'a' + round; 1_500]).collect();
    for client in &mut clients {
        client.send(&frame(0x80, b""));
    }
    for client in &mut clients {
        assert!(client.next().unwrap().payload == expected);
    }
}

#[test]
fn clients_that_dribble_past_the_budget_are_closed_with_1009() {
    let server = Server::start(1);
    let mut clients: Vec<_> = (0..90).map(|_| Client::open(server.address)).collect();
    let mut small = Client::open(server.address);
    small.send(&frame(0x01, b"small"));
    let piece = vec![b'x'; 100_000];
    for round in 0..10 {
        let first = if round == 0 { 0x01 } else { 0x00 };
        for client in &mut clients {
            // One that has been closed may not take more.
            let _ = client.sender().write_all(&frame(first, &piece));
        }
    }
    for client in &mut clients {
        let _ = client.sender().write_all(&frame(0x80, b""));
    }
    let mut closed = 0;
    for client in &mut clients {
        match client.next().unwrap() {
            frame if frame.first == TEXT => assert_eq!(frame.payload.len(), 1_000_000),
            frame => {
                assert_eq!(frame.payload[..2], 1009_u16.to_be_bytes());
                closed += 1;
            }
        }
    }
    // 64 MiB of budget take between 30 and 64 messages of 1 MB, by how their memory grew.
    assert!((25..=60).contains(&closed), "{closed}");
    small.send(&frame(0x80, b""));
    assert_eq!(small.next().unwrap().payload, b"small");
}

#[test]
fn idle_sessions_over_tls_keep_little_after_large_messages() {
    const SESSIONS: usize = 400;
    let server = Server::start_with_tls();
    let message = frame(BINARY, &[7; 60_000]);
    let talk = |client: &mut Client| {
        client.send(&message);
        assert_eq!(client.next().unwrap().payload.len(), 60_000);
    };
    let open = || {
        let mut client = Client::open_over(server.tls(&TLS13), server.address, &[]);
        talk(&mut client);
        client
    };
    // What one needs all need once.
    let mut clients = vec![open()];
    let before = server.resident_bytes();
    clients.extend((0..SESSIONS).map(|_| open()));
    let each = (server.resident_bytes() - before) / SESSIONS;
    assert!(each < 12 * 1024, "{each} bytes a session");
    clients.iter_mut().for_each(talk);
}
