//! What a client's requests are read from: its socket, or TLS over it.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::reactor::Socket;

/// A connection that can be handed to a reactor.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Takes it out of the runtime's hands. Bytes that were read ahead from it, and what
    /// was agreed on, are the caller's to add.
    fn into_socket(self) -> io::Result<Socket>;
}

impl Transport for TcpStream {
    fn into_socket(self) -> io::Result<Socket> {
        Ok(Socket {
            stream: self.into_std()?,
            tls: None,
            read_ahead: Default::default(),
            deflate: None,
        })
    }
}

impl Transport for TlsStream<TcpStream> {
    fn into_socket(self) -> io::Result<Socket> {
        let (stream, session) = self.into_inner();
        Ok(Socket {
            tls: Some(Box::new(session)),
            ..stream.into_socket()?
        })
    }
}
