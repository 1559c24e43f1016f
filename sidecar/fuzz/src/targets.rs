//! What the fuzzer tries, each for any bytes. The test `corpus` of the gateway runs the same over the
//! corpus that is kept; e2e/fuzz/run runs the fuzzer.

use flate2::{Decompress, FlushDecompress};
use http::{Method, Request, Version};
use wse_sidecar::protocol::envelope;
use wse_sidecar::wire::deflate::{Agreed, Deflater, Inflater, Terms};
use wse_sidecar::wire::{Engine, Event, Kind, handshake};

/// Largest message.
const LIMIT: usize = 4_096;

/// What a client that offers everything gets.
fn agreed(context_takeover: bool) -> Agreed {
    let request = Request::builder()
        .header("host", "a")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header(
            "sec-websocket-extensions",
            "permessage-deflate; client_max_window_bits",
        )
        .body(())
        .expect("the request is one");
    let terms = Terms { context_takeover };
    let answer = handshake::accept(
        &Method::GET,
        Version::HTTP_11,
        request.headers(),
        Some(terms),
    );
    answer
        .expect("it is a handshake")
        .deflate
        .expect("the offer can be met")
}

fn fresh_engine(mode: u8) -> Engine {
    match mode % 3 {
        0 => Engine::default(),
        1 => Engine::new(Some(agreed(false))),
        _ => Engine::new(Some(agreed(true))),
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Closed(u16),
    Failed(u16),
    Message(Kind, Vec<u8>),
    Transmit(Vec<u8>),
}

/// Feeds a stream in pieces of this size and gives what came of it.
fn feed(engine: &mut Engine, inflater: &mut Inflater, stream: &[u8], size: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    for piece in stream.chunks(size.max(1)) {
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            if let Some((kind, payload)) = engine.take_whole(&mut piece[at..], LIMIT) {
                let payload = at + payload.start..at + payload.end;
                at = payload.end;
                seen.push(Seen::Message(kind, piece[payload].to_vec()));
                continue;
            }
            let step = engine.handle_input(&mut piece[at..], LIMIT, inflater);
            assert!(step.consumed > 0 || step.event.is_some(), "it gets on");
            // What a message may grow to, and what it grew from.
            assert!(engine.partial_bytes() <= 4 * LIMIT);
            match step.event {
                None => {}
                Some(Event::Assembled(message)) => {
                    seen.push(Seen::Message(message.kind(), message.payload().to_vec()));
                }
                Some(Event::Closed(code)) => seen.push(Seen::Closed(code)),
                Some(Event::Failed(violation)) => seen.push(Seen::Failed(violation.code())),
                Some(Event::Ping) => transmit(engine, &mut seen),
            }
            at += step.consumed;
        }
    }
    transmit(engine, &mut seen);
    seen
}

fn transmit(engine: &mut Engine, seen: &mut Vec<Seen>) {
    let mut out = Vec::new();
    if engine.poll_transmit(&mut out) {
        seen.push(Seen::Transmit(out));
    }
}

/// Any stream gives the same in one piece and in many, and no message breaks its promises.
pub fn engine(data: &[u8]) {
    let [mode, size, stream @ ..] = data else {
        return;
    };
    let mut inflater = Inflater::default();
    let whole = feed(
        &mut fresh_engine(*mode),
        &mut inflater,
        stream,
        stream.len(),
    );
    let split = feed(
        &mut fresh_engine(*mode),
        &mut inflater,
        stream,
        (*size).into(),
    );
    assert_eq!(whole, split);
    for seen in whole {
        if let Seen::Message(kind, payload) = seen {
            assert!(payload.len() <= LIMIT);
            assert!(kind == Kind::Binary || std::str::from_utf8(&payload).is_ok());
        }
    }
}

/// Any payload may claim to be deflated; and what this side deflates, a client inflates to the same.
pub fn deflate(data: &[u8]) {
    let [mode, data @ ..] = data else {
        return;
    };
    let context_takeover = mode % 2 == 1;
    let mut client = Engine::new(Some(agreed(context_takeover)));
    let mut stream = Vec::new();
    // Each line a message.
    let messages: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    for message in &messages {
        stream.extend_from_slice(&[0xc2, 0xfe]);
        stream.extend_from_slice(&(message.len().min(0xffff) as u16).to_be_bytes());
        stream.extend_from_slice(&[0; 4]);
        stream.extend_from_slice(&message[..message.len().min(0xffff)]);
    }
    for seen in feed(&mut client, &mut Inflater::default(), &stream, stream.len()) {
        if let Seen::Message(_, payload) = seen {
            assert!(payload.len() <= LIMIT);
        }
    }

    let mut server = Engine::new(Some(agreed(context_takeover)));
    let mut deflater = Deflater::new(3);
    let mut inflate = Decompress::new(false);
    for message in messages {
        let deflation = server.deflation_mut().expect("it was agreed on");
        let Some(deflated) = deflation.deflate(message, &mut deflater) else {
            continue;
        };
        assert!(deflated.len() < message.len());
        if !context_takeover {
            inflate.reset(false);
        }
        let input = [deflated, &[0, 0, 0xff, 0xff]].concat();
        let mut output = Vec::with_capacity(message.len() + 64);
        let done = inflate.decompress_vec(&input, &mut output, FlushDecompress::Sync);
        assert!(done.is_ok() && output == message);
    }
}

/// An envelope is JSON, and is its own envelope.
pub fn envelope(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(made) = envelope::prepare(text, 16) else {
        return;
    };
    let made = std::str::from_utf8(&made).expect("it is text");
    let read: Result<serde::de::IgnoredAny, _> = serde_json::from_str(made);
    assert!(read.is_ok(), "{made}");
    assert_eq!(envelope::prepare(made, 16).as_deref(), Ok(made.as_bytes()));
}

/// Any request is answered: with 101 and what section 4.2.2 asks for, or refused.
pub fn handshake(data: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    if !matches!(parsed.parse(data), Ok(httparse::Status::Complete(_))) {
        return;
    }
    let mut request = Request::builder().method(parsed.method.unwrap_or_default());
    for line in parsed.headers {
        request = request.header(line.name, line.value);
    }
    let Ok(request) = request.body(()) else {
        return;
    };
    for context_takeover in [None, Some(false), Some(true)] {
        let terms = context_takeover.map(|context_takeover| Terms { context_takeover });
        let response = handshake::respond(&request, terms);
        let is_accepted = response.headers().contains_key("sec-websocket-accept");
        assert_eq!(response.status() == 101, is_accepted);
        assert!(terms.is_some() || response.body().is_none());
    }
}
