//! Clients that ping, and a prober that asks whether the gateway is ready, each on a schedule that does not
//! wait for answers: a late one makes those behind it late, and their times count from when they were
//! due. Prints for each how many there were and their p50, p99 and longest time in microseconds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use wse_e2e::raw::{Frames, masked};

use super::{Gateway, Outcome};

/// One after the other: so the next ping does not wait for the last one's answer.
const PINGERS: u32 = 8;
const PING_EVERY: Duration = Duration::from_millis(40);
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(gateway: &Gateway, seconds: f64, admin: SocketAddr) -> Outcome<()> {
    let pingers: Outcome<Vec<_>> = (0..PINGERS)
        .map(|number| Pinger::connect(gateway, number))
        .collect();
    let mut prober = Prober::connect(admin)?;
    let begin = Instant::now();
    let lasts = Duration::from_secs_f64(seconds);
    let probing = thread::spawn(move || on_schedule(begin, PROBE_EVERY, lasts, || prober.ask()));
    let pinging: Vec<_> = (0..PINGERS)
        .zip(pingers?)
        .map(|(number, mut pinger)| {
            let begin = begin + PING_EVERY * number / PINGERS;
            thread::spawn(move || on_schedule(begin, PING_EVERY, lasts, || pinger.ask()))
        })
        .collect();
    for (name, asking) in [("ping", pinging), ("probe", vec![probing])] {
        let mut times = Histogram::<u64>::new(3)?;
        for one in asking {
            times.add(one.join().map_err(|_| "a thread panicked")??)?;
        }
        println!(
            "{name} {} {} {} {}",
            times.len(),
            times.value_at_quantile(0.5),
            times.value_at_quantile(0.99),
            times.max()
        );
    }
    Ok(())
}

/// Asks again and again; times in microseconds from when each question was due.
fn on_schedule(
    begin: Instant,
    every: Duration,
    lasts: Duration,
    mut ask: impl FnMut() -> Outcome<()>,
) -> Result<Histogram<u64>, String> {
    let mut times = Histogram::new(3).map_err(|error| error.to_string())?;
    let mut due = begin;
    while due < begin + lasts {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        ask().map_err(|error| error.to_string())?;
        let took = due.elapsed().as_micros() as u64;
        times.record(took).map_err(|error| error.to_string())?;
        due += every;
    }
    Ok(times)
}

struct Pinger {
    stream: TcpStream,
    frames: Frames,
    ping: Vec<u8>,
    buffer: Vec<u8>,
}

impl Pinger {
    fn connect(gateway: &Gateway, number: u32) -> Outcome<Self> {
        let stream = connect(gateway.door.address)?;
        let mut pinger = Self {
            stream,
            frames: Frames::default(),
            ping: masked(br#"{"c":"WSE","t":"ping","p":{"timestamp":0}}"#),
            buffer: vec![0; 4 << 10],
        };
        pinger.stream.write_all(&gateway.request(number as usize))?;
        pinger.wait("server_ready")?;
        Ok(pinger)
    }

    fn ask(&mut self) -> Outcome<()> {
        self.stream.write_all(&self.ping)?;
        self.wait("PONG")
    }

    fn wait(&mut self, kind: &str) -> Outcome<()> {
        let begin = format!(r#"{{"c":"WSE","t":"{kind}""#);
        let mut came = false;
        while !came {
            let count = self.stream.read(&mut self.buffer)?;
            if count == 0 {
                return Err("the gateway closed the connection".into());
            }
            self.frames.take(&self.buffer[..count], &mut |payload| {
                came |= payload.starts_with(begin.as_bytes());
            })?;
        }
        Ok(())
    }
}

struct Prober {
    stream: TcpStream,
    request: String,
    answer: Vec<u8>,
}

impl Prober {
    fn connect(admin: SocketAddr) -> Outcome<Self> {
        Ok(Self {
            stream: connect(admin)?,
            request: format!("GET /ready HTTP/1.1\r\nHost: {admin}\r\n\r\n"),
            answer: Vec::new(),
        })
    }

    fn ask(&mut self) -> Outcome<()> {
        self.stream.write_all(self.request.as_bytes())?;
        self.answer.clear();
        let mut buffer = [0; 4 << 10];
        loop {
            let count = self.stream.read(&mut buffer)?;
            self.answer.extend_from_slice(&buffer[..count]);
            if !self.answer.starts_with(b"HTTP/1.1 200 ") {
                let answer = String::from_utf8_lossy(&self.answer);
                return Err(format!("not ready: {answer}").into());
            }
            // The body is one JSON object, without another in it.
            if self.answer.ends_with(b"}") || self.answer.ends_with(b"}\n") {
                return Ok(());
            }
        }
    }
}

fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}
