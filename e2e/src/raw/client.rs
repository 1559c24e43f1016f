//! A client's socket: connects, upgrades and cuts what comes into frames, without ever waiting.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::frames::{Data, Frames, masked};
use super::stream::{self, Stream, Tls, is_later};
use crate::Error;

/// Where a gateway is.
#[derive(Clone, Debug)]
pub struct Door {
    /// Its public port.
    pub address: SocketAddr,
    /// Local address to connect from. None: the kernel chooses.
    pub source: Option<IpAddr>,
    /// What its certificate is checked with, if it speaks TLS.
    pub tls: Option<Tls>,
}

/// The upgrade request for a path, with one header more that says who it is.
pub fn request(host: &str, path: &str, who: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{who}\r\n\r\n"
    )
    .into_bytes()
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// What is still to be sent.
    out: Vec<u8>,
    sent: usize,
    frames: Frames,
}

impl Client {
    /// Begins to connect; events of the socket have its number.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the kernel refuses at once.
    pub fn connect(
        door: &Door,
        request: Vec<u8>,
        number: usize,
        poll: &Poll,
    ) -> Result<Self, Error> {
        let connect = || {
            let socket = Socket::new(Domain::for_address(door.address), Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.set_tcp_nodelay(true)?;
            if let Some(source) = door.source {
                socket.bind(&SocketAddr::from((source, 0)).into())?;
            }
            match socket.connect(&door.address.into()) {
                Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                    return Err(error);
                }
                _ => {}
            }
            let mut socket = TcpStream::from_std(socket.into());
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut socket, Token(number), interest)?;
            let tls = stream::begin(door.tls.as_ref()).map_err(io::Error::other)?;
            Ok(Stream { socket, tls })
        };
        let stream = connect().map_err(|error| Error::Unreachable {
            address: door.address.to_string(),
            error,
        })?;
        Ok(Self {
            stream,
            out: request,
            sent: 0,
            frames: Frames::default(),
        })
    }

    /// Whether the upgrade was answered.
    pub(super) fn is_upgraded(&self) -> bool {
        self.frames.is_upgraded()
    }

    /// Queues a text message and sends what can be sent.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.queue(&masked(payload))
    }

    /// Queues bytes that are frames already, and sends what can be sent.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn queue(&mut self, frames: &[u8]) -> Result<(), Error> {
        self.out.extend_from_slice(frames);
        self.flush()
    }

    /// Sends what can be sent.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.stream.flush().map_err(lost)?;
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(lost(error)),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Sends from a block that is repeated for ever, once; gives how much was taken. Nothing may be
    /// queued.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn pour(&mut self, block: &[u8], at: usize) -> Result<usize, Error> {
        match self.stream.write(&block[at..]) {
            Ok(bytes) => Ok(bytes),
            Err(error) if is_later(&error) => Ok(0),
            Err(error) => Err(lost(error)),
        }
    }

    /// Reads until nothing is left, and gives the payload of every data frame. Who may send without an
    /// end is to be read by [`Client::read_some`].
    ///
    /// # Errors
    /// [`Error::Lost`], and those of [`Frames::take`].
    pub fn read(&mut self, buffer: &mut [u8], mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        while self.read_some(buffer, &mut each)? {}
        Ok(())
    }

    /// Reads once, and gives the payload of every data frame. Whether there may be more, of which no
    /// event will tell.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn read_some(
        &mut self,
        buffer: &mut [u8],
        each: &mut impl FnMut(&[u8]),
    ) -> Result<bool, Error> {
        self.read_data(buffer, &mut |data| each(data.payload))
    }

    /// [`Client::read_some`] for who has offered compression.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn read_data(
        &mut self,
        buffer: &mut [u8],
        each: &mut impl FnMut(Data<'_>),
    ) -> Result<bool, Error> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err(Error::Lost("the stream ended".into())),
            Ok(count) => count,
            Err(error) if is_later(&error) => return Ok(false),
            Err(error) => return Err(lost(error)),
        };
        self.frames.take_data(&buffer[..count], each)?;
        // What comes later makes an edge, if the socket itself was read.
        Ok(count == buffer.len() || self.stream.tls.is_some())
    }
}

fn lost(error: io::Error) -> Error {
    Error::Lost(error.to_string())
}
