//! Many clients come in.

use std::collections::BTreeMap;
use std::io;
use std::mem::take;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, Door};
use super::deflate::Inflater;
use super::dialect::{Dialect, Heard};
use super::frames::Data;
use crate::Error;

/// When nothing has moved for so long, nothing will.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that is to come in.
#[derive(Debug)]
pub struct Newcomer {
    /// Where to.
    pub door: Door,
    /// Its upgrade request.
    pub request: Vec<u8>,
    /// How it talks.
    pub dialect: Dialect,
    /// What it sends as soon as it may.
    pub greetings: Vec<Vec<u8>>,
    /// What it subscribes to, and waits to be told that it has. None of them: it does neither.
    pub topics: Vec<String>,
}

/// Who is in.
#[derive(Debug)]
pub struct Gathered {
    /// By their number; None for who did not get in.
    pub clients: Vec<Option<Client>>,
    /// Why not, and how many.
    pub failures: BTreeMap<String, u64>,
    /// From the first connect to the last answer.
    pub took: Duration,
}

impl Gathered {
    /// The clients, if all got in.
    ///
    /// # Errors
    /// [`Error::Protocol`] with why the others did not.
    pub fn all(self) -> Result<Vec<Client>, Error> {
        let clients: Option<Vec<Client>> = self.clients.into_iter().collect();
        let failures = &self.failures;
        clients.ok_or_else(|| Error::Protocol(format!("not all got in: {failures:?}")))
    }
}

/// Where a newcomer is.
enum Stage {
    Connecting,
    Subscribing,
    In,
    Failed,
}

/// Connects and subscribes. `at_once` connections at most have seen nothing yet: more than the accept
/// queue holds and the kernel tries again only after a second. It ends before its time when `ends` says so.
///
/// # Errors
/// When polling fails.
pub fn gather(
    poll: &mut Poll,
    newcomers: Vec<Newcomer>,
    at_once: usize,
    ends: &mut dyn FnMut() -> bool,
) -> io::Result<Gathered> {
    let count = newcomers.len();
    let subscriptions: Vec<Option<Vec<u8>>> = newcomers
        .iter()
        .map(|it| it.dialect.subscription(&it.topics))
        .collect();
    let dialects: Vec<_> = newcomers.iter().map(|it| it.dialect).collect();
    let greetings: Vec<_> = newcomers.iter().map(|it| it.greetings.concat()).collect();
    let mut newcomers = newcomers.into_iter();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 << 10];
    let mut inflater = Inflater::default();
    let mut clients: Vec<Option<Client>> = Vec::with_capacity(count);
    let mut stages: Vec<Stage> = Vec::with_capacity(count);
    let mut failures = BTreeMap::new();
    // Those that may have more, of which no event tells.
    let mut again = Vec::new();
    let (mut answered, mut settled) = (0, 0);
    let begin = Instant::now();
    while settled < count {
        while clients.len() - answered < at_once
            && let Some(Newcomer { door, request, .. }) = newcomers.next()
        {
            let client = Client::connect(&door, request, clients.len(), poll);
            stages.push(match &client {
                Ok(_) => Stage::Connecting,
                Err(error) => {
                    *failures.entry(error.to_string()).or_default() += 1;
                    (answered, settled) = (answered + 1, settled + 1);
                    Stage::Failed
                }
            });
            clients.push(client.ok());
        }
        let wait = if again.is_empty() {
            PATIENCE
        } else {
            Duration::ZERO
        };
        poll.poll(&mut events, Some(wait))?;
        let mut told = take(&mut again);
        told.extend(events.iter().map(|event| event.token().0));
        if told.is_empty() || ends() {
            for (stage, client) in stages.iter().zip(&mut clients) {
                if !matches!(stage, Stage::In) {
                    *client = None;
                }
            }
            if told.is_empty() {
                let silent = format!("nothing came for {} s", PATIENCE.as_secs());
                *failures.entry(silent).or_default() += (count - settled) as u64;
            }
            // Those that were not even begun.
            clients.resize_with(count, || None);
            break;
        }
        for number in told {
            let Some(client) = &mut clients[number] else {
                continue;
            };
            let (mut is_ready, mut ack, mut refusal) = (false, None, None);
            let dialect = dialects[number];
            let mut hear = |message: &[u8]| match dialect.hear(message) {
                Heard::Ready => is_ready = true,
                Heard::Subscribed(all, said) => ack = Some((all, said)),
                Heard::Error(said) => refusal = Some(said),
                Heard::Answer(_) | Heard::Other => {}
            };
            let mut broken = None;
            let mut each = |data: Data<'_>| match inflater.plain(data) {
                Ok(payload) => dialect.split(payload, &mut hear),
                Err(error) => broken = Some(error),
            };
            let read = client.flush();
            let read = read.and_then(|()| client.read_data(&mut buffer, &mut each));
            let read = broken.map_or(read, Err);
            if matches!(read, Ok(true)) {
                again.push(number);
            }
            is_ready |= dialect.talks_first() && client.is_upgraded();
            let before = &stages[number];
            let next = match (before, read, ack) {
                (_, Err(error), _) => Err(refused(&error, refusal.as_ref())),
                (Stage::Connecting, Ok(_), _) if is_ready => {
                    let subscription = &subscriptions[number];
                    let mut first = greetings[number].clone();
                    first.extend_from_slice(subscription.as_deref().unwrap_or_default());
                    let queued = client.queue(&first);
                    let next = subscription
                        .as_ref()
                        .map_or(Stage::In, |_| Stage::Subscribing);
                    queued.map(|()| next).map_err(|error| error.to_string())
                }
                (Stage::Subscribing, Ok(_), Some((true, _))) => Ok(Stage::In),
                (Stage::Subscribing, Ok(_), Some((false, said))) => {
                    Err(format!("not allowed to subscribe: {said}"))
                }
                _ => continue,
            };
            answered += usize::from(matches!(before, Stage::Connecting));
            settled -= usize::from(matches!(before, Stage::In));
            stages[number] = next.unwrap_or_else(|why| {
                *failures.entry(why).or_default() += 1;
                clients[number] = None;
                Stage::Failed
            });
            settled += usize::from(!matches!(stages[number], Stage::Subscribing));
        }
    }
    Ok(Gathered {
        clients,
        failures,
        took: begin.elapsed(),
    })
}

/// The type of a message of the system category (wse-protocol 1.5), if it is one. All servers begin with
/// the category; ours has the type next.
pub(super) fn system(payload: &[u8]) -> Option<&str> {
    #[derive(Deserialize)]
    struct Head<'a> {
        t: &'a str,
    }
    let rest = payload.strip_prefix(br#"{"c":"WSE","#);
    let rest = rest.or_else(|| payload.strip_prefix(br#"{"c": "WSE","#))?;
    if let Some(rest) = rest.strip_prefix(br#""t":""#) {
        let end = rest.iter().position(|&byte| byte == b'"')?;
        return str::from_utf8(&rest[..end]).ok();
    }
    let head: Head<'_> = serde_json::from_slice(payload).ok()?;
    Some(head.t)
}

/// A refusal is an error message and then a Close frame (wse-protocol 1.1).
fn refused(end: &Error, refusal: Option<&Value>) -> String {
    match (refusal, end) {
        (Some(said), Error::Closed { code, .. }) => Error::Refused {
            code: said["p"]["code"].as_str().unwrap_or_default().to_owned(),
            message: said["p"]["message"].as_str().unwrap_or_default().to_owned(),
            close: *code,
        }
        .to_string(),
        _ => end.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_system_message_is_found_in_any_order() {
        let cases: [(&str, Option<&str>); 6] = [
            (r#"{"c":"WSE","t":"PONG","p":{}}"#, Some("PONG")),
            (
                r#"{"c":"WSE","p":{"t":"x"},"t":"server_ready"}"#,
                Some("server_ready"),
            ),
            (r#"{"c": "WSE", "t": "PONG", "p": {}}"#, Some("PONG")),
            (r#"{"c":"U","t":"bench"}"#, None),
            (r#"{"c":"WSE","p":{}}"#, None),
            ("xxx", None),
        ];
        for (text, kind) in cases {
            assert_eq!(system(text.as_bytes()), kind, "{text}");
        }
    }
}
