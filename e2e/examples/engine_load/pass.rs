//! Publications on a fixed schedule, whatever becomes of the earlier ones, and how long after the moment that
//! the schedule has for it each delivery came. Prints the median and the 99th percentile in milliseconds, and
//! the deliveries a second; fails when one is missing or of another topic.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use wse_e2e::Error;
use wse_e2e::raw::{Api, Caller, is_later};

use super::storm::gather;
use super::{Gateway, Outcome};

/// Connections to the API: it answers the calls of one in turn, each after a round trip to Redis.
const CALLERS: usize = 32;
/// What comes before a publication's number, and the number's digits.
const BEFORE: &[u8] = br#""p":""#;
const DIGITS: usize = 9;
/// Deliveries in the first second find caches cold and are not counted.
const WARM: Duration = Duration::from_secs(1);

/// Which publication is due when, on which topic: each topic has its turn.
pub(super) struct Schedule {
    topics: usize,
    rate: usize,
    count: usize,
}

impl Schedule {
    pub(super) fn new(topics: usize, rate: usize, seconds: usize) -> Self {
        Self {
            topics,
            rate,
            count: rate * seconds,
        }
    }

    fn due(&self, number: usize) -> Duration {
        Duration::from_secs(number as u64) / u32::try_from(self.rate).expect("a rate is small")
    }

    fn topic(&self, number: usize) -> String {
        format!("engine.{}", number % self.topics)
    }
}

/// The lateness of deliveries.
struct Lateness<'a> {
    schedule: &'a Schedule,
    begin: Instant,
    micros: Histogram<u32>,
    came: usize,
}

impl<'a> Lateness<'a> {
    fn new(schedule: &'a Schedule, begin: Instant) -> Outcome<Self> {
        Ok(Self {
            schedule,
            begin,
            micros: Histogram::new(3)?,
            came: 0,
        })
    }

    fn delivered(&mut self, number: usize) -> Outcome<()> {
        let due = self.schedule.due(number);
        self.came += 1;
        if due >= WARM {
            let late = self.begin.elapsed().saturating_sub(due);
            self.micros.record(u64::try_from(late.as_micros())?)?;
        }
        Ok(())
    }

    fn print(&self) {
        let millis = |quantile| self.micros.value_at_quantile(quantile) as f64 / 1000.0;
        let seconds = self.begin.elapsed().as_secs_f64();
        let rate = self.came as f64 / seconds;
        println!("{:.3} {:.3} {rate:.0}", millis(0.5), millis(0.99));
    }
}

/// Through the API at one address to subscribers at the other.
pub(super) fn run(
    gateway: &Gateway,
    subscribers: usize,
    schedule: &Schedule,
    api: &Api<'_>,
) -> Outcome<()> {
    let mut poll = Poll::new()?;
    let topics = |number| vec![schedule.topic(number)];
    let (mut clients, _) = gather(gateway, &mut poll, subscribers, subscribers, topics)?;
    let mut callers = (0..CALLERS)
        .map(|number| Caller::connect(api, subscribers + number, &poll))
        .collect::<Result<Vec<_>, Error>>()?;
    let expected = schedule.count * subscribers / schedule.topics;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 << 10];
    let mut lateness = Lateness::new(schedule, Instant::now())?;
    let mut sent = 0;
    let give_up = schedule.due(schedule.count) + Duration::from_secs(5);
    while lateness.came < expected || callers.iter().any(|caller| !caller.is_idle()) {
        while sent < schedule.count && lateness.begin.elapsed() >= schedule.due(sent) {
            // One that is idle, or the one that has waited longest.
            let idle = callers.iter().position(Caller::is_idle);
            let topic = schedule.topic(sent);
            let body = format!(r#"{{"topic":"{topic}","message":{}}}"#, message(sent));
            callers[idle.unwrap_or(sent % CALLERS)].call(&api.call("/publish", &body))?;
            sent += 1;
        }
        // A wait in the kernel would be a millisecond at least.
        poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in &events {
            let Some(client) = clients.get_mut(event.token().0) else {
                let caller = &mut callers[event.token().0 - subscribers];
                caller.read_answers(&mut buffer)?;
                caller.flush()?;
                continue;
            };
            let mut counted = Ok(());
            client.read(&mut buffer, |payload| {
                if counted.is_ok()
                    && let Some((number, _)) = next_number(payload)
                {
                    let is_its = number % schedule.topics == event.token().0 % schedule.topics;
                    counted = match is_its {
                        true => lateness.delivered(number),
                        false => Err("a delivery of another topic".into()),
                    };
                }
            })?;
            counted?;
        }
        if lateness.begin.elapsed() > give_up {
            return Err(format!("{} of {expected} deliveries came", lateness.came).into());
        }
    }
    lateness.print();
    Ok(())
}

/// Through PUBLISH to one connection that subscribed to all topics, as a gateway has one.
pub(super) fn redis(address: SocketAddr, schedule: &Schedule) -> Outcome<()> {
    let mut subscriber = std::net::TcpStream::connect(address)?;
    for topic in 0..schedule.topics {
        write!(subscriber, "SUBSCRIBE {}\r\n", schedule.topic(topic))?;
        let mut lines = 0;
        while lines < 6 {
            let mut byte = [0];
            subscriber.read_exact(&mut byte)?;
            lines += usize::from(byte[0] == b'\n');
        }
    }
    subscriber.set_nonblocking(true)?;
    let mut subscriber = TcpStream::from_std(subscriber);
    let mut publisher = TcpStream::connect(address)?;
    publisher.set_nodelay(true)?;
    let mut poll = Poll::new()?;
    let registry = poll.registry();
    registry.register(&mut subscriber, Token(0), Interest::READABLE)?;
    registry.register(&mut publisher, Token(1), Interest::READABLE)?;

    let mut events = Events::with_capacity(16);
    let mut buffer = vec![0; 64 << 10];
    let mut part = Vec::new();
    let mut out = Vec::new();
    let mut sent = 0;
    let mut lateness = Lateness::new(schedule, Instant::now())?;
    let give_up = schedule.due(schedule.count) + Duration::from_secs(5);
    while lateness.came < schedule.count {
        while sent < schedule.count && lateness.begin.elapsed() >= schedule.due(sent) {
            let (topic, message) = (schedule.topic(sent), message(sent));
            let (a, b) = (topic.len(), message.len());
            write!(
                out,
                "*3\r\n$7\r\nPUBLISH\r\n${a}\r\n{topic}\r\n${b}\r\n{message}\r\n"
            )?;
            sent += 1;
        }
        match publisher.write(&out) {
            Ok(bytes) => drop(out.drain(..bytes)),
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error.into()),
        }
        poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in &events {
            if event.token() == Token(1) {
                while publisher.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
                continue;
            }
            while let Ok(bytes @ 1..) = subscriber.read(&mut buffer) {
                part.extend_from_slice(&buffer[..bytes]);
            }
            let mut at = 0;
            while let Some((number, end)) = next_number(&part[at..]) {
                lateness.delivered(number)?;
                at += end;
            }
            part.drain(..at);
        }
        if lateness.begin.elapsed() > give_up {
            return Err(format!("{} of {} came", lateness.came, schedule.count).into());
        }
    }
    lateness.print();
    Ok(())
}

fn message(number: usize) -> String {
    format!(r#"{{"c":"U","t":"bench","p":"{number:0DIGITS$}"}}"#)
}

/// The number of the first publication in these bytes, and where it ends.
fn next_number(bytes: &[u8]) -> Option<(usize, usize)> {
    let before = bytes
        .windows(BEFORE.len())
        .position(|window| window == BEFORE)?;
    let begin = before + BEFORE.len();
    let digits = bytes.get(begin..begin + DIGITS)?;
    let number = str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, begin + DIGITS))
}
