//! Frames (RFC 6455 section 5.2) as one side of a benchmark needs them.

use crate::Error;

const MASK: [u8; 4] = [0x12, 0x9a, 0x34, 0x56];
const TEXT: u8 = 0x81;
/// Says that a message is deflated (RFC 7692 section 6).
const RSV1: u8 = 0x40;

/// What a data frame carries.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// As it went over the wire.
    pub payload: &'a [u8],
    /// Whether it is to be inflated (RFC 7692 section 6: RSV1 is set).
    pub is_deflated: bool,
}

/// What came, cut into frames.
#[derive(Debug)]
pub struct Frames {
    /// The response's head, until it is whole.
    head: Option<Vec<u8>>,
    /// A frame of which a part has come.
    part: Vec<u8>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            head: Some(Vec::new()),
            part: Vec::new(),
        }
    }
}

impl Frames {
    /// Whether the response's head has come.
    pub fn is_upgraded(&self) -> bool {
        self.head.is_none()
    }

    /// Takes what was read next, and gives the payload of every data frame that is whole.
    ///
    /// # Errors
    /// [`Error::Upgrade`] when the response is not a 101, [`Error::Closed`] at a Close frame.
    pub fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        self.take_data(bytes, &mut |data| each(data.payload))
    }

    /// The same for who has offered compression.
    ///
    /// # Errors
    /// As [`Frames::take`].
    pub fn take_data(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(Data<'_>),
    ) -> Result<(), Error> {
        if let Some(head) = &mut self.head {
            head.extend_from_slice(bytes);
            let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(());
            };
            if !head.starts_with(b"HTTP/1.1 101 ") {
                return Err(refusal(head));
            }
            let rest = head.split_off(end + 4);
            self.head = None;
            return self.take_data(&rest, each);
        }
        while !self.part.is_empty() && !bytes.is_empty() {
            let wanted = frame(&self.part).map_or(self.part.len() + 1, |(_, end)| end);
            let more = (wanted - self.part.len()).min(bytes.len());
            self.part.extend_from_slice(&bytes[..more]);
            bytes = &bytes[more..];
            if let Some((begin, end)) = frame(&self.part)
                && end == self.part.len()
            {
                give(&self.part, begin, each)?;
                self.part.clear();
            }
        }
        while let Some((begin, end)) = frame(bytes)
            && end <= bytes.len()
        {
            give(&bytes[..end], begin, each)?;
            bytes = &bytes[end..];
        }
        self.part.extend_from_slice(bytes);
        Ok(())
    }
}

/// Where the payload of the frame at the front begins and ends; None when that cannot be told yet.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (begin, length) = match *bytes {
        [_, 127, a, b, c, d, e, f, g, h, ..] => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        [_, 126, a, b, ..] => (4, u16::from_be_bytes([a, b]).into()),
        [_, length @ 0..126, ..] => (2, length.into()),
        _ => return None,
    };
    Some((begin, begin + usize::try_from(length).ok()?))
}

fn give(frame: &[u8], begin: usize, each: &mut impl FnMut(Data<'_>)) -> Result<(), Error> {
    let payload = &frame[begin..];
    match frame[0] & 0x0f {
        8 => {
            let (code, reason) = match payload {
                [a, b, reason @ ..] => (u16::from_be_bytes([*a, *b]), reason),
                _ => (1005, payload),
            };
            Err(Error::Closed {
                code,
                reason: String::from_utf8_lossy(reason).into_owned(),
            })
        }
        9 | 10 => Ok(()),
        _ => {
            each(Data {
                payload,
                is_deflated: frame[0] & RSV1 != 0,
            });
            Ok(())
        }
    }
}

fn refusal(head: &[u8]) -> Error {
    let head = String::from_utf8_lossy(head);
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    match status {
        Some(status) => Error::Upgrade {
            status,
            retry_after: None,
        },
        None => Error::Protocol(format!("{head:.80?} is no answer to an upgrade")),
    }
}

/// A text message as a client sends it.
pub fn masked(payload: &[u8]) -> Vec<u8> {
    masked_frame(TEXT, payload)
}

/// The same for a payload that is [deflated](super::deflated).
pub fn masked_deflated(payload: &[u8]) -> Vec<u8> {
    masked_frame(TEXT | RSV1, payload)
}

fn masked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let long = [b'x'; 300];
        let mut stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        stream.extend_from_slice(b"\x81\x02hi\x89\x00\x81\x00\x81\x7e\x01\x2c");
        stream.extend_from_slice(&long);
        for piece in [1, 2, 3, 7, 64, stream.len()] {
            let (mut frames, mut came) = (Frames::default(), Vec::new());
            for bytes in stream.chunks(piece) {
                frames
                    .take(bytes, &mut |payload| came.push(payload.to_vec()))
                    .unwrap();
            }
            assert_eq!(came, [b"hi".to_vec(), Vec::new(), long.to_vec()], "{piece}");
        }
    }

    #[test]
    fn refusals_and_closes_are_told_with_their_code() {
        let said = |bytes: &[u8]| Frames::default().take(bytes, &mut |_| {});
        let refused = said(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert!(matches!(refused, Err(Error::Upgrade { status: 503, .. })));
        let closed = said(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x88\x04\x11\x31no");
        assert!(matches!(closed, Err(Error::Closed { code: 4401, reason }) if reason == "no"));
    }
}
