//! A client that sends whatever bytes it is told to.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::ClientConnection;

/// A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// First bytes of frames: final, and the opcode.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// A client's frame, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0xfe);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0xff);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    out
}

/// A Close frame's body.
pub(crate) fn body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// An ordinary upgrade request.
pub(crate) fn request() -> String {
    format!(
        "GET /any?query HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Client {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    input: Vec<u8>,
}

impl Client {
    /// An upgraded connection.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::open_with(address, &[])
    }

    /// An upgraded connection; these bytes left together with the request.
    pub(crate) fn open_with(address: SocketAddr, more: &[u8]) -> Self {
        Self::connect(address).upgraded(more)
    }

    /// An upgraded connection over TLS; these bytes left together with the request.
    pub(crate) fn open_over(tls: ClientConnection, address: SocketAddr, more: &[u8]) -> Self {
        let mut client = Self::connect(address);
        client.tls = Some(tls);
        client.upgraded(more)
    }

    fn upgraded(self, more: &[u8]) -> Self {
        let mut client = self;
        client.send(&[request().as_bytes(), more].concat());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(
            head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{head}"
        );
        client
    }

    /// An upgraded connection that was offered these extensions, and what it was answered.
    pub(crate) fn offer(address: SocketAddr, offers: &[&str]) -> (Self, Option<String>) {
        let headers = offers
            .iter()
            .map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        let headers = headers.collect::<String>() + "Host: localhost\r\n";
        let mut client = Self::connect(address);
        client.send(
            request()
                .replace("Host: localhost\r\n", &headers)
                .as_bytes(),
        );
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let answer = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-extensions: "))
            .map(str::to_owned);
        (client, answer)
    }

    /// A connection without a handshake.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            tls: None,
            input: Vec::new(),
        }
    }

    /// The response's head.
    pub(crate) fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = self.input.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.read_some(), "no response");
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(bytes),
            Some(tls) => rustls::Stream::new(tls, &mut self.stream).write_all(bytes),
        }
    }

    /// Ends the sending side.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next frame; None at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.input) {
                self.input.drain(..length);
                return Some(frame);
            }
            if !self.read_some() {
                assert!(self.input.is_empty(), "the last frame is not whole");
                return None;
            }
        }
    }

    /// All frames up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Writes as much as the server takes until it stops reading; gives how many bytes.
    pub(crate) fn write_until_blocked(&mut self, bytes: &[u8]) -> usize {
        self.stream
            .set_write_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        sent
    }

    /// A second handle, to send while another thread reads.
    pub(crate) fn sender(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Reads once; false at the end.
    fn read_some(&mut self) -> bool {
        let mut piece = [0; 65_536];
        let bytes = match &mut self.tls {
            None => self.stream.read(&mut piece),
            Some(tls) => read_over(tls, &mut self.stream, &mut piece),
        };
        // Over TLS an end without a word is an error.
        let bytes = bytes.unwrap();
        self.input.extend_from_slice(&piece[..bytes]);
        bytes > 0
    }
}

/// Reads without writing: what was not sent because the server had ended stays so.
fn read_over(
    tls: &mut ClientConnection,
    stream: &mut TcpStream,
    piece: &mut [u8],
) -> io::Result<usize> {
    loop {
        match tls.reader().read(piece) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read,
        }
        tls.read_tls(stream)?;
        tls.process_new_packets().map_err(io::Error::other)?;
    }
}

/// A server's frame, and its length on the wire.
fn parse(input: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &length) = (input.first()?, input.get(1)?);
    assert_eq!(length & 0x80, 0, "a server does not mask");
    let (length, start) = match length {
        126 => (
            u64::from(u16::from_be_bytes(input.get(2..4)?.try_into().unwrap())),
            4,
        ),
        127 => (
            u64::from_be_bytes(input.get(2..10)?.try_into().unwrap()),
            10,
        ),
        n => (u64::from(n), 2),
    };
    let end = start + length as usize;
    let payload = input.get(start..end)?.to_vec();
    Some((Frame { first, payload }, end))
}
