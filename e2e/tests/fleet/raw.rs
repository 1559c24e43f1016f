//! A socket that sends any bytes, for what no proper client would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wse_e2e::Error;
use wse_e2e::fleet::Gateway;

/// The bit of a last frame, and opcodes (RFC 6455 section 5.2).
pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;
pub(crate) const CLOSE: u8 = 0x8;

/// An upgraded connection.
pub(crate) struct Raw {
    stream: TcpStream,
    /// Received and not looked at.
    received: Vec<u8>,
}

impl Raw {
    /// Upgrades with a token, without looking whether it is accepted.
    pub(crate) async fn open(gateway: &Gateway, token: &str) -> Result<Self, Error> {
        let address = gateway.config().listen.public;
        let mut stream = TcpStream::connect(address).await.map_err(|error| {
            let address = address.to_string();
            Error::Unreachable { address, error }
        })?;
        let request = format!(
            "GET /wse HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.map_err(lost)?;
        let mut raw = Self {
            stream,
            received: Vec::new(),
        };
        let end = loop {
            if let Some(at) = raw.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !raw.read().await? {
                return Err(Error::Lost("no answer to the upgrade".into()));
            }
        };
        let head: Vec<u8> = raw.received.drain(..end).collect();
        if !head.starts_with(b"HTTP/1.1 101") {
            let head = String::from_utf8_lossy(&head).into_owned();
            return Err(Error::Protocol(format!("no upgrade: {head}")));
        }
        Ok(raw)
    }

    /// Sends bytes as they are. The error says that the server closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).await.map_err(lost)
    }

    /// Reads the next frame, its opcode and its payload. None: the connection has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>, Error> {
        loop {
            if let Some(frame) = self.frame() {
                return Ok(Some(frame));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// Sends the same bytes over and over while it reads, until the server closes. `each` is given what
    /// comes.
    pub(crate) async fn pour(&mut self, block: &[u8], mut each: impl FnMut(u8, &[u8])) {
        let mut at = 0;
        loop {
            let (mut from, mut to) = self.stream.split();
            tokio::select! {
                read = from.read_buf(&mut self.received) => {
                    if !matches!(read, Ok(1..)) {
                        return;
                    }
                }
                sent = to.write(&block[at..]) => match sent {
                    Ok(bytes) => at = (at + bytes) % block.len(),
                    // What came before the end may still be unread.
                    Err(_) => while matches!(from.read_buf(&mut self.received).await, Ok(1..)) {},
                }
            }
            while let Some((opcode, payload)) = self.frame() {
                each(opcode, &payload);
                if opcode == CLOSE {
                    return;
                }
            }
        }
    }

    /// Reads until the connection ends; the code of its Close frame. None: it ended without one.
    pub(crate) async fn close_code(&mut self) -> Result<Option<u16>, Error> {
        loop {
            if let Some(code) = self.next_close() {
                return Ok(Some(code));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// Takes in what has arrived already: the code of a Close frame among it; 1006 when the connection
    /// has ended without one. None: it goes on.
    pub(crate) fn has_ended(&mut self) -> Option<u16> {
        let mut chunk = [0; 4096];
        let over = loop {
            match self.stream.try_read(&mut chunk) {
                Ok(0) => break true,
                Ok(bytes) => self.received.extend(&chunk[..bytes]),
                Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
            }
        };
        self.next_close().or_else(|| over.then_some(1006))
    }

    /// The code of the next Close frame among what was received; 1005 when it has none.
    fn next_close(&mut self) -> Option<u16> {
        while let Some((opcode, payload)) = self.frame() {
            if opcode == CLOSE {
                return Some(code_in(&payload));
            }
        }
        None
    }

    async fn read(&mut self) -> Result<bool, Error> {
        let read = self.stream.read_buf(&mut self.received);
        match timeout(Duration::from_secs(60), read).await {
            Ok(Ok(bytes)) => Ok(bytes > 0),
            // A reset ends the connection as an end of stream does.
            Ok(Err(_)) => Ok(false),
            Err(_) => Err(Error::Timeout("the server's next bytes".into())),
        }
    }

    /// The next whole frame: servers do not mask (RFC 6455 section 5.1).
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, second] = *self.received.first_chunk()?;
        let (head, length) = match second {
            127 => (
                10,
                u64::from_be_bytes(*self.received.get(2..)?.first_chunk()?),
            ),
            126 => {
                let length = u16::from_be_bytes(*self.received.get(2..)?.first_chunk()?);
                (4, length.into())
            }
            length => (2, length.into()),
        };
        let end = head + usize::try_from(length).ok()?;
        if self.received.len() < end {
            return None;
        }
        let frame: Vec<u8> = self.received.drain(..end).collect();
        Some((first & 0x0f, frame[head..].to_vec()))
    }
}

/// The code in a Close frame's payload; 1005 when it has none.
pub(crate) fn code_in(payload: &[u8]) -> u16 {
    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    code.unwrap_or(1005)
}

/// A client's frame. `first` is FIN, the reserved bits and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = header(first, 0x80, payload.len() as u64);
    frame.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame that is not masked.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, 0, payload.len() as u64);
    frame.extend(payload);
    frame
}

/// The head of a frame that announces so many bytes.
pub(crate) fn header(first: u8, mask_bit: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    if let Ok(length @ 0..126) = u8::try_from(length) {
        header.push(mask_bit | length);
    } else if let Ok(length) = u16::try_from(length) {
        header.push(mask_bit | 126);
        header.extend(length.to_be_bytes());
    } else {
        header.push(mask_bit | 127);
        header.extend(length.to_be_bytes());
    }
    header
}

fn lost(error: std::io::Error) -> Error {
    Error::Lost(error.to_string())
}
