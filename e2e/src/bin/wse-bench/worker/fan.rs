//! Connections that receive, and the backend that publishes for them, if this worker has it. Counts what
//! arrives where it arrives, and reads the numbers and times in it: `p.seq` and `p.ts_us`, as WSE's own
//! benchmark server writes them.

use std::mem::take;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use wse_e2e::Error;
use wse_e2e::raw::{Data, Heard, Inflater};

use super::alarm::Alarm;
use super::block::quotes;
use super::parent::{Parent, say};
use super::plan::{Fan, Order, Plan, Progress, Said};
use super::publishing::{Publishing, text_bytes};
use super::raw::{BUFFER_BYTES, Crowd, note};
use super::{QUIET, TELL, now_us};
use crate::latency::Latency;
use crate::numbers::Numbers;

/// What arrived.
struct Arrived {
    seq: Field,
    ts_us: Field,
    deliveries: u64,
    latency: Latency,
    /// Of each connection.
    numbers: Vec<Numbers>,
}

pub(super) fn run(plan: &Plan, work: &Fan, parent: &mut Parent) -> Result<(), String> {
    let Some(mut crowd) = Crowd::arrive(plan, parent)? else {
        return Ok(());
    };
    let connections = crowd.clients.len();
    let (publisher, dialect) = (work.publisher.as_ref(), plan.dialect);
    let topic = plan.topics.first().map_or("", String::as_str);
    let mut publishing = publisher
        .map(|it| Publishing::begin(it, topic, connections, &crowd.poll))
        .transpose()?;
    let alarm = Alarm::new()?;
    let registry = crowd.poll.registry();
    registry
        .register(
            &mut SourceFd(&alarm.as_raw_fd()),
            Token(connections + 1),
            Interest::READABLE,
        )
        .map_err(|error| format!("no timer: {error}"))?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut inflater = Inflater::default();
    let check = publisher.filter(|_| work.deflates);
    let check = check.map(|it| Finder::new(&quotes(text_bytes(it))).into_owned());
    let receivers = work.subscribers.unwrap_or(connections);
    let receivers = crowd.clients.iter().take(receivers).flatten().count() as u64;
    // Of payloads, as they are and as they came over the wire.
    let (mut plain_bytes, mut wire_bytes) = (0, 0);
    let mut arrived = Arrived::new(connections);
    let mut begin = Instant::now();
    let warm = begin + Duration::from_secs_f64(work.warm_seconds);
    let mut is_warm = work.warm_seconds == 0.0;
    let (mut last, mut told) = (begin, begin);
    // Connections that may have more, of which no event tells; also since the others were coming in.
    let mut again: Vec<usize> = (0..connections).collect();
    // Messages for each, once the parent has said so.
    let mut expected = None;
    loop {
        match parent.glance()? {
            Some(Order::Finish { messages_each }) => expected = Some(messages_each),
            Some(Order::Begin) | None => {}
        }
        if !is_warm && Instant::now() >= warm {
            (is_warm, begin) = (true, Instant::now());
            arrived = Arrived::new(connections);
        }
        let all = expected.map(|each| each * receivers);
        if all.is_some_and(|all| arrived.unique() >= all || last.elapsed() > QUIET) {
            break;
        }
        if let Some(publishing) = &mut publishing {
            publishing.publish(arrived.deliveries / receivers.max(1))?;
            alarm.ring_in(publishing.rest());
        }
        let wait = if again.is_empty() {
            TELL
        } else {
            Duration::ZERO
        };
        let polled = crowd.poll.poll(&mut events, Some(wait));
        polled.map_err(|error| format!("cannot wait for sockets: {error}"))?;
        let before = arrived.deliveries;
        let mut ready = take(&mut again);
        ready.extend(events.iter().map(|event| event.token().0));
        for number in ready {
            if number == connections + 1 {
                alarm.heard();
                continue;
            }
            if number == connections {
                if let Some(publishing) = &mut publishing {
                    publishing.heard(&mut buffer)?;
                }
                continue;
            }
            let Some(client) = &mut crowd.clients[number] else {
                continue;
            };
            let (told, now) = (&mut crowd.seen.deeds.told, now_us());
            let mut broken = None;
            let mut each = |data: Data<'_>| {
                let mut hear = |message: &[u8]| match dialect.is_published(message) {
                    true => {
                        arrived.note(number, message, now);
                        if check.as_ref().is_some_and(|it| it.find(message).is_none()) {
                            let why = "a message is not what was published";
                            broken = Some(Error::Protocol(why.into()));
                        }
                    }
                    false => {
                        if let Heard::Error(said) = dialect.hear(message) {
                            note(&said, told);
                        }
                    }
                };
                match inflater.plain(data) {
                    Err(error) => broken = Some(error),
                    Ok(payload) => {
                        dialect.split(payload, &mut hear);
                        plain_bytes += payload.len() as u64;
                        wire_bytes += data.payload.len() as u64;
                    }
                }
            };
            let read = client.read_data(&mut buffer, &mut each);
            match broken.map_or(read, Err) {
                Ok(true) => again.push(number),
                Ok(false) => {}
                Err(error) => crowd.lose(number, &error),
            }
        }
        if arrived.deliveries != before {
            last = Instant::now();
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            say(&Said::Progress(Progress {
                opened: crowd.seen.opened,
                held: crowd.seen.held,
                done: arrived.deliveries,
                latency: arrived.latency.clone(),
            }))?;
        }
    }
    let each = expected.unwrap_or_default();
    let end = if each > 0 { last } else { Instant::now() };
    let deeds = &mut crowd.seen.deeds;
    deeds.seconds = (end - begin.min(end)).as_secs_f64();
    deeds.done = arrived.deliveries;
    deeds.repeated = arrived.deliveries - arrived.unique();
    deeds.published = publishing.map_or(0, |it| it.published());
    if each > 0 {
        deeds.due = each * receivers;
        deeds.missing = deeds.due.saturating_sub(deeds.done - deeds.repeated);
    } else {
        deeds.missing = arrived.numbers.iter().map(Numbers::missing).sum();
        deeds.due = deeds.done - deeds.repeated + deeds.missing;
    }
    (deeds.plain_bytes, deeds.wire_bytes) = (plain_bytes, wire_bytes);
    if work.has_schedule {
        deeds.latency = arrived.latency;
    }
    crowd.tell()
}

impl Arrived {
    fn new(connections: usize) -> Self {
        Self {
            seq: Field::new(r#""seq":"#),
            ts_us: Field::new(r#""ts_us":"#),
            deliveries: 0,
            latency: Latency::default(),
            numbers: (0..connections).map(|_| Numbers::default()).collect(),
        }
    }

    fn note(&mut self, connection: usize, payload: &[u8], now_us: u64) {
        self.deliveries += 1;
        let Some(number) = self.seq.number(payload) else {
            return;
        };
        self.numbers[connection].add(number);
        if let Some(due_us) = self.ts_us.number(payload) {
            let latency = now_us.saturating_sub(due_us);
            self.latency.record(Duration::from_micros(latency));
        }
    }

    /// Deliveries without those that came again.
    fn unique(&self) -> u64 {
        let repeated: u64 = self.numbers.iter().map(|it| it.repeated).sum();
        self.deliveries - repeated
    }
}

/// A number in JSON, by its name. Most messages have it where the one before had it.
struct Field {
    name: Finder<'static>,
    at: usize,
}

impl Field {
    fn new(name: &'static str) -> Self {
        Self {
            name: Finder::new(name),
            at: 0,
        }
    }

    fn number(&mut self, payload: &[u8]) -> Option<u64> {
        let name = self.name.needle();
        let is_there = payload
            .get(self.at..)
            .is_some_and(|it| it.starts_with(name));
        if !is_there {
            self.at = self.name.find(payload)?;
        }
        let digits = &payload[self.at + name.len()..];
        let digits = digits.strip_prefix(b" ").unwrap_or(digits);
        let length = digits.iter().take_while(|it| it.is_ascii_digit()).count();
        str::from_utf8(&digits[..length]).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_wherever_it_stands() {
        let mut field = Field::new(r#""seq":"#);
        let cases = [
            (r#"{"p":{"seq":17,"a":1}}"#, Some(17)),
            (r#"{"p":{"seq":18}}"#, Some(18)),
            (r#"{"c":"U","p":{"seq":3}}"#, Some(3)),
            (r#"{"c": "U", "p": {"seq": 4}}"#, Some(4)),
            (r#"{"p":{}}"#, None),
            (r#"{"p":{"seq":"x"}}"#, None),
            ("", None),
        ];
        for (text, number) in cases {
            assert_eq!(field.number(text.as_bytes()), number, "{text}");
        }
    }
}
