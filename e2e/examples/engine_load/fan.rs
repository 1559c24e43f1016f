//! Publications on one topic that every client has. Prints how many were published, how many
//! deliveries came, and in how many seconds; fails when one is missing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;

use super::Outcome;
use super::client::Door;
use super::storm::gather;

/// Publications in a call.
const BATCH: usize = 250;
/// Bytes that have been published and not delivered: enough to keep the gateway busy, and less than makes
/// it take a client for one that does not read.
const WINDOW_BYTES: usize = 1 << 20;

/// Where the backends' API is.
pub(super) struct Api<'a> {
    pub(super) address: SocketAddr,
    pub(super) key: &'a str,
}

pub(super) fn run(
    door: &Door,
    connections: usize,
    bytes: usize,
    seconds: f64,
    api: &Api<'_>,
) -> Outcome<()> {
    let topic = "engine.fan";
    let mut poll = Poll::new()?;
    let (mut clients, _) = gather(door, &mut poll, connections, connections, |_| {
        vec![topic.to_owned()]
    })?;
    let mut publisher = Publisher::new(api, topic, bytes, connections, &poll)?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 << 10];
    let mut deliveries = 0_usize;
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let mut last = begin;
    loop {
        let delivered = deliveries / connections;
        while Instant::now() < end && (publisher.called() - delivered) * bytes < WINDOW_BYTES {
            publisher.call()?;
        }
        poll.poll(&mut events, Some(Duration::from_secs(5)))?;
        for event in &events {
            let number = event.token().0;
            if number < connections {
                clients[number].read(&mut buffer, |payload| {
                    // Not the gateway's own messages.
                    deliveries += usize::from(payload.starts_with(br#"{"c":"U""#));
                })?;
                continue;
            }
            publisher.read_answers(&mut buffer)?;
            publisher.flush()?;
        }
        let expected = publisher.called() * connections;
        if !events.is_empty() {
            last = Instant::now();
        }
        if publisher.is_idle() && deliveries == expected {
            break;
        }
        if events.is_empty() {
            return Err(format!("{deliveries} of {expected} deliveries came").into());
        }
    }
    let took = (last - begin).as_secs_f64();
    println!("{} {deliveries} {took:.3}", publisher.called());
    Ok(())
}

/// One connection to the API; calls are not waited for.
struct Publisher {
    stream: TcpStream,
    call: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    answers: Vec<u8>,
    called: usize,
    answered: usize,
}

impl Publisher {
    fn new(api: &Api<'_>, topic: &str, bytes: usize, number: usize, poll: &Poll) -> Outcome<Self> {
        let empty = json!({"c": "U", "t": "bench", "p": ""}).to_string().len();
        let filling = bytes
            .checked_sub(empty)
            .ok_or("too few bytes for a message")?;
        let message = json!({"c": "U", "t": "bench", "p": "x".repeat(filling)});
        let publications = vec![json!({"topic": topic, "message": message}); BATCH];
        let body = json!({"publications": publications}).to_string();
        let call = format!(
            "POST /publish/batch HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            api.address,
            api.key,
            body.len()
        );
        let mut stream = TcpStream::connect(api.address)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut stream, Token(number), interest)?;
        Ok(Self {
            stream,
            call: call.into_bytes(),
            out: Vec::new(),
            sent: 0,
            answers: Vec::new(),
            called: 0,
            answered: 0,
        })
    }

    /// Publications that were asked for.
    fn called(&self) -> usize {
        self.called * BATCH
    }

    fn is_idle(&self) -> bool {
        self.called == self.answered
    }

    fn call(&mut self) -> io::Result<()> {
        self.called += 1;
        self.out.extend_from_slice(&self.call);
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads answers. One that failed, in whole or in part, ends the run.
    fn read_answers(&mut self, buffer: &mut [u8]) -> Outcome<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the API closed the connection".into()),
                Ok(count) => self.answers.extend_from_slice(&buffer[..count]),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(end) = self.answers.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&self.answers[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.ok_or("an answer without a length")?.trim().parse()?;
            let whole = end + 4 + length;
            if self.answers.len() < whole {
                break;
            }
            let body = String::from_utf8_lossy(&self.answers[end + 4..whole]);
            if !head.starts_with("http/1.1 200 ") || body.contains("\"error\"") {
                return Err(format!("the API said: {head}\n{body:.200}").into());
            }
            self.answers.drain(..whole);
            self.answered += 1;
        }
        Ok(())
    }
}
