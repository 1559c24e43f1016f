use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use serde_json::Value;

use super::answer::TOPICS;
use super::*;
use crate::backplane::NodeId;
use crate::hub::Action;

#[derive(Debug, Default)]
struct Recorder {
    sent: Vec<String>,
    closed: Option<(u16, String)>,
    changes: Vec<(Action, Vec<Box<str>>)>,
    counted: Vec<Outcome>,
    warnings: usize,
}

impl Effects for Recorder {
    fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.sent.push(String::from_utf8(out).unwrap());
    }

    fn close(&mut self, code: u16, reason: &str) {
        assert!(self.closed.is_none(), "closed twice");
        self.closed = Some((code, reason.into()));
    }

    fn change(&mut self, change: Change) {
        self.changes.push((change.action, change.topics));
    }

    fn count(&mut self, outcome: Outcome) {
        self.counted.push(outcome);
    }

    fn count_warning(&mut self) {
        self.warnings += 1;
    }

    fn wall(&self) -> SystemTime {
        wall()
    }
}

fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)
}

fn session(now: Instant, limits: &Limits) -> Session {
    let id = ConnectionId::new(&NodeId::new("pod"));
    Session::new(id, None, 1.0, (now, wall()), limits)
}

/// What one message does to a fresh session.
fn said(kind: Kind, payload: &[u8]) -> Recorder {
    let (now, limits) = (Instant::now(), Limits::default());
    let mut fx = Recorder::default();
    session(now, &limits).message(kind, payload, now, &limits, &mut fx);
    fx
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn messages_are_answered_as_the_protocol_says() {
    use Outcome::{Handled, Malformed, NoBackend, Unsupported};
    for (payload, outcome, answer) in [
        (
            r#"{"c":"WSE","t":"ping","p":{"timestamp":1700000000000},"v":1}"#,
            Handled,
            r#"{"c":"WSE","t":"PONG","p":{"client_timestamp":1700000000000,"server_timestamp":1700000000500,"latency":500},"v":1}"#,
        ),
        // The clock of the client is ahead.
        (
            r#"{"t":"PING","p":{"client_timestamp":1700000009999}}"#,
            Handled,
            r#"{"c":"WSE","t":"PONG","p":{"client_timestamp":1700000009999,"server_timestamp":1700000000500,"latency":0},"v":1}"#,
        ),
        (
            r#"WSE{"type":"ping"}"#,
            Handled,
            r#"{"c":"WSE","t":"PONG","p":{"client_timestamp":0,"server_timestamp":1700000000500,"latency":1700000000500},"v":1}"#,
        ),
        (
            r#"{"t":"ping","p":{"timestamp":"\" 1"}}"#,
            Handled,
            r#"{"c":"WSE","t":"PONG","p":{"client_timestamp":0,"server_timestamp":1700000000500,"latency":1700000000500},"v":1}"#,
        ),
        ("PING:17", Handled, "PONG:17"),
        ("WSE:PING:17", Handled, "WSE:PONG:17"),
        ("PONG:17", Handled, ""),
        (
            r#"S{"t":"sync_request","p":{"topics":["a", "b"]}}"#,
            Handled,
            r#"{"c":"WSE","t":"snapshot_complete","p":{"topics":["a", "b"],"count":0},"v":1}"#,
        ),
        (
            r#"{"t":"sync_request"}"#,
            Handled,
            r#"{"c":"WSE","t":"snapshot_complete","p":{"topics":[],"count":0},"v":1}"#,
        ),
        (r#"U{"t":"PONG"}"#, Handled, ""),
        (r#"{"t":"health_check_response","p":{}}"#, Handled, ""),
        (r#"{"t":"chat","p":{}}"#, NoBackend, ""),
        (r#"{"t":"bat\u0063h"}"#, Malformed, "INVALID_MESSAGE"),
        (r#"{"p":{}}"#, Malformed, "PROTOCOL_ERROR"),
        ("hello", Malformed, "INVALID_MESSAGE"),
        ("", Malformed, "INVALID_MESSAGE"),
        (
            r#"{"t":"subscription_update","p":{"action":"own","topics":[]}}"#,
            Malformed,
            "PROTOCOL_ERROR",
        ),
        (
            r#"{"t":"subscription_update","p":{"action":"subscribe","topics":"a"}}"#,
            Malformed,
            "PROTOCOL_ERROR",
        ),
    ] {
        let fx = said(Kind::Text, payload.as_bytes());
        assert_eq!(fx.counted, [outcome], "{payload}");
        assert!(fx.closed.is_none() && fx.changes.is_empty(), "{payload}");
        match answer {
            "" => assert!(fx.sent.is_empty(), "{payload}: {:?}", fx.sent),
            code if outcome == Malformed => {
                let error: Value = serde_json::from_str(&fx.sent[0]).unwrap();
                assert_eq!(
                    (&error["t"], &error["p"]["code"]),
                    (&"error".into(), &code.into()),
                    "{payload}"
                );
            }
            answer => assert_eq!(fx.sent, [answer], "{payload}"),
        }
    }
    for payload in [b"C:x", b"M:x", b"E:x"] {
        assert_eq!(said(Kind::Binary, payload).counted, [Unsupported]);
    }
    assert_eq!(said(Kind::Binary, br#"{"t":"chat"}"#).counted, [NoBackend]);
    assert_eq!(said(Kind::Binary, b"\xff").counted, [Malformed]);
}

#[test]
fn subscription_changes_go_to_the_hub_under_both_names() {
    for (payload, action) in [
        (
            r#"{"t":"subscription_update","p":{"action":"subscribe","topics":["a","b\n"],"recover":true,"recovery":{"a":{"epoch":"0","offset":1}}}}"#,
            Action::Subscribe,
        ),
        (
            r#"{"type":"subscription","payload":{"presence":{},"topics":["x"],"topics":["a","b\n"],"action":"subscribe"}}"#,
            Action::Subscribe,
        ),
        (
            r#"{"t":"subscription_update","p":{"action":"unsubscribe","topics":["a","b\n"]}}"#,
            Action::Unsubscribe,
        ),
    ] {
        let fx = said(Kind::Text, payload.as_bytes());
        assert_eq!(
            fx.changes,
            [(action, vec!["a".into(), "b\n".into()])],
            "{payload}"
        );
        assert!(fx.sent.is_empty(), "the hub acknowledges");
    }
    let many = format!(
        r#"{{"t":"subscription","p":{{"action":"subscribe","topics":[{}"a"]}}}}"#,
        r#""a","#.repeat(TOPICS)
    );
    let fx = said(Kind::Text, many.as_bytes());
    assert!(fx.changes.is_empty() && fx.sent[0].contains("SUBSCRIPTION_FAILED"));
}

#[test]
fn a_batch_is_many_messages_and_holds_no_batch() {
    let fx = said(
        Kind::Text,
        br#"{"t":"batch","p":{"messages":[{"t":"chat"},{"t":"ping"},{"t":"batch","p":{"messages":[{"t":"chat"}]}},7],"count":4}}"#,
    );
    use Outcome::{Handled, Malformed, NoBackend};
    assert_eq!(
        fx.counted,
        [Handled, NoBackend, Handled, Malformed, Malformed]
    );
    // The pong, and one complaint for both mistakes.
    assert_eq!(fx.sent.len(), 2);

    let (now, limits) = (
        Instant::now(),
        Limits {
            messages_per_second: 3,
            ..Limits::default()
        },
    );
    let mut fx = Recorder::default();
    let batch =
        br#"{"t":"batch","p":{"messages":[{"t":"a"},{"t":"a"},{"t":"a"},{"t":"a"},{"t":"a"}]}}"#;
    session(now, &limits).message(Kind::Text, batch, now, &limits, &mut fx);
    assert_eq!(
        fx.counted
            .iter()
            .filter(|outcome| **outcome == NoBackend)
            .count(),
        3
    );
    assert_eq!(
        fx.counted
            .iter()
            .filter(|outcome| **outcome == Outcome::RateLimited)
            .count(),
        2
    );
}

#[test]
fn mistakes_and_limits_are_told_once_a_second_each() {
    let limits = Limits {
        messages_per_second: 5,
        ..Limits::default()
    };
    let start = Instant::now();
    let mut session = session(start, &limits);
    let mut fx = Recorder::default();
    for millis in (0..1_000).step_by(10) {
        session.message(
            Kind::Text,
            b"{}",
            start + Duration::from_millis(millis),
            &limits,
            &mut fx,
        );
    }
    let count = |text: &str| fx.sent.iter().filter(|sent| sent.contains(text)).count();
    assert_eq!(
        (
            count("PROTOCOL_ERROR"),
            count("RATE_LIMITED"),
            count("rate_limit_warning")
        ),
        (1, 1, 1)
    );
    assert_eq!(fx.warnings, 1);
    // Five at once and five within the second.
    assert_eq!(
        fx.counted
            .iter()
            .filter(|outcome| **outcome == Outcome::Malformed)
            .count(),
        9
    );
}

#[test]
fn ten_seconds_above_the_limit_close_with_4429() {
    let limits = Limits {
        messages_per_second: 5,
        ..Limits::default()
    };
    let start = Instant::now();
    let mut session = session(start, &limits);
    let mut fx = Recorder::default();
    let mut millis = 0;
    while fx.closed.is_none() {
        session.message(
            Kind::Text,
            b"{\"t\":\"a\"}",
            start + Duration::from_millis(millis),
            &limits,
            &mut fx,
        );
        millis += 50;
        assert!(millis < 12_000);
    }
    assert_eq!(fx.closed, Some((4429, "rate limit exceeded".into())));
    assert!(millis > 10_000);
}

#[test]
fn pings_idleness_and_expiry_come_when_they_are_due() {
    let limits = Limits {
        ping_seconds: 10,
        idle_seconds: 25,
        ..Limits::default()
    };
    let start = Instant::now();
    let mut talker = session(start, &limits);
    let mut fx = Recorder::default();
    let mut now = talker.next_alarm(start, &limits);
    assert_eq!(now, start + seconds(10.0));
    for _ in 0..10 {
        now = talker.alarm(now, &limits, &mut fx).unwrap();
        talker.message(Kind::Text, b"PONG:1", now, &limits, &mut fx);
    }
    assert_eq!(fx.sent.len(), 10);
    assert!(
        fx.sent[0].starts_with(r#"{"c":"WSE","t":"ping","p":{"server_time":"2023-"#),
        "{}",
        fx.sent[0]
    );

    // Silent from now on.
    let last = now;
    while let Some(next) = talker.alarm(now, &limits, &mut fx) {
        assert!(next > now);
        now = next;
    }
    assert_eq!(fx.closed, Some((4408, "idle timeout".into())));
    assert_eq!(now, last + seconds(25.0));

    let id = ConnectionId::new(&NodeId::new("pod"));
    let expires = wall() + seconds(7.0);
    let mut expiring = Session::new(id, Some(expires), 0.5, (start, wall()), &limits);
    let mut fx = Recorder::default();
    let due = expiring.next_alarm(start, &limits);
    assert_eq!(due, start + seconds(7.0));
    assert_eq!(expiring.alarm(due, &limits, &mut fx), None);
    assert_eq!(fx.closed, Some((4401, "Token expired".into())));
}

#[test]
fn a_client_that_is_not_read_from_is_slow_and_not_idle() {
    let limits = Limits::default();
    let start = Instant::now();
    let mut session = session(start, &limits);
    let mut fx = Recorder::default();
    session.pause(true, start + seconds(30.0));
    assert!(
        session
            .alarm(start + seconds(61.0), &limits, &mut fx)
            .is_some()
    );
    assert_eq!(session.alarm(start + seconds(91.0), &limits, &mut fx), None);
    assert_eq!(fx.closed, Some((4508, "slow consumer".into())));
}

#[test]
fn a_session_leaves_at_its_moment_or_at_the_deadline_or_stays() {
    let limits = Limits::default();
    let start = Instant::now();
    let drained = Leaving {
        at: start + seconds(3.0),
        deadline: Some(start + seconds(5.0)),
    };
    let late = Leaving {
        at: start + seconds(5.0),
        ..drained
    };
    let shed = Leaving {
        deadline: None,
        ..drained
    };
    for (leaving, stays, asked_at, expected) in [
        (drained, false, 2.9, None),
        (drained, false, 3.0, Some("draining")),
        (drained, false, 5.0, Some("draining")),
        (late, false, 5.0, Some("draining")),
        (drained, true, 9.0, None),
        (shed, false, 2.9, None),
        (shed, false, 9.0, Some("rebalancing")),
        (shed, true, 9.0, None),
    ] {
        let mut session = session(start, &limits);
        let mut fx = Recorder::default();
        session.leave(leaving);
        assert_eq!(session.next_alarm(start, &limits), leaving.at);
        if stays {
            session.stay();
        }
        session.alarm(start + seconds(asked_at), &limits, &mut fx);
        let ended = fx.closed.map(|(code, reason)| {
            assert_eq!(code, 4300);
            reason
        });
        assert_eq!(ended.as_deref(), expected, "{leaving:?} {asked_at}");
    }
}

#[test]
fn a_reload_brings_the_next_ping_forward() {
    let start = Instant::now();
    let mut session = session(start, &Limits::default());
    assert_eq!(
        session.next_alarm(start, &Limits::default()),
        start + seconds(25.0)
    );
    let quick = Limits {
        ping_seconds: 2,
        ..Limits::default()
    };
    assert_eq!(session.next_alarm(start, &quick), start + seconds(2.0));
}

#[test]
fn a_shorter_idleness_counts_from_the_reload() {
    let start = Instant::now();
    let long = Limits::default();
    let short = Limits {
        idle_seconds: 10,
        ping_seconds: 5,
        ..Limits::default()
    };
    let reloaded = start + seconds(24.0);
    let alarm = |before: &Limits, after: &Limits, at: f64| {
        let mut session = session(start, before);
        session.reload(before, after, reloaded);
        session.next_alarm(reloaded, after);
        let mut fx = Recorder::default();
        session.alarm(start + seconds(at), after, &mut fx);
        (fx.sent.len(), fx.closed.map(|(code, _)| code))
    };
    assert_eq!(alarm(&long, &short, 24.0), (0, None));
    assert_eq!(alarm(&long, &short, 29.0), (1, None));
    assert_eq!(alarm(&long, &short, 34.0), (0, Some(code::IDLE)));
    // A longer one counts from the last message, as ever.
    assert_eq!(alarm(&short, &long, 59.0), (1, None));
    assert_eq!(alarm(&short, &long, 60.0), (0, Some(code::IDLE)));
}

proptest! {
    #[test]
    fn whatever_comes_the_answers_are_json_or_heartbeats(
        text in any::<bool>(),
        payload in prop_oneof![
            "\\PC{0,60}",
            r#"(WSE|S|U)?\{"(t|type)":"(ping|batch|client_hello|subscription_update|sync_request)","(p|payload)":\{"(timestamp|topics|action|messages)":(1e5|-3|"x"|\[[\["x, ]{0,5}\]|\{\})\}\}"#,
        ],
    ) {
        let kind = if text { Kind::Text } else { Kind::Binary };
        let fx = said(kind, payload.as_bytes());
        prop_assert!(fx.closed.is_none() && !fx.counted.is_empty());
        for sent in &fx.sent {
            if !sent.contains("PONG:") {
                prop_assert!(serde_json::from_str::<Value>(sent).is_ok(), "{}", sent);
            }
        }
    }
}
