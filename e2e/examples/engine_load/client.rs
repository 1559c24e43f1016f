//! A client's socket: connects, upgrades and cuts what comes into frames, without ever waiting.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};
use rustls::ClientConfig;
use wse_e2e::token::Claims;

use super::Outcome;
use super::stream::{self, Stream, is_later};

const MASK: [u8; 4] = [0x12, 0x9a, 0x34, 0x56];

/// Where the gateway is, and what it checks tokens with.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) secret: Vec<u8>,
    /// What its certificate is checked with, if it speaks TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Door {
    /// The request of a client whose user has this number.
    pub(super) fn request(&self, number: usize) -> Vec<u8> {
        let claims = Claims::new(&format!("user-{number}"), "engine-load", "engine-load");
        format!(
            "GET /wse HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Authorization: Bearer {}\r\n\r\n",
            self.address,
            claims.sign(&self.secret)
        )
        .into_bytes()
    }
}

pub(super) struct Client {
    stream: Stream,
    /// What is still to be sent.
    out: Vec<u8>,
    sent: usize,
    frames: Frames,
}

/// What came, cut into frames.
pub(super) struct Frames {
    /// The response's head, until it is whole.
    head: Option<Vec<u8>>,
    /// A frame of which a part has come.
    part: Vec<u8>,
}

impl Client {
    /// Begins to connect; events of the socket have its number.
    pub(super) fn connect(
        door: &Door,
        request: Vec<u8>,
        number: usize,
        poll: &Poll,
    ) -> Outcome<Self> {
        let mut socket = TcpStream::connect(door.address)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut socket, Token(number), interest)?;
        let tls = stream::begin(door.tls.as_ref())?;
        Ok(Self {
            stream: Stream { socket, tls },
            out: request,
            sent: 0,
            frames: Frames::default(),
        })
    }

    /// Queues a text message and sends what can be sent.
    pub(super) fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(&masked(payload));
        self.flush()
    }

    /// Sends what can be sent.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()?;
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Sends from a block that is repeated for ever, once; gives how much was taken.
    pub(super) fn pour(&mut self, block: &[u8], at: usize) -> io::Result<usize> {
        match self.stream.write(&block[at..]) {
            Ok(bytes) => Ok(bytes),
            Err(error) if is_later(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Reads until nothing is left, and gives the payload of every data frame.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut each: impl FnMut(&[u8])) -> Outcome<()> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err("the gateway closed a connection".into()),
                Ok(count) => count,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.frames.take(&buffer[..count], &mut each)?;
            // What comes later makes an edge, if the socket itself was read.
            if count < buffer.len() && self.stream.tls.is_none() {
                return Ok(());
            }
        }
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            head: Some(Vec::new()),
            part: Vec::new(),
        }
    }
}

impl Frames {
    /// Takes what was read next, and gives the payload of every data frame that is whole.
    pub(super) fn take(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&[u8])) -> Outcome<()> {
        if let Some(head) = &mut self.head {
            head.extend_from_slice(bytes);
            let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(());
            };
            if !head.starts_with(b"HTTP/1.1 101 ") {
                return Err(format!("refused: {}", String::from_utf8_lossy(head)).into());
            }
            let rest = head.split_off(end + 4);
            self.head = None;
            return self.take(&rest, each);
        }
        while !self.part.is_empty() && !bytes.is_empty() {
            let wanted = frame(&self.part).map_or(self.part.len() + 1, |(_, end)| end);
            let more = (wanted - self.part.len()).min(bytes.len());
            self.part.extend_from_slice(&bytes[..more]);
            bytes = &bytes[more..];
            if let Some((begin, end)) = frame(&self.part)
                && end == self.part.len()
            {
                give(&self.part, begin, each)?;
                self.part.clear();
            }
        }
        while let Some((begin, end)) = frame(bytes)
            && end <= bytes.len()
        {
            give(&bytes[..end], begin, each)?;
            bytes = &bytes[end..];
        }
        self.part.extend_from_slice(bytes);
        Ok(())
    }
}

/// Where the payload of the frame at the front begins and ends; None when that cannot be told yet.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (begin, length) = match *bytes {
        [_, 127, a, b, c, d, e, f, g, h, ..] => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        [_, 126, a, b, ..] => (4, u16::from_be_bytes([a, b]).into()),
        [_, length @ 0..126, ..] => (2, length.into()),
        _ => return None,
    };
    Some((begin, begin + usize::try_from(length).ok()?))
}

fn give(frame: &[u8], begin: usize, each: &mut impl FnMut(&[u8])) -> Outcome<()> {
    match frame[0] & 0x0f {
        8 => Err(format!("closed: {}", String::from_utf8_lossy(&frame[begin..])).into()),
        9 | 10 => Ok(()),
        _ => {
            each(&frame[begin..]);
            Ok(())
        }
    }
}

/// A text message as a client sends it.
pub(super) fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}
