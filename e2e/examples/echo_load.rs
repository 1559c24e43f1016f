//! A closed-loop echo client: every connection sends one masked message, waits for all of the echo,
//! and sends the next. Arguments: address, connections, payload bytes, seconds, and for TLS the file of
//! the server's certificate, which must be for `localhost`. Prints the number of messages and messages per
//! second. It checks the length of every echo, and the content of each connection's first.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::time::{Duration, Instant};
use std::{env, process};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use wse_e2e::raw::{self, Stream, Tls, is_later};

const MASK: [u8; 4] = [0x12, 0x9a, 0x34, 0x56];

struct Client {
    stream: Stream,
    /// Bytes of the request that the kernel has taken.
    sent: usize,
    /// Bytes of the echo that have come.
    received: usize,
    checked: bool,
}

/// The message as the client sends it, and as the server echoes it.
struct Frames {
    request: Vec<u8>,
    echo: Vec<u8>,
}

fn frames(payload_bytes: usize) -> Frames {
    let payload: Vec<u8> = (0..payload_bytes).map(|i| b'a' + (i % 26) as u8).collect();
    let (short, extended) = match payload_bytes {
        n @ 0..=125 => (n as u8, Vec::new()),
        n @ 126..=0xffff => (126, (n as u16).to_be_bytes().to_vec()),
        n => (127, (n as u64).to_be_bytes().to_vec()),
    };
    let masked: Vec<u8> = payload
        .iter()
        .zip(MASK.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    Frames {
        request: [&[0x82, 0x80 | short], extended.as_slice(), &MASK, &masked].concat(),
        echo: [&[0x82, short], extended.as_slice(), &payload].concat(),
    }
}

fn connect(address: SocketAddr, tls: Option<&Tls>) -> Result<Stream, Box<dyn Error>> {
    let mut socket = Blocking::connect(address)?;
    socket.set_nodelay(true)?;
    let mut tls = raw::begin(tls)?;
    match &mut tls {
        None => upgrade(&mut socket, address)?,
        Some(tls) => upgrade(&mut rustls::Stream::new(&mut **tls, &mut socket), address)?,
    }
    socket.set_nonblocking(true)?;
    let socket = TcpStream::from_std(socket);
    Ok(Stream { socket, tls })
}

fn upgrade(stream: &mut (impl Read + Write), address: SocketAddr) -> Result<(), Box<dyn Error>> {
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("refused: {}", String::from_utf8_lossy(&head)).into());
    }
    Ok(())
}

impl Client {
    /// Sends what is left of the request.
    fn send(&mut self, frames: &Frames) -> io::Result<()> {
        self.stream.flush()?;
        while self.sent < frames.request.len() {
            match self.stream.write(&frames.request[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once, with TLS all there is; true when the echo is whole.
    fn receive(&mut self, frames: &Frames, buffer: &mut [u8]) -> io::Result<bool> {
        let bytes = match self.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => bytes,
            Err(error) if is_later(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let expected = frames.echo.get(self.received..self.received + bytes);
        if expected.is_none_or(|expected| !self.checked && expected != &buffer[..bytes]) {
            return Err(io::Error::other("not the echo of what was sent"));
        }
        self.received += bytes;
        if self.received < frames.echo.len() {
            return match self.stream.tls {
                None => Ok(false),
                Some(_) => self.receive(frames, buffer),
            };
        }
        (self.sent, self.received, self.checked) = (0, 0, true);
        Ok(true)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [
        address,
        connections,
        payload_bytes,
        seconds,
        certificate @ ..,
    ] = arguments.as_slice()
    else {
        eprintln!("arguments: address connections payload-bytes seconds [certificate]");
        process::exit(2);
    };
    let tls = certificate.first().map(|it| Tls::local(it)).transpose()?;
    let frames = frames(payload_bytes.parse()?);
    let mut poll = Poll::new()?;
    let mut clients = Vec::new();
    for i in 0..connections.parse()? {
        let mut stream = connect(address.parse()?, tls.as_ref())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = poll.registry();
        registry.register(&mut stream.socket, Token(i), interest)?;
        clients.push(Client {
            stream,
            sent: 0,
            received: 0,
            checked: false,
        });
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 * 1024];
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds.parse()?);
    let mut messages = 0_u64;
    for client in &mut clients {
        client.send(&frames)?;
    }
    while Instant::now() < end {
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let client = &mut clients[event.token().0];
            // A short echo leaves the socket empty or brings a new edge: one read an event.
            if event.is_readable() && client.receive(&frames, &mut buffer)? {
                messages += 1;
            }
            client.send(&frames)?;
        }
    }
    let elapsed = begin.elapsed().as_secs_f64();
    println!("{messages} {:.0}", messages as f64 / elapsed);
    Ok(())
}
