//! An echo server on `wire` and `reactor` alone. Arguments: address, number of reactors.
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::{env, thread, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use wse_sidecar::reactor::{self, Closed, Context, Handle, Handler, Message, Options, Reply};
use wse_sidecar::reactor::{SessionId, Sessions, Socket};
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

/// Answers the request's head; gives what came behind it, or None when the client was refused.
fn upgrade(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..read]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(&bytes).map_err(io::Error::other)?;
        let httparse::Status::Complete(length) = parsed else {
            if read == 0 || bytes.len() > 65_536 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            continue;
        };
        let method = Method::from_bytes(request.method.unwrap_or_default().as_bytes());
        let version = if request.version == Some(1) {
            Version::HTTP_11
        } else {
            Version::HTTP_10
        };
        let mut map = HeaderMap::new();
        for header in request.headers {
            let name = header
                .name
                .parse::<HeaderName>()
                .map_err(io::Error::other)?;
            map.append(
                name,
                HeaderValue::from_bytes(header.value).map_err(io::Error::other)?,
            );
        }
        let answer = handshake::accept(&method.map_err(io::Error::other)?, version, &map);
        let upgraded = answer.is_ok();
        let (status, headers) = answer.map_or_else(
            |no| (no.status(), no.headers()),
            |yes| (StatusCode::SWITCHING_PROTOCOLS, yes),
        );
        let mut out = format!("HTTP/1.1 {status}\r\n").into_bytes();
        for (name, value) in &headers {
            out.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        stream.write_all(&[out.as_slice(), b"\r\n"].concat())?;
        return Ok(upgraded.then(|| bytes.split_off(length)));
    }
}

fn serve(mut stream: TcpStream, reactor: &Handle<Echo>) -> io::Result<()> {
    if let Some(rest) = upgrade(&mut stream)? {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        reactor.accept(
            Socket {
                stream,
                read_ahead: rest.into(),
            },
            (),
        );
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let listener = TcpListener::bind(arguments.next().unwrap_or("127.0.0.1:0".into()))?;
    let count = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(1);
    println!("{}", listener.local_addr()?);
    let mib = 1024 * 1024;
    let sizes = (4 * mib, 64 * mib, mib, mib);
    let options = |i| Options {
        name: format!("echo-{i}"),
        message_bytes: sizes.0,
        partial_bytes: sizes.1,
        outbound_bytes: sizes.2,
        inbox_bytes: sizes.3,
    };
    let reactors = (0..count).map(|i| Ok(reactor::spawn(options(i), || Echo)?.0));
    let reactors = reactors.collect::<io::Result<Vec<_>>>()?;
    for reactor in reactors.iter().cycle() {
        let (stream, _) = listener.accept()?;
        let reactor = reactor.clone();
        thread::spawn(move || serve(stream, &reactor));
    }
    Ok(())
}
