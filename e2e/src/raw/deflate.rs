//! permessage-deflate (RFC 7692) as a client of a benchmark needs it: each message stands alone.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::frames::Data;
use crate::Error;

/// What offers it in `Sec-WebSocket-Extensions`. A server that agrees must not refer to earlier messages, so that
/// nothing has to be remembered of any connection.
pub const OFFER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Ends what a flush of zlib writes, and is not sent (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// Of zlib, which is its default.
const LEVEL: u32 = 6;

/// A message as it is sent, without its frame.
///
/// # Panics
/// When zlib fails, which it does for no message.
pub fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    Compress::new(Compression::new(LEVEL), false)
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .expect("the stream is new and has room");
    out.truncate(out.len() - TAIL.len());
    out
}

/// Inflates messages of any number of connections, one after the other.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            stream: Decompress::new(false),
            input: Vec::new(),
            out: Vec::new(),
        }
    }
}

impl Inflater {
    /// A payload as the server's application wrote it.
    ///
    /// # Errors
    /// [`Error::Protocol`] when it cannot be inflated by itself.
    pub fn plain<'a>(&'a mut self, data: Data<'a>) -> Result<&'a [u8], Error> {
        if !data.is_deflated {
            return Ok(data.payload);
        }
        self.stream.reset(false);
        self.out.clear();
        self.input.clear();
        self.input.extend_from_slice(data.payload);
        self.input.extend_from_slice(&TAIL);
        let mut at = 0;
        while at < self.input.len() || self.out.len() == self.out.capacity() {
            self.out.reserve(data.payload.len().max(64) * 4);
            let before = (at, self.out.len());
            let input = &self.input[at..];
            self.stream
                .decompress_vec(input, &mut self.out, FlushDecompress::Sync)
                .map_err(|error| {
                    Error::Protocol(format!("a message cannot be inflated: {error}"))
                })?;
            at = usize::try_from(self.stream.total_in()).unwrap_or(usize::MAX);
            if before == (at, self.out.len()) {
                break;
            }
        }
        Ok(&self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deflated_is_inflated_whatever_its_size() {
        let mut inflater = Inflater::default();
        for length in [0, 1, 100, 5_000, 1 << 20] {
            let text: Vec<u8> = (0..length).map(|n: usize| b"abcdefg"[n * n % 7]).collect();
            let payload = deflated(&text);
            for (payload, is_deflated) in [(&payload, true), (&text, false)] {
                let data = Data {
                    payload,
                    is_deflated,
                };
                assert!(inflater.plain(data).unwrap() == text, "{length}");
            }
        }
        let data = Data {
            payload: &[0xff; 20],
            is_deflated: true,
        };
        assert!(inflater.plain(data).is_err());
    }
}
