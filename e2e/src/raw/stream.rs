//! A client's socket, plain or with TLS, that never waits.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::Error;
use crate::tls::trust;

/// A connection, non-blocking.
#[derive(Debug)]
pub struct Stream {
    /// The socket itself.
    pub socket: TcpStream,
    /// None: plain.
    pub tls: Option<Box<ClientConnection>>,
}

/// What a client checks a server with.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// For a server of this name.
    ///
    /// # Errors
    /// [`Error::Process`] when it is none that a certificate may have.
    pub fn new(config: Arc<ClientConfig>, name: &str) -> Result<Self, Error> {
        let name = ServerName::try_from(name.to_owned());
        let name = name.map_err(|error| Error::Process(error.to_string()))?;
        Ok(Self { config, name })
    }

    /// For `localhost`, with the certificate in this file.
    ///
    /// # Errors
    /// [`Error::Process`] when the file has none.
    pub fn local(certificate: &str) -> Result<Self, Error> {
        Self::new(trust(Some(certificate.as_ref()))?, "localhost")
    }
}

/// The client's side of TLS; None without.
///
/// # Errors
/// Those of rustls.
pub fn begin(tls: Option<&Tls>) -> Result<Option<Box<ClientConnection>>, rustls::Error> {
    let begin = |tls: &Tls| ClientConnection::new(tls.config.clone(), tls.name.clone());
    Ok(tls.map(begin).transpose()?.map(Box::new))
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(buffer);
        };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            tls.read_tls(&mut self.socket)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            send(tls, &mut self.socket)?;
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.write(bytes);
        };
        // Its buffer is smaller than the socket's: only when the socket takes no more does an event tell
        // that there is room again.
        let mut taken = 0;
        send(tls, &mut self.socket)?;
        while taken < bytes.len() && !tls.wants_write() {
            taken += tls.writer().write(&bytes[taken..])?;
            send(tls, &mut self.socket)?;
        }
        match taken {
            0 => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    /// What the socket does not take goes out with the next call.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => send(tls, &mut self.socket),
        }
    }
}

fn send(tls: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(_) => {}
            Err(error) if is_later(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the same call may succeed after the next event.
pub fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted
    )
}
