//! Messages, replies, queues.

use std::net::Shutdown;

use super::rig::{Rig, Seen, frame};
use crate::reactor::{
    BlockBuilder, Closed, Kind, Options, Overflow, Pushed, Reply, SessionId, Span,
};

fn small() -> Options {
    Options {
        outbound_bytes: 64 * 1024,
        partial_bytes: 64 * 1024,
        ..Options::default()
    }
}

fn span(frames: usize, payload: &[u8]) -> Span {
    let mut builder = BlockBuilder::default();
    (0..frames).for_each(|_| builder.push(Kind::Text, payload));
    Span::whole(builder.finish())
}

/// Pushes until it is not simply queued any more.
fn fill(rig: &mut Rig, id: SessionId, span: &Span, overflow: Overflow) -> Pushed {
    for _ in 0..10_000 {
        let pushed = rig.reactor.cx.push(id, span, overflow);
        if pushed != Pushed::Queued {
            return pushed;
        }
        rig.turn();
    }
    panic!("the queue has no end");
}

#[test]
fn messages_of_one_read_are_answered_by_one_write() {
    let mut rig = Rig::new(Options::default());
    let (_, mut client) = rig.connect(b"");
    let split = frame(0x81, b"split");
    client.send(&split[..8]);
    rig.until(|rig| rig.reactor.cx.counters.partial_bytes > 0);
    let before = rig.reactor.cx.counters.writes;
    client.send(
        &[
            &split[8..],
            &frame(0x82, b"two"),
            &frame(0x89, b"?"),
            &frame(0x81, b""),
        ]
        .concat(),
    );
    let frames = rig.frames(&mut client, 4);
    let expected: [(u8, &[u8]); 4] = [(0x81, b"split"), (0x82, b"two"), (0x8a, b"?"), (0x81, b"")];
    assert_eq!(
        frames,
        expected.map(|(first, payload)| (first, payload.to_vec()))
    );
    let counters = rig.reactor.cx.counters;
    assert_eq!(
        (
            counters.messages_in,
            counters.messages_out,
            counters.partial_bytes
        ),
        (3, 3, 0)
    );
    assert_eq!(counters.writes - before, 1);
}

#[test]
fn what_the_handler_sends_keeps_its_place_among_the_replies() {
    let mut rig = Rig::new(Options::default());
    rig.reactor.handler.answer = |id, payload, cx| {
        if payload == b"b" {
            assert_eq!(cx.send(id, Kind::Text, b"before b"), Pushed::Queued);
        }
        Reply::InPlace
    };
    let (_, mut client) = rig.connect(&frame(0x81, b"a"));
    client.send(&[frame(0x81, b"a"), frame(0x81, b"b"), frame(0x81, b"c")].concat());
    let texts: Vec<_> = rig
        .frames(&mut client, 5)
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let expected: [&[u8]; 5] = [b"a", b"a", b"before b", b"b", b"c"];
    assert_eq!(texts, expected);
}

#[test]
fn bytes_that_came_with_the_handshake_come_first() {
    let mut rig = Rig::new(Options::default());
    let long = frame(0x82, &[7; 60_000]);
    let ahead = [frame(0x81, b"first"), long.clone(), long[..30_000].to_vec()].concat();
    let (_, mut client) = rig.connect(&ahead);
    client.send(&long[30_000..]);
    let frames = rig.frames(&mut client, 3);
    assert_eq!(frames[0], (0x81, b"first".to_vec()));
    assert_eq!(frames[2], (0x82, vec![7; 60_000]));
}

#[test]
fn a_client_that_does_not_read_is_closed_with_4508() {
    let mut rig = Rig::new(small());
    let (id, mut client) = rig.connect(b"");
    let span = span(3, &[b'x'; 1_000]);
    assert_eq!(
        fill(&mut rig, id, &span, Overflow::Close(4508)),
        Pushed::Closed
    );
    assert_eq!(
        rig.reactor.cx.push(id, &span, Overflow::Close(4508)),
        Pushed::Gone
    );
    assert!(rig.reactor.cx.counters.frames_dropped >= 3);
    rig.turn();
    assert!(rig.reactor.sessions.get_mut(id).is_none());
    rig.until(|_| {
        client.read();
        client
            .frames()
            .last()
            .is_some_and(|(first, _)| *first == 0x88)
    });
    let frames = client.frames();
    assert!(
        frames[..frames.len() - 1]
            .iter()
            .all(|(_, text)| *text == [b'x'; 1_000])
    );
    assert_eq!(frames.last().unwrap().1[..2], 4508_u16.to_be_bytes());
    client.send(&frame(0x88, &4508_u16.to_be_bytes()));
    client.stream.shutdown(Shutdown::Write).unwrap();
    rig.until(|rig| rig.inbox.sessions() == 0);
    let counters = rig.reactor.cx.counters;
    assert_eq!(
        (
            counters.closed_slow,
            counters.sessions_closed,
            counters.queued_bytes
        ),
        (1, 1, 0)
    );
    assert_eq!(rig.closed().len(), 1);
}

#[test]
fn dropping_keeps_the_session_and_the_bound() {
    for overflow in [Overflow::DropNewest, Overflow::LatestWins { key: 7 }] {
        let mut rig = Rig::new(small());
        let (id, mut client) = rig.connect(b"");
        let pushed = fill(&mut rig, id, &span(3, &[b'x'; 1_000]), overflow);
        let latest_wins = matches!(overflow, Overflow::LatestWins { .. });
        match pushed {
            Pushed::Dropped(3) => assert!(!latest_wins),
            Pushed::Replaced(1..) => assert!(latest_wins),
            other => panic!("{overflow:?}: {other:?}"),
        }
        assert!(rig.reactor.cx.queued_bytes(id) <= 64 * 1024);
        rig.until(|rig| {
            client.read();
            rig.reactor.cx.queued_bytes(id) == 0
        });
        rig.reactor.cx.send(id, Kind::Text, b"last");
        rig.until(|_| {
            client.read();
            client
                .frames()
                .last()
                .is_some_and(|(_, text)| text == b"last")
        });
        let frames = client.frames();
        assert!(
            frames[..frames.len() - 1]
                .iter()
                .all(|(_, text)| *text == [b'x'; 1_000])
        );
        assert_eq!(rig.closed(), []);
    }
}

#[test]
fn reading_stops_past_half_of_the_bound_and_resumes_when_empty() {
    let mut rig = Rig::new(small());
    let (id, mut client) = rig.connect(b"");
    fill(
        &mut rig,
        id,
        &span(1, &[b'x'; 10_000]),
        Overflow::DropNewest,
    );
    rig.until(|rig| rig.reactor.handler.seen.contains(&Seen::Pause));
    client.send(&frame(0x81, b"unread"));
    for _ in 0..10 {
        rig.turn();
    }
    assert_eq!(rig.messages(), 0);
    rig.until(|rig| {
        client.read();
        rig.messages() == 1
    });
    let paces = |seen: &&Seen| matches!(seen, Seen::Pause | Seen::Resume);
    let paces: Vec<_> = rig.reactor.handler.seen.iter().filter(paces).collect();
    assert_eq!(paces, [&Seen::Pause, &Seen::Resume]);
}

/// What many clients have to say at once is read in parts, so that one with little to say does not wait
/// for all of it.
#[test]
fn a_flood_is_read_in_parts_and_a_small_message_beside_it_at_once() {
    let mut rig = Rig::new(Options::default());
    let mut flooders: Vec<_> = (0..20).map(|_| rig.connect(b"").1).collect();
    let (_, mut calm) = rig.connect(b"");
    let burst = frame(0x8a, &[0; 120]).repeat(10_000);
    let mut flood = || {
        for flooder in &mut flooders {
            while std::io::Write::write(&mut flooder.stream, &burst).is_ok() {}
        }
    };
    flood();
    for number in 1..=100 {
        rig.turn();
        flood();
        calm.send(&frame(0x81, b"calm"));
        let before = rig.reactor.cx.counters.bytes_in;
        rig.turn();
        assert_eq!(rig.messages(), number);
        let read = rig.reactor.cx.counters.bytes_in - before;
        // A turn's part, and at most one read past it.
        assert!((1..=(192 + 64 + 8) << 10).contains(&read), "{read}");
    }
}

#[test]
fn an_echo_client_that_does_not_read_fills_no_more_than_the_bound_and_one_read() {
    let mut rig = Rig::new(small());
    let (id, mut client) = rig.connect(b"");
    let burst = frame(0x82, &[7; 1_000]).repeat(1_000);
    let mut sent = 0;
    let mut most = 0;
    for _ in 0..500 {
        if let Ok(bytes) = std::io::Write::write(&mut client.stream, &burst[sent % burst.len()..]) {
            sent += bytes;
        }
        rig.turn();
        most = most.max(rig.reactor.cx.queued_bytes(id));
    }
    assert!(rig.reactor.handler.seen.contains(&Seen::Pause));
    assert!(most <= 64 * 1024 / 2 + 64 * 1024, "{most}");
    let whole = sent / 1_008;
    rig.until(|_| {
        client.read();
        client.frames().len() == whole
    });
}

#[test]
fn the_largest_unfinished_message_goes_when_the_budget_is_spent() {
    let mut rig = Rig::new(small());
    let (small, mut small_client) = rig.connect(&frame(0x01, &[b'a'; 5_000]));
    let (large, mut large_client) = rig.connect(&frame(0x01, &[b'a'; 40_000]));
    small_client.send(&frame(0x00, &[b'a'; 10_000]));
    rig.until(|rig| rig.reactor.cx.counters.partial_bytes > 50_000);
    assert_eq!(rig.closed(), []);
    small_client.send(&frame(0x00, &[b'a'; 12_000]));
    rig.until(|_| {
        large_client.read();
        large_client.frames().len() == 1
    });
    assert_eq!(large_client.frames()[0].1[..2], 1009_u16.to_be_bytes());
    large_client.send(&frame(0x88, &1009_u16.to_be_bytes()));
    rig.until(|rig| !rig.closed().is_empty());
    assert_eq!(rig.closed(), [(large, Closed::ByServer(1009))]);
    small_client.send(&frame(0x80, b"a"));
    assert_eq!(rig.frames(&mut small_client, 1)[0].1.len(), 27_001);
    assert!(rig.reactor.sessions.get_mut(small).is_some());
    assert_eq!(rig.reactor.cx.counters.closed_oversize, 1);
}

#[test]
fn ended_and_idle_sessions_do_not_pay_for_anothers_unfinished_messages() {
    let mut rig = Rig::new(small());
    let (_, mut idle) = rig.connect(b"");
    // Half a control frame is no unfinished message.
    let (_, mut pinging) = rig.connect(&frame(0x89, b"ping")[..8]);
    // Replies that are not read keep its queue, a part of a message its budget, a FIN its end.
    let (ended, mut gone) = rig.connect(b"");
    let replies = span(1, &[b'a'; 60_000]);
    while rig.reactor.cx.queued_bytes(ended) == 0 {
        rig.reactor.cx.push(ended, &replies, Overflow::Close(4508));
        rig.turn();
    }
    gone.send(&frame(0x01, &[b'a'; 40_000]));
    rig.until(|rig| rig.reactor.cx.counters.partial_bytes >= 40_000);
    gone.stream.shutdown(Shutdown::Write).unwrap();
    rig.until(|rig| !rig.closed().is_empty());
    assert_eq!(rig.reactor.cx.counters.partial_bytes, 0);

    let (_, mut writing) = rig.connect(&frame(0x01, &[b'a'; 60_000]));
    writing.send(&frame(0x00, b"a"));
    idle.send(&frame(0x81, b"still here"));
    rig.frames(&mut idle, 1);
    pinging.send(&frame(0x89, b"ping")[8..]);
    assert_eq!(rig.frames(&mut pinging, 1)[0], (0x8a, b"ping".to_vec()));
    assert_eq!(rig.reactor.cx.counters.closed_oversize, 0);
}
