use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::*;
use crate::wire::Kind;
use crate::wire::header::MAX_HEADER_BYTES;

const LIMIT: usize = 100_000;

/// A peer that keeps zlib's own state from message to message, as most do.
struct Reference {
    compress: Compress,
    decompress: Decompress,
}

impl Reference {
    fn new(window_bits: u8) -> Self {
        Self {
            compress: Compress::new_with_window_bits(Compression::new(6), false, window_bits),
            decompress: Decompress::new(false),
        }
    }

    fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * payload.len() + 100);
        self.compress
            .compress_vec(payload, &mut out, FlushCompress::Sync)
            .unwrap();
        if out.is_empty() {
            return out;
        }
        out.strip_suffix(&TAIL).unwrap().to_vec()
    }

    fn inflate(&mut self, deflated: &[u8]) -> Vec<u8> {
        let input = [deflated, &TAIL].concat();
        let mut out = Vec::with_capacity(4 * LIMIT);
        let status = self
            .decompress
            .decompress_vec(&input, &mut out, FlushDecompress::Sync)
            .unwrap();
        assert_eq!(status, Status::Ok);
        out
    }
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>, Violation> {
    inflate_with(&mut Inflater::default(), payload)
}

fn inflate_with(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, Violation> {
    let message = inflater.inflate(Kind::Binary, b"", payload, LIMIT)?;
    Ok(message.payload().to_vec())
}

/// `bytes` zeroes, deflated.
fn bomb(bytes: usize) -> Vec<u8> {
    Reference::new(15).deflate(&vec![0; bytes])
}

#[test]
fn examples_of_the_rfc() {
    // Section 7.2.3: one block; no compression; a final block; two blocks.
    let hello: [&[u8]; 4] = [
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ];
    for payload in hello {
        assert_eq!(inflate(payload), Ok(b"Hello".to_vec()), "{payload:x?}");
    }
    // Section 7.2.3.6, and what zlib makes of an empty message behind another.
    assert_eq!(inflate(b"\x00"), Ok(Vec::new()));
    assert_eq!(inflate(b""), Ok(Vec::new()));
    // Section 7.2.3.2: the second message refers to the first.
    let mut inflater = Inflater::default();
    let second = b"\xf2\x00\x11\x00\x00";
    let message = inflater.inflate(Kind::Text, b"Hello", second, LIMIT);
    assert_eq!(message.unwrap().payload(), b"Hello");
}

#[test]
fn a_final_block_is_followed_by_others() {
    // Section 7.2.3.4 without the padding, and with a second message's worth of blocks behind it that
    // refers back across the end.
    let unpadded = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    assert_eq!(inflate(unpadded), Ok(b"Hello".to_vec()));
    let continued = [&unpadded[..], b"\xf2\x00\x11\x00\x00"].concat();
    assert_eq!(inflate(&continued), Ok(b"HelloHello".to_vec()));
    // An empty final block of fixed codes is ten bits: as cheap to send as dear to obey.
    assert_eq!(inflate(&[3, 0].repeat(60)), Ok(Vec::new()));
    assert_eq!(
        inflate(&[3, 0].repeat(50_000)),
        Err(Violation::InvalidDeflate)
    );
}

#[test]
fn refuses_what_is_no_deflated_message() {
    let whole = Reference::new(15).deflate(&b"a message that is long enough to be cut".repeat(3));
    let table: [&[u8]; 6] = [
        b"\x07",
        b"\xff\xff\xff\xff",
        b"\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00",
        // It refers to what was never said.
        b"\xf2\x00\x11\x00\x00",
        &whole[..whole.len() - 4],
        &whole[..whole.len() / 2],
    ];
    for payload in table {
        assert_eq!(
            inflate(payload),
            Err(Violation::InvalidDeflate),
            "{payload:x?}"
        );
    }
}

#[test]
fn nothing_of_one_message_is_left_for_the_next() {
    let mut inflater = Inflater::default();
    for _ in 0..3 {
        let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
        assert_eq!(inflate_with(&mut inflater, hello).unwrap(), b"Hello");
        assert_eq!(
            inflate_with(&mut inflater, b"\xf2\x00\x11\x00\x00"),
            Err(Violation::InvalidDeflate)
        );
    }
    // Nor of the window behind a history that is shorter.
    let said = inflater.inflate(Kind::Binary, &[7; 30_000], b"\x00", LIMIT);
    assert!(said.is_ok());
    let second = inflater.inflate(Kind::Binary, b"Hel", b"\xf2\x00\x11\x00\x00", LIMIT);
    assert_eq!(second.unwrap_err(), Violation::InvalidDeflate);
}

#[test]
fn a_bomb_costs_no_more_than_the_bound() {
    let mut inflater = Inflater::default();
    for bytes in [LIMIT + 1, LIMIT + 2, 2 * LIMIT, 64 << 20] {
        assert_eq!(
            inflate_with(&mut inflater, &bomb(bytes)),
            Err(Violation::InflatedTooBig),
            "{bytes}"
        );
    }
    let done = inflater.done();
    assert_eq!((done.bombs, done.plain_bytes), (4, 4 * (LIMIT as u64 + 1)));
    for bytes in [LIMIT - 1, LIMIT] {
        let message = inflater.inflate(Kind::Binary, b"", &bomb(bytes), LIMIT);
        let (frame, _) = message.unwrap().into_frame();
        assert_eq!(frame.len(), MAX_HEADER_BYTES + bytes);
        assert!(frame.capacity() <= MAX_HEADER_BYTES + LIMIT + 1);
    }
    assert_eq!(inflater.done().bombs, 4);
    let tiny = inflater.inflate(Kind::Text, b"", b"\xf2\x48\xcd\xc9\xc9\x07\x00", 4);
    assert_eq!(tiny.unwrap_err(), Violation::InflatedTooBig);
    let empty = inflater.inflate(Kind::Text, b"", b"\x00", 0);
    assert_eq!(empty.unwrap().payload(), b"");
}

#[test]
fn the_longest_message_is_taken_even_where_it_does_not_shrink() {
    let mut random = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 56) as u8
    })
    .take(LIMIT)
    .collect();
    for level in 0..10 {
        let mut compress = Compress::new(Compression::new(level), false);
        let mut deflated = Vec::with_capacity(2 * LIMIT);
        compress
            .compress_vec(&noise, &mut deflated, FlushCompress::Sync)
            .unwrap();
        let deflated = deflated.strip_suffix(&TAIL).unwrap();
        assert!(deflated.len() <= deflated_bound(LIMIT), "{level}");
        assert!(inflate(deflated).unwrap() == noise);
    }
    assert_eq!(Deflater::new(6).deflate(&noise), None);
}

#[test]
fn text_is_checked_when_it_is_inflated() {
    let mut inflater = Inflater::default();
    let deflated = Reference::new(15).deflate(b"\xce\xba\xff and so on");
    let text = inflater.inflate(Kind::Text, b"", &deflated, LIMIT);
    assert_eq!(text.unwrap_err(), Violation::InvalidUtf8);
    assert!(
        inflater
            .inflate(Kind::Binary, b"", &deflated, LIMIT)
            .is_ok()
    );
}

#[test]
fn what_is_not_smaller_goes_as_it_is() {
    let mut deflater = Deflater::new(9);
    for payload in [&b""[..], b"a", b"Hello", b"\x00\xff\x10\x20"] {
        assert_eq!(deflater.deflate(payload), None, "{payload:x?}");
    }
    let mut deflation = Deflation::new(Agreed::for_tests("permessage-deflate", true));
    assert_eq!(deflation.deflate(b"Hello", &mut deflater), None);
    assert_eq!(deflation.history_bytes(), 0);
}

#[test]
fn only_what_refers_back_keeps_a_history() {
    let mut deflater = Deflater::new(6);
    let message = b"all work and no play ".repeat(2_000);
    let table = [
        ("permessage-deflate", false, true, 0),
        (
            "permessage-deflate; server_max_window_bits=15",
            false,
            true,
            0,
        ),
        (
            "permessage-deflate; server_max_window_bits=9",
            false,
            false,
            0,
        ),
        ("permessage-deflate", true, false, 8_192),
        (
            "permessage-deflate; server_max_window_bits=9",
            true,
            false,
            512,
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            true,
            true,
            0,
        ),
    ];
    for (offer, context_takeover, shares, held) in table {
        let mut deflation = Deflation::new(Agreed::for_tests(offer, context_takeover));
        assert_eq!(deflation.shares(), shares, "{offer}");
        assert_eq!(deflation.refers_back(), held > 0, "{offer}");
        assert!(deflation.deflate(&message, &mut deflater).is_some());
        assert_eq!(deflation.history_bytes(), held, "{offer}");
    }
}

/// Messages that have something in common with each other.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = prop_oneof![
        4 => prop::collection::vec(0_u32..50, 0..60).prop_map(|numbers| {
            let items = numbers.iter().map(|n| format!(r#"{{"price":{n},"symbol":"EURUSD"}},"#));
            items.collect::<String>().into_bytes()
        }),
        1 => prop::collection::vec(any::<u8>(), 0..400),
        1 => (any::<u8>(), 0..LIMIT).prop_map(|(byte, n)| vec![byte; n]),
    ];
    prop::collection::vec(message, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn clients_of_every_kind_read_what_they_are_sent(
        messages in messages(),
        level in 1_u8..=9,
        kind in 0_usize..5,
    ) {
        let (offer, context_takeover) = [
            ("permessage-deflate", false),
            ("permessage-deflate", true),
            ("permessage-deflate; server_max_window_bits=9", true),
            ("permessage-deflate; server_max_window_bits=12", true),
            ("permessage-deflate; server_max_window_bits=9", false),
        ][kind];
        let agreed = Agreed::for_tests(offer, context_takeover);
        let mut deflation = Deflation::new(agreed);
        let mut deflater = Deflater::new(level);
        // Its window is as small as it said.
        let client = || Decompress::new_with_window_bits(false, agreed.server_window_bits());
        let mut reference = Reference { decompress: client(), ..Reference::new(15) };
        for message in &messages {
            if !deflation.refers_back() {
                reference.decompress = client();
            }
            if let Some(deflated) = deflation.deflate(message, &mut deflater) {
                prop_assert!(deflated.len() < message.len());
                prop_assert_eq!(&reference.inflate(deflated), message);
            }
            // Others use the same deflater.
            if let Some(deflated) = deflater.deflate(message) {
                prop_assert_eq!(&Reference::new(15).inflate(deflated), message);
            }
        }
    }

    #[test]
    fn messages_that_refer_back_are_inflated(messages in messages(), bits in 9_u8..=15) {
        let offer = if bits == 13 {
            "permessage-deflate; client_max_window_bits"
        } else {
            "permessage-deflate"
        };
        let agreed = Agreed::for_tests(offer, true);
        let mut deflation = Deflation::new(agreed);
        let mut inflater = Inflater::default();
        let mut reference = Reference::new(bits);
        for message in &messages {
            let deflated = Assembled::of_deflated(Kind::Binary, &reference.deflate(message));
            let inflated = deflation.inflate(&deflated, LIMIT, &mut inflater).unwrap();
            prop_assert_eq!(inflated.payload(), message);
            // Another session's message comes between.
            prop_assert_eq!(inflate_with(&mut inflater, b"\x00"), Ok(Vec::new()));
        }
        prop_assert!(deflation.history_bytes() <= 1 << 15);
        prop_assert!(bits != 13 || deflation.history_bytes() <= 1 << 13);
    }

    #[test]
    fn arbitrary_bytes_never_panic(payload in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut inflater = Inflater::default();
        if let Ok(message) = inflate_with(&mut inflater, &payload) {
            prop_assert!(message.len() <= LIMIT);
        }
        prop_assert_eq!(inflate_with(&mut inflater, b"\xf2\x48\xcd\xc9\xc9\x07\x00"), Ok(b"Hello".to_vec()));
    }
}
