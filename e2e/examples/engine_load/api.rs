//! One connection to the backends' API. Calls are not waited for.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::Outcome;
use super::stream::is_later;

/// Where the backends' API is.
pub(super) struct Api<'a> {
    pub(super) address: SocketAddr,
    pub(super) key: &'a str,
}

impl Api<'_> {
    /// A call with a JSON body.
    pub(super) fn call(&self, path: &str, body: &str) -> Vec<u8> {
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

pub(super) struct Caller {
    stream: TcpStream,
    out: VecDeque<u8>,
    answers: Vec<u8>,
    pub(super) called: usize,
    pub(super) answered: usize,
}

impl Caller {
    /// Begins to connect; events of the socket have this number.
    pub(super) fn connect(api: &Api<'_>, number: usize, poll: &Poll) -> io::Result<Self> {
        let mut stream = TcpStream::connect(api.address)?;
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut stream, Token(number), interest)?;
        Ok(Self {
            stream,
            out: VecDeque::new(),
            answers: Vec::new(),
            called: 0,
            answered: 0,
        })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.called == self.answered
    }

    pub(super) fn call(&mut self, call: &[u8]) -> io::Result<()> {
        self.called += 1;
        self.out.extend(call);
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(self.out.as_slices().0) {
                Ok(bytes) => drop(self.out.drain(..bytes)),
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads answers. One that failed, in whole or in part, ends the run.
    pub(super) fn read_answers(&mut self, buffer: &mut [u8]) -> Outcome<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the API closed the connection".into()),
                Ok(count) => self.answers.extend_from_slice(&buffer[..count]),
                Err(error) if is_later(&error) => break,
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
