//! How sessions end. Each end is told once.

use std::net::Shutdown;
use std::time::Duration;

use super::rig::{Rig, Seen, frame};
use crate::reactor::{Closed, Kind, Options, Pushed, Reply};

const CLOSE_1000: [u8; 2] = 1000_u16.to_be_bytes();

#[test]
fn the_clients_close_is_echoed_and_the_connection_ended() {
    let mut rig = Rig::new(Options::default());
    let (id, mut client) = rig.connect(b"");
    client.send(
        &[
            frame(0x81, b"hi"),
            frame(0x88, &CLOSE_1000),
            frame(0x81, b"late"),
        ]
        .concat(),
    );
    rig.until(|_| {
        client.read();
        client.ended
    });
    assert_eq!(
        client.frames(),
        [(0x81, b"hi".to_vec()), (0x88, CLOSE_1000.to_vec())]
    );
    assert_eq!(rig.closed(), [(id, Closed::ByClient(1000))]);
    client.stream.shutdown(Shutdown::Write).unwrap();
    rig.until(|rig| rig.inbox.sessions() == 0);
    assert_eq!((rig.closed().len(), rig.messages()), (1, 1));
}

#[test]
fn our_close_comes_behind_what_is_queued_and_ends_with_the_clients() {
    let mut rig = Rig::new(Options::default());
    let (id, mut client) = rig.connect(b"");
    assert_eq!(rig.reactor.cx.send(id, Kind::Text, b"bye"), Pushed::Queued);
    rig.reactor.cx.close(id, 4300, "drain");
    rig.reactor.cx.close(id, 4401, "again");
    assert_eq!(rig.reactor.cx.send(id, Kind::Text, b"after"), Pushed::Gone);
    client.send(&frame(0x81, b"passed over"));
    let frames = rig.frames(&mut client, 2);
    assert_eq!(
        frames,
        [(0x81, b"bye".to_vec()), (0x88, b"\x10\xccdrain".to_vec())]
    );
    assert_eq!((rig.closed(), rig.messages()), (vec![], 0));
    client.send(&frame(0x88, b"\x10\xcc"));
    rig.until(|rig| !rig.closed().is_empty());
    assert_eq!(rig.closed(), [(id, Closed::ByServer(4300))]);
}

#[test]
fn that_a_session_is_closing_is_told_once_and_before_the_next_command() {
    let mut rig = Rig::new(Options::default());
    let (ours, mut client) = rig.connect(b"");
    let (theirs, mut other) = rig.connect(b"");
    rig.reactor.handler.seen.clear();
    other.send(&frame(0x88, &CLOSE_1000));
    rig.frames(&mut other, 1);
    rig.reactor.cx.close(ours, 4508, "");
    assert!(rig.inbox.command(7, 0, true).is_ok());
    rig.frames(&mut client, 1);
    client.send(&frame(0x88, b"\x11\x9c"));
    rig.until(|rig| rig.closed().len() == 2);
    assert_eq!(
        rig.reactor.handler.seen,
        [
            Seen::Closing(theirs),
            Seen::Closed(theirs, Closed::ByClient(1000)),
            Seen::Closing(ours),
            Seen::Command(7),
            Seen::Closed(ours, Closed::ByServer(4508)),
        ]
    );
}

#[test]
fn a_client_that_does_not_answer_our_close_is_dropped_after_five_seconds() {
    let mut rig = Rig::new(Options::default());
    let (id, mut client) = rig.connect(b"");
    rig.reactor.cx.close(id, 4300, "");
    rig.frames(&mut client, 1);
    rig.now += Duration::from_millis(4_900);
    rig.turn();
    assert_eq!((rig.closed(), rig.inbox.sessions()), (vec![], 1));
    rig.now += Duration::from_millis(150);
    rig.turn();
    assert_eq!(
        (rig.closed(), rig.inbox.sessions()),
        (vec![(id, Closed::ByServer(4300))], 0)
    );
}

#[test]
fn a_client_that_never_ends_the_connection_is_dropped_after_five_seconds() {
    let mut rig = Rig::new(Options::default());
    let (id, mut client) = rig.connect(b"");
    client.send(&frame(0x88, b""));
    rig.frames(&mut client, 1);
    assert_eq!(rig.closed(), [(id, Closed::ByClient(1005))]);
    assert_eq!(rig.inbox.sessions(), 1);
    rig.now += Duration::from_millis(5_050);
    rig.turn();
    assert_eq!((rig.closed().len(), rig.inbox.sessions()), (1, 0));
}

#[test]
fn input_after_the_end_is_thrown_away_but_not_for_ever() {
    let mut rig = Rig::new(Options::default());
    let (_, mut client) = rig.connect(&frame(0x83, b"unknown opcode"));
    rig.frames(&mut client, 1);
    assert_eq!(client.frames()[0].1[..2], 1002_u16.to_be_bytes());
    let junk = [0x55; 8_192];
    let mut sent = 0_usize;
    rig.until(|rig| {
        sent += std::io::Write::write(&mut client.stream, &junk).unwrap_or(0);
        rig.inbox.sessions() == 0
    });
    assert!(sent > 4 * 1024 * 1024);
    assert_eq!(rig.reactor.cx.counters.closed_protocol, 1);
}

#[test]
fn a_fin_that_comes_with_data_ends_the_session_after_the_reply() {
    let mut rig = Rig::new(Options::default());
    let (id, mut client) = rig.connect(b"");
    client.send(&frame(0x81, b"last words"));
    client.stream.shutdown(Shutdown::Write).unwrap();
    rig.until(|rig| rig.inbox.sessions() == 0);
    client.read();
    assert_eq!(client.frames(), [(0x81, b"last words".to_vec())]);
    assert!(client.ended);
    assert_eq!(rig.closed(), [(id, Closed::Lost)]);
}

#[test]
fn a_connection_that_breaks_is_lost_once() {
    let mut rig = Rig::new(Options::default());
    let (id, client) = rig.connect(b"");
    socket2::SockRef::from(&client.stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    rig.until(|rig| rig.inbox.sessions() == 0);
    assert_eq!(rig.closed(), [(id, Closed::Lost)]);
    assert_eq!(rig.reactor.cx.counters.closed_lost, 1);
}

#[test]
fn an_aborted_session_ends_in_the_same_turn() {
    let mut rig = Rig::new(Options::default());
    let (id, _client) = rig.connect(b"");
    let (closing, _other) = rig.connect(b"");
    rig.reactor.cx.abort(id);
    rig.reactor.cx.abort(id);
    rig.reactor.cx.close(closing, 4300, "");
    rig.reactor.cx.abort(closing);
    rig.turn();
    assert_eq!(
        rig.closed(),
        [(id, Closed::Lost), (closing, Closed::ByServer(4300))]
    );
    assert_eq!(rig.inbox.sessions(), 0);
    assert_eq!(rig.reactor.cx.queued_bytes(id), 0);
    assert_eq!(rig.reactor.cx.last_message(id), None);
}

#[test]
fn nothing_more_is_handed_over_once_the_handler_has_closed() {
    let mut rig = Rig::new(Options::default());
    rig.reactor.handler.answer = |id, payload, cx| {
        if payload == b"2" {
            cx.close(id, 4403, "enough");
        }
        Reply::InPlace
    };
    let (_, mut client) = rig.connect(b"");
    client.send(&[frame(0x81, b"1"), frame(0x81, b"2"), frame(0x81, b"3")].concat());
    let frames = rig.frames(&mut client, 2);
    assert_eq!(
        frames,
        [(0x81, b"1".to_vec()), (0x88, b"\x11\x33enough".to_vec())]
    );
    assert_eq!(rig.messages(), 2);
}

#[test]
fn a_new_session_in_an_old_place_has_another_id() {
    let mut rig = Rig::new(Options::default());
    let (old, _client) = rig.connect(b"");
    rig.reactor.cx.abort(old);
    rig.turn();
    let (new, _client) = rig.connect(b"");
    assert_eq!(old.index, new.index);
    assert_eq!(rig.reactor.cx.send(old, Kind::Text, b"x"), Pushed::Gone);
    assert_eq!(rig.reactor.cx.send(new, Kind::Text, b"x"), Pushed::Queued);
}

#[test]
fn stopping_ends_every_session_once() {
    let mut rig = Rig::new(Options::default());
    let (first, _a) = rig.connect(b"");
    let (second, _b) = rig.connect(b"");
    rig.reactor.end_all();
    assert_eq!(
        rig.closed(),
        [(first, Closed::Lost), (second, Closed::Lost)]
    );
    assert!(matches!(rig.reactor.handler.seen[0], Seen::Opened(_)));
    assert_eq!(rig.inbox.sessions(), 0);
}
