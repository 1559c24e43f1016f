//! One connection to the backends' API. Calls are not waited for.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::stream::is_later;
use crate::Error;

/// Where the backends' API is.
#[derive(Clone, Copy, Debug)]
pub struct Api<'a> {
    /// Of any gateway of the fleet.
    pub address: SocketAddr,
    /// A key of it.
    pub key: &'a str,
}

impl Api<'_> {
    /// A call with a JSON body.
    pub fn call(&self, path: &str, body: &str) -> Vec<u8> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.key,
            body.len()
        );
        (head + body).into_bytes()
    }
}

/// One connection to the backends' API.
#[derive(Debug)]
pub struct Caller {
    stream: TcpStream,
    out: VecDeque<u8>,
    answers: Vec<u8>,
    /// Calls that were made.
    pub called: usize,
    /// Calls that were answered.
    pub answered: usize,
}

impl Caller {
    /// Begins to connect; events of the socket have this number.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the kernel refuses at once.
    pub fn connect(api: &Api<'_>, number: usize, poll: &Poll) -> Result<Self, Error> {
        let connect = || {
            let mut stream = TcpStream::connect(api.address)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(number), interest)?;
            stream.set_nodelay(true).map(|()| stream)
        };
        let stream = connect().map_err(|error| Error::Unreachable {
            address: api.address.to_string(),
            error,
        })?;
        Ok(Self {
            stream,
            out: VecDeque::new(),
            answers: Vec::new(),
            called: 0,
            answered: 0,
        })
    }

    /// Whether every call was answered.
    pub fn is_idle(&self) -> bool {
        self.called == self.answered
    }

    /// Makes a call, which [`Api::call`] wrote.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn call(&mut self, call: &[u8]) -> Result<(), Error> {
        self.called += 1;
        self.out.extend(call);
        self.flush()
    }

    /// Sends what can be sent.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub fn flush(&mut self) -> Result<(), Error> {
        while !self.out.is_empty() {
            match self.stream.write(self.out.as_slices().0) {
                Ok(bytes) => drop(self.out.drain(..bytes)),
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(lost(&error)),
            }
        }
        Ok(())
    }

    /// Reads answers.
    ///
    /// # Errors
    /// [`Error::Lost`], and [`Error::Protocol`] with the first answer that says that something failed,
    /// in whole or in part.
    pub fn read_answers(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Error::Lost("the API closed the connection".into())),
                Ok(count) => self.answers.extend_from_slice(&buffer[..count]),
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(lost(&error)),
            }
        }
        while let Some(end) = self.answers.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&self.answers[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let length: usize =
                length.ok_or_else(|| Error::Protocol(format!("no length in {head:?}")))?;
            let whole = end + 4 + length;
            if self.answers.len() < whole {
                break;
            }
            let body = String::from_utf8_lossy(&self.answers[end + 4..whole]);
            if !head.starts_with("http/1.1 200 ") || body.contains("\"error\"") {
                let status = head.lines().next().unwrap_or_default();
                return Err(Error::Protocol(format!(
                    "the API said {status}: {body:.200}"
                )));
            }
            self.answers.drain(..whole);
            self.answered += 1;
        }
        Ok(())
    }
}

fn lost(error: &io::Error) -> Error {
    Error::Lost(format!("the API: {error}"))
}
