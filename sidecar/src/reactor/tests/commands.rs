//! Alarms, commands, and a reactor on its own thread.

use std::sync::mpsc;
use std::time::Duration;

use super::rig::{Rig, Seen, frame};
use crate::reactor::{
    Closed, Context, Handler, Message, NotTaken, Options, Reply, SessionId, Sessions, spawn,
};

#[test]
fn an_alarm_goes_off_once_within_fifty_milliseconds() {
    let mut rig = Rig::new(Options::default());
    let (id, _client) = rig.connect(b"");
    let (other, _other) = rig.connect(b"");
    rig.reactor
        .cx
        .alarm(id, Some(rig.now + Duration::from_secs(25)));
    rig.reactor
        .cx
        .alarm(id, Some(rig.now + Duration::from_secs(20)));
    rig.reactor
        .cx
        .alarm(other, Some(rig.now + Duration::from_secs(20)));
    rig.reactor.cx.alarm(other, None);
    let alarms = |rig: &Rig| {
        rig.reactor
            .handler
            .seen
            .iter()
            .filter(|s| **s == Seen::Alarm(id))
            .count()
    };
    rig.now += Duration::from_millis(19_999);
    rig.turn();
    assert_eq!(alarms(&rig), 0);
    rig.now += Duration::from_millis(51);
    rig.turn();
    assert_eq!(alarms(&rig), 1);
    rig.now += Duration::from_secs(60);
    rig.turn();
    assert_eq!(alarms(&rig), 1);
    assert!(!rig.reactor.handler.seen.contains(&Seen::Alarm(other)));
}

#[test]
fn a_closing_session_has_no_alarm() {
    let mut rig = Rig::new(Options::default());
    let (id, _client) = rig.connect(b"");
    rig.reactor
        .cx
        .alarm(id, Some(rig.now + Duration::from_secs(1)));
    rig.reactor.cx.close(id, 4300, "");
    rig.now += Duration::from_secs(2);
    rig.turn();
    assert!(!rig.reactor.handler.seen.contains(&Seen::Alarm(id)));
}

#[test]
fn a_session_that_anothers_alarm_closes_keeps_its_close_handshake() {
    let mut rig = Rig::new(Options::default());
    let (first, _first) = rig.connect(b"");
    let (second, _second) = rig.connect(b"");
    let at = Some(rig.now + Duration::from_secs(1));
    rig.reactor.cx.alarm(first, at);
    rig.reactor.cx.alarm(second, at);
    rig.reactor.handler.at_alarm = Box::new(move |id, cx| {
        cx.close(if id == first { second } else { first }, 4300, "");
    });
    rig.now += Duration::from_secs(2);
    rig.turn();
    assert_eq!((rig.closed(), rig.inbox.sessions()), (vec![], 2));
    rig.now += Duration::from_secs(6);
    rig.turn();
    assert_eq!(rig.closed().len(), 1);
}

#[test]
fn an_idle_loop_waits() {
    let mut rig = Rig::new(Options::default());
    let (id, mut client) = rig.connect(b"");
    client.send(&frame(0x81, b"hi"));
    rig.frames(&mut client, 1);
    rig.turn();
    assert_eq!(rig.reactor.timeout(), None);
    rig.reactor
        .cx
        .alarm(id, Some(rig.now + Duration::from_secs(3)));
    let timeout = rig.reactor.timeout().unwrap();
    assert!(timeout > Duration::from_millis(500), "{timeout:?}");
}

#[test]
fn pings_are_no_messages() {
    let mut rig = Rig::new(Options::default());
    let (id, mut client) = rig.connect(b"");
    let arrived = rig.reactor.cx.last_message(id).unwrap();
    rig.now += Duration::from_secs(1);
    client.send(&[frame(0x89, b"ping"), frame(0x8a, b"pong")].concat());
    rig.frames(&mut client, 1);
    assert_eq!(rig.reactor.cx.last_message(id), Some(arrived));
    client.send(&frame(0x81, b"message"));
    rig.frames(&mut client, 2);
    assert_eq!(rig.reactor.cx.last_message(id), Some(rig.now));
}

#[tokio::test]
async fn the_inbox_is_bounded_in_bytes() {
    let mut rig = Rig::new(Options {
        inbox_bytes: 100,
        ..Options::default()
    });
    assert!(rig.inbox.command(1, 60, true).is_ok());
    assert_eq!(rig.inbox.command(2, 41, true), Err(NotTaken::Full(2)));
    assert!(rig.inbox.command(3, 40, true).is_ok());
    // What is urged past the bound counts as well.
    assert!(rig.inbox.command(4, 100, false).is_ok());
    assert_eq!(rig.inbox.command(5, 0, true), Err(NotTaken::Full(5)));
    {
        let mut room = std::pin::pin!(rig.inbox.room());
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(room.as_mut().poll(&mut context).is_pending());
    }
    rig.turn();
    rig.inbox.room().await;
    assert_eq!(rig.reactor.handler.seen, [1, 3, 4].map(Seen::Command));
    assert!(rig.inbox.command(6, 101, true).is_ok(), "it is empty");
    rig.inbox.end();
    assert_eq!(rig.inbox.command(5, 1, true), Err(NotTaken::Ended));
    rig.inbox.room().await;
}

#[test]
fn a_burst_of_commands_is_spread_over_turns() {
    let mut rig = Rig::new(Options::default());
    for command in 0..3 {
        assert!(rig.inbox.command(command, 1 << 20, true).is_ok());
    }
    for ran in 1..=3 {
        rig.turn();
        assert_eq!(rig.reactor.handler.seen.len(), ran);
        let rest = (ran < 3).then_some(Duration::ZERO);
        assert_eq!(rig.reactor.timeout(), rest);
    }
}

/// Tells what happens through a channel.
struct Teller(mpsc::Sender<&'static str>);

impl Handler for Teller {
    type Accept = ();
    type Session = ();
    type Command = &'static str;

    fn open(&mut self, _: SessionId, (): (), _: &mut Context) {}

    fn message(&mut self, _: SessionId, (): &mut (), _: Message<'_>, _: &mut Context) -> Reply {
        Reply::Nothing
    }

    fn close(&mut self, _: SessionId, (): (), _: Closed, _: &mut Context) {}

    fn command(&mut self, command: &'static str, _: &mut Sessions<()>, _: &mut Context) {
        assert_ne!(command, "panic", "as the test wants it");
        self.0.send(command).unwrap();
    }
}

#[test]
fn a_reactor_runs_on_its_thread_until_stopped() {
    let (sender, receiver) = mpsc::channel();
    let (handle, thread) = spawn(Options::default(), || Teller(sender)).unwrap();
    handle.command("hello", 5).unwrap();
    assert_eq!(receiver.recv().unwrap(), "hello");
    handle.stop();
    thread.join().unwrap();
    assert!(handle.command("late", 4).is_err());
    assert_eq!(handle.sessions(), 0);
}

#[test]
fn a_reactor_whose_handler_panicked_takes_nothing_more() {
    let (sender, _receiver) = mpsc::channel();
    let (handle, thread) = spawn(Options::default(), || Teller(sender)).unwrap();
    handle.urge("panic", 0);
    assert!(thread.join().is_err());
    assert!(handle.command("late", 4).is_err());
}
