//! The end of what was said so far.

/// What the next message may refer to. Nothing where no message refers to earlier ones; it takes memory
/// only with what was said.
#[derive(Debug)]
pub(super) struct History {
    bytes: Vec<u8>,
    window_bytes: usize,
}

impl History {
    /// For a window of this many bits; None when messages do not refer to each other.
    pub(super) fn new(window_bits: Option<u8>) -> Self {
        Self {
            bytes: Vec::new(),
            window_bytes: window_bits.map_or(0, |bits| 1 << bits),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Memory that it holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// A message was said.
    pub(super) fn append(&mut self, message: &[u8]) {
        let message = &message[message.len().saturating_sub(self.window_bytes)..];
        let length = self.bytes.len() + message.len();
        if let Some(excess) = length.checked_sub(self.window_bytes) {
            self.bytes.drain(..excess);
        }
        if self.bytes.capacity() - self.bytes.len() < message.len() {
            // Doubled as it grows, but never past the window.
            let wanted = (2 * length).min(self.window_bytes);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_within_the_window() {
        let mut history = History::new(Some(9));
        let mut said = Vec::new();
        for i in 0..200_usize {
            let message = vec![i as u8; i * 7 % 90 * (1 + i % 13)];
            history.append(&message);
            said.extend(message);
            assert_eq!(history.as_bytes(), &said[said.len().saturating_sub(512)..]);
            assert!(history.held_bytes() <= 512);
        }
    }

    #[test]
    fn keeps_nothing_where_nothing_refers_back() {
        let mut history = History::new(None);
        history.append(b"message");
        assert_eq!((history.as_bytes(), history.held_bytes()), (&b""[..], 0));
    }
}
