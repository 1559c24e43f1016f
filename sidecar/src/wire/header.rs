//! Frame headers (RFC 6455 section 5.2).

use std::ops::Range;

use super::{Kind, Violation};

/// Bytes of the longest header that a server writes. A client's has four more, the mask, which is
/// why a reply always fits where the message lay.
pub const MAX_HEADER_BYTES: usize = 10;

/// What a frame is (section 11.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opcode {
    /// First frame of a binary message.
    Binary,
    /// The sender ends the connection.
    Close,
    /// A further frame of a message.
    Continuation,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// First frame of a text message.
    Text,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Close, ping or pong.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Binary => Self::Binary,
            Kind::Text => Self::Text,
        }
    }
}

/// The header of a frame to a client: final and not masked.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; MAX_HEADER_BYTES],
    length: u8,
}

/// The last frame of its message.
const FIN: u8 = 0x80;

/// The first of the reserved bits: the message is deflated (RFC 7692 section 6).
const RSV1: u8 = 0x40;

impl Header {
    /// For a whole deflated message with this many bytes of payload.
    pub fn deflated(kind: Kind, payload_bytes: usize) -> Self {
        let mut header = Self::new(kind.into(), payload_bytes);
        header.bytes[0] |= RSV1;
        header
    }

    /// For a whole message or a control frame with this many bytes of payload.
    pub fn new(opcode: Opcode, payload_bytes: usize) -> Self {
        let mut bytes = [0; MAX_HEADER_BYTES];
        bytes[0] = FIN | opcode.bits();
        let length = match payload_bytes {
            0..=125 => {
                bytes[1] = payload_bytes as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, length }
    }

    /// A whole data frame with a header of this kind, in its parts.
    pub fn split(frame: &[u8]) -> (Kind, &[u8]) {
        let kind = match frame.first() {
            Some(first) if first & 0x0f == Opcode::Text.bits() => Kind::Text,
            _ => Kind::Binary,
        };
        let header_bytes = match frame.get(1) {
            Some(126) => 4,
            Some(127) => 10,
            _ => 2,
        };
        (kind, frame.get(header_bytes..).unwrap_or_default())
    }

    /// The header as it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A client's frame header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ClientHeader {
    /// FIN, the reserved bits and the opcode.
    first: u8,
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    pub(super) payload_bytes: u64,
    /// Length of the header itself.
    pub(super) header_bytes: usize,
}

impl ClientHeader {
    /// Reads a header from the front of the input; None when more bytes are needed. What can be
    /// refused by the first bytes is refused before the others have come.
    ///
    /// A length in more bytes than it needs is taken: the sender is wrong (section 5.2), but nothing
    /// is ambiguous. `may_deflate` is whether that has been negotiated.
    pub(super) fn parse(input: &[u8], may_deflate: bool) -> Result<Option<Self>, Violation> {
        let Some(&first) = input.first() else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            check_reserved(first, may_deflate)?;
        }
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Violation::UnknownOpcode)?;
        if opcode.is_control() && first & FIN == 0 {
            return Err(Violation::FragmentedControl);
        }
        let Some(&second) = input.get(1) else {
            return Ok(None);
        };
        if second & 0x80 == 0 {
            return Err(Violation::Unmasked);
        }
        if opcode.is_control() && second & 0x7f > 125 {
            return Err(Violation::ControlTooLong);
        }
        let header_bytes = Self::needed_bytes(input);
        let Some(header) = input.get(..header_bytes) else {
            return Ok(None);
        };
        let (payload_bytes, mask) = match *header {
            [_, length, a, b, c, d] => (u64::from(length & 0x7f), [a, b, c, d]),
            [_, _, high, low, a, b, c, d] => {
                (u64::from(u16::from_be_bytes([high, low])), [a, b, c, d])
            }
            [_, _, a, b, c, d, e, f, g, h, m0, m1, m2, m3] => (
                u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                [m0, m1, m2, m3],
            ),
            _ => unreachable!("needed_bytes gives 6, 8 or 14 once two bytes are there"),
        };
        if payload_bytes >> 63 != 0 {
            return Err(Violation::LengthTooLarge);
        }
        Ok(Some(Self {
            first,
            opcode,
            mask,
            payload_bytes,
            header_bytes,
        }))
    }

    /// Whether the message ends with this frame.
    pub(super) fn is_final(&self) -> bool {
        self.first & FIN != 0
    }

    /// Whether the message that begins here is deflated.
    pub(super) fn is_deflated(&self) -> bool {
        self.first & RSV1 != 0
    }

    /// How many bytes of the input the header takes, as far as they tell.
    pub(super) fn needed_bytes(input: &[u8]) -> usize {
        match input.get(1).map(|second| second & 0x7f) {
            None => 2,
            Some(126) => 8,
            Some(127) => 14,
            Some(_) => 6,
        }
    }
}

/// What most input begins with: a message in one frame, not deflated and shorter than 64 KiB, that is all
/// there.
pub(super) struct Whole {
    pub(super) kind: Kind,
    pub(super) mask: [u8; 4],
    /// Where in the input it lies.
    pub(super) payload: Range<usize>,
}

impl Whole {
    /// Reads such a header from the front of the input; None of any other.
    #[inline]
    pub(super) fn parse(input: &[u8]) -> Option<Self> {
        let (kind, length) = match *input.first_chunk()? {
            [0x81, length] => (Kind::Text, length),
            [0x82, length] => (Kind::Binary, length),
            _ => return None,
        };
        let (payload_bytes, mask) = match length {
            0x80..=0xfd => (usize::from(length & 0x7f), 2),
            0xfe => (u16::from_be_bytes(*input[2..].first_chunk()?).into(), 4),
            _ => return None,
        };
        let payload = mask + 4..mask + 4 + payload_bytes;
        if payload.end > input.len() {
            return None;
        }
        Some(Self {
            kind,
            mask: *input[mask..].first_chunk()?,
            payload,
        })
    }
}

/// One reserved bit has a meaning, once negotiated, on the first frame of a message (RFC 7692 section 6).
#[cold]
fn check_reserved(first: u8, may_deflate: bool) -> Result<(), Violation> {
    let opcode = Opcode::from_bits(first & 0x0f);
    let is_first = matches!(opcode, Some(Opcode::Binary | Opcode::Text));
    if may_deflate && is_first && first & 0x70 == RSV1 {
        Ok(())
    } else {
        Err(Violation::ReservedBits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_headers_use_the_shortest_length() {
        assert_eq!(Header::new(Opcode::Text, 5).as_bytes(), [0x81, 5]);
        assert_eq!(Header::new(Opcode::Binary, 125).as_bytes(), [0x82, 125]);
        assert_eq!(
            Header::new(Opcode::Binary, 126).as_bytes(),
            [0x82, 126, 0, 126]
        );
        assert_eq!(
            Header::new(Opcode::Text, 65_535).as_bytes(),
            [0x81, 126, 255, 255]
        );
        assert_eq!(
            Header::new(Opcode::Text, 65_536).as_bytes(),
            [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]
        );
        assert_eq!(Header::new(Opcode::Close, 2).as_bytes(), [0x88, 2]);
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            for kind in [Kind::Binary, Kind::Text] {
                let payload = vec![7; length];
                let header = Header::new(kind.into(), length);
                let frame = [header.as_bytes(), &payload].concat();
                assert!(Header::split(&frame) == (kind, &payload), "{length}");
            }
        }
    }

    #[test]
    fn refuses_by_the_first_bytes() {
        let table: [(&[u8], Violation); 8] = [
            (&[0xc1], Violation::ReservedBits),
            (&[0x91], Violation::ReservedBits),
            (&[0x83], Violation::UnknownOpcode),
            (&[0x8b], Violation::UnknownOpcode),
            (&[0x09], Violation::FragmentedControl),
            (&[0x81, 0x05], Violation::Unmasked),
            (&[0x89, 0xfe], Violation::ControlTooLong),
            (
                &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
                Violation::LengthTooLarge,
            ),
        ];
        for (input, violation) in table {
            assert_eq!(
                ClientHeader::parse(input, false),
                Err(violation),
                "{input:x?}"
            );
        }
    }

    #[test]
    fn one_reserved_bit_has_a_meaning_where_a_message_begins() {
        for first in [0xc1, 0xc2, 0x41, 0x42] {
            let header = ClientHeader::parse(&[first, 0x80, 1, 2, 3, 4], true);
            let header = header.unwrap().unwrap();
            assert!(header.is_deflated(), "{first:x}");
            assert_eq!(header.is_final(), first & 0x80 != 0);
        }
        for first in [
            0xc0, 0x40, 0xc8, 0xc9, 0xca, 0xc3, 0xcb, 0xe1, 0xd1, 0xa1, 0x91, 0xf2,
        ] {
            assert_eq!(
                ClientHeader::parse(&[first], true),
                Err(Violation::ReservedBits),
                "{first:x}"
            );
        }
        assert_eq!(Header::deflated(Kind::Text, 5).as_bytes(), [0xc1, 5]);
    }

    #[test]
    fn a_whole_message_is_seen_at_once_and_nothing_else_is_taken_for_one() {
        for first in 0..=0xff_u8 {
            for payload_bytes in [0, 1, 125, 126, 300, 0xffff, 0x1_0000] {
                let mut frame = Header::new(Opcode::Text, payload_bytes).as_bytes().to_vec();
                frame[0] = first;
                frame[1] |= 0x80;
                frame.extend([1, 2, 3, 4]);
                let payload = frame.len()..frame.len() + payload_bytes;
                frame.resize(payload.end, 0);
                for is_all in [true, false] {
                    let whole = Whole::parse(&frame[..frame.len() - usize::from(!is_all)]);
                    let expected = match first {
                        0x81 => Some(Kind::Text),
                        0x82 => Some(Kind::Binary),
                        _ => None,
                    };
                    let expected = expected.filter(|_| is_all && payload_bytes < 0x1_0000);
                    assert_eq!(whole.as_ref().map(|whole| whole.kind), expected);
                    if let Some(whole) = whole {
                        assert_eq!((whole.mask, whole.payload), ([1, 2, 3, 4], payload.clone()));
                    }
                }
            }
        }
        assert!(Whole::parse(&[0x81, 5, 1, 2, 3, 4, 5]).is_none(), "no mask");
    }

    #[test]
    fn waits_for_the_whole_header() {
        let whole = [0x82, 0xfe, 0x01, 0x00, 1, 2, 3, 4];
        for length in 0..whole.len() {
            assert_eq!(
                ClientHeader::parse(&whole[..length], false),
                Ok(None),
                "{length}"
            );
        }
        let header = ClientHeader::parse(&whole, false).unwrap().unwrap();
        assert_eq!((header.payload_bytes, header.header_bytes), (256, 8));
        assert_eq!(
            (header.is_final(), header.opcode, header.mask),
            (true, Opcode::Binary, [1, 2, 3, 4])
        );
    }
}
