//! Messages to clients.

use flate2::{Compress, Compression, FlushCompress};

use super::{MAX_WINDOW_BITS, TAIL};

/// Memory for what comes out that is kept from one message to the next.
const KEPT_BYTES: usize = 64 * 1024;

/// Deflates messages, one after the other, for any number of sessions. Takes 300 KB for each size of
/// window once it is used; only clients that ask for a smaller one make it have more than one.
#[derive(Debug)]
pub struct Deflater {
    level: u32,
    /// By bits of their windows; they are few.
    streams: Vec<(u8, Compress)>,
    out: Vec<u8>,
}

impl Deflater {
    /// With zlib's level 1 (fast) to 9 (small).
    pub fn new(level: u8) -> Self {
        Self {
            level: level.clamp(1, 9).into(),
            streams: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Deflates a message for everybody who [shares](super::Deflation::shares). None when it would not be
    /// smaller.
    pub fn deflate(&mut self, payload: &[u8]) -> Option<&[u8]> {
        self.deflate_after(&[], payload, MAX_WINDOW_BITS)
    }

    /// Deflates a message that may refer to what was said before it, no more than a window.
    pub(super) fn deflate_after(
        &mut self,
        history: &[u8],
        payload: &[u8],
        window_bits: u8,
    ) -> Option<&[u8]> {
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        self.out.reserve(payload.len() + TAIL.len());
        let level = self.level;
        let stream = stream(&mut self.streams, window_bits, level);
        stream.reset();
        if !history.is_empty() {
            stream.set_dictionary(history).ok()?;
        }
        // Not the whole of its room: what does not fit is not smaller.
        stream
            .compress_vec(payload, &mut self.out, FlushCompress::Sync)
            .ok()?;
        let is_whole =
            stream.total_in() == payload.len() as u64 && self.out.len() < self.out.capacity();
        let deflated = self.out.strip_suffix(&TAIL)?;
        (is_whole && deflated.len() < payload.len()).then_some(deflated)
    }
}

/// The stream for a window of this size.
fn stream(streams: &mut Vec<(u8, Compress)>, window_bits: u8, level: u32) -> &mut Compress {
    let known = streams.iter().position(|(bits, _)| *bits == window_bits);
    let index = known.unwrap_or_else(|| {
        let level = Compression::new(level);
        let stream = Compress::new_with_window_bits(level, false, window_bits);
        streams.push((window_bits, stream));
        streams.len() - 1
    });
    &mut streams[index].1
}
