//! An echo server on `wire` and `reactor` alone. Arguments: address, number of reactors, `deflate` or
//! `takeover` to agree on permessage-deflate without or with context takeover, and for TLS a certificate
//! chain and its key, files in PEM.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::{env, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use http::{Request, Version};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ServerConfig, ServerConnection};
use wse_sidecar::reactor::{self, Closed, Context, Handle, Handler, Message, Options, Reply};
use wse_sidecar::reactor::{Compression, SessionId, Sessions, Socket};
use wse_sidecar::wire::deflate::{Agreed, Terms};
use wse_sidecar::wire::handshake;

struct Echo;

impl Handler for Echo {
    type Accept = ();
    type Session = ();
    type Command = ();

    fn open(&mut self, _: SessionId, (): (), _: &mut Context) {}
    fn message(&mut self, _: SessionId, (): &mut (), _: Message<'_>, _: &mut Context) -> Reply {
        Reply::InPlace
    }
    fn close(&mut self, _: SessionId, (): (), _: Closed, _: &mut Context) {}
    fn command(&mut self, (): (), _: &mut Sessions<()>, _: &mut Context) {}
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn tls(chain: &str, key: &str) -> Outcome<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(Arc::new(config))
}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    terms: Option<Terms>,
    reactor: &Handle<Echo>,
) -> Outcome<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut tls = tls.map(ServerConnection::new).transpose()?;
    let upgraded = match &mut tls {
        None => shake_hands(&stream, terms)?,
        Some(tls) => shake_hands(rustls::Stream::new(tls, &mut &stream), terms)?,
    };
    if let Some((read_ahead, deflate)) = upgraded {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let socket = Socket {
            stream,
            tls: tls.map(Box::new),
            read_ahead,
            deflate,
        };
        reactor.accept(socket, ());
    }
    Ok(())
}

/// Answers the request; gives what came behind it, and what was agreed on, if it asked for a WebSocket.
fn shake_hands(
    stream: impl Read + Write,
    terms: Option<Terms>,
) -> Outcome<Option<(Bytes, Option<Agreed>)>> {
    let mut reader = BufReader::new(stream.take(65_536));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Err("no request".into());
        }
    }
    let read_ahead = Bytes::copy_from_slice(reader.buffer());
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(&head)?;
    let mut request = Request::builder().method(parsed.method.unwrap_or_default());
    if parsed.version == Some(0) {
        request = request.version(Version::HTTP_10);
    }
    for line in parsed.headers {
        request = request.header(line.name, line.value);
    }
    let response = handshake::respond(&request.body(())?, terms);
    let mut stream = reader.into_inner().into_inner();
    write!(stream, "HTTP/1.1 {}\r\n", response.status())?;
    for (name, value) in response.headers() {
        write!(stream, "{name}: {}\r\n", value.to_str()?)?;
    }
    stream.write_all(b"\r\n")?;
    let is_open = response.status() == 101;
    Ok(is_open.then(|| (read_ahead, response.into_body())))
}

fn main() -> Outcome<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let count = env::args().nth(2).map_or(Ok(1), |count| count.parse())?;
    let mut rest = env::args().skip(3).peekable();
    let mode = rest.next_if(|word| word == "deflate" || word == "takeover");
    let terms = mode.map(|mode| Terms {
        context_takeover: mode == "takeover",
    });
    let tls = match (rest.next(), rest.next()) {
        (Some(chain), Some(key)) => Some(tls(&chain, &key)?),
        _ => None,
    };
    let defaults = Options::default();
    let options = Options {
        // More than its default for the largest cases of a conformance suite.
        message_bytes: env::var("ECHO_MESSAGE_BYTES")
            .map_or(Ok(defaults.message_bytes), |bytes| bytes.parse())?,
        compression: Compression {
            min_bytes: 0,
            ..Compression::default()
        },
        ..defaults
    };
    #[expect(clippy::disallowed_methods, reason = "few clients come at once")]
    let listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    let handles = (0..count).map(|_| Ok(reactor::spawn(options.clone(), || Echo)?.0));
    for reactor in handles.collect::<Outcome<Vec<_>>>()?.iter().cycle() {
        let (stream, tls, reactor) = (listener.accept()?.0, tls.clone(), reactor.clone());
        thread::spawn(move || {
            serve(stream, tls, terms, &reactor).map_err(|error| eprintln!("{error}"))
        });
    }
    Ok(())
}
