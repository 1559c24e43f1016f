//! Masking of client frames (RFC 6455 section 5.3).

/// Bytes of a mask block: what one AVX2 register holds.
const BLOCK: usize = 32;

/// Removes, or puts on, the mask in place. `phase` is how many bytes of the payload came before
/// these. Whether all of them are ASCII now, which is seen on the way: such text needs no other check.
#[inline]
pub fn unmask(bytes: &mut [u8], mask: [u8; 4], phase: usize) -> bool {
    let pattern = rotated(mask, phase);
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= 2 * BLOCK && std::arch::is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code)]
        // SAFETY: the function needs nothing but AVX2, which the processor has just been seen to
        // have.
        return unsafe { avx2(bytes, pattern) };
    }
    portable(bytes, pattern)
}

/// The mask as it stands `phase` bytes into the payload.
fn rotated(mask: [u8; 4], phase: usize) -> [u8; 4] {
    [
        mask[phase & 3],
        mask[(phase + 1) & 3],
        mask[(phase + 2) & 3],
        mask[(phase + 3) & 3],
    ]
}

/// The same loop, compiled for AVX2: 32 bytes an instruction.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(bytes: &mut [u8], pattern: [u8; 4]) -> bool {
    by_blocks(bytes, pattern)
}

/// Compiled for what every processor of the target has: SSE2 on x86-64, NEON on aarch64.
fn portable(bytes: &mut [u8], pattern: [u8; 4]) -> bool {
    by_blocks(bytes, pattern)
}

#[inline(always)]
fn by_blocks(bytes: &mut [u8], pattern: [u8; 4]) -> bool {
    let block: [u8; BLOCK] = std::array::from_fn(|i| pattern[i & 3]);
    let (blocks, rest) = bytes.as_chunks_mut::<BLOCK>();
    // All bits that any byte has: one a place of the block, of the word, and of the rest.
    let mut in_blocks = [0; BLOCK];
    for chunk in blocks {
        for ((byte, key), any) in chunk.iter_mut().zip(block).zip(&mut in_blocks) {
            *byte ^= key;
            *any |= *byte;
        }
    }
    let (words, rest) = rest.as_chunks_mut::<4>();
    let mut in_words = 0;
    for word in words {
        let plain = u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(pattern);
        in_words |= plain;
        *word = plain.to_ne_bytes();
    }
    let mut in_rest = 0;
    for (byte, key) in rest.iter_mut().zip(pattern) {
        *byte ^= key;
        in_rest |= *byte;
    }
    in_blocks.is_ascii() && in_words.to_ne_bytes().is_ascii() && in_rest.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn byte_by_byte(bytes: &mut [u8], mask: [u8; 4], phase: usize) {
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte ^= mask[(i + phase) & 3];
        }
    }

    #[test]
    fn all_ways_agree_at_every_length_alignment_and_phase() {
        let mask = [0x12, 0x9a, 0x34, 0x56];
        let source: Vec<u8> = (0..400_u32).map(|i| (i * 7 + 3) as u8).collect();
        for length in 0..=300 {
            for start in 0..BLOCK {
                for phase in 0..4 {
                    let mut expected = source.clone();
                    byte_by_byte(&mut expected[start..start + length], mask, phase);
                    let mut chosen = source.clone();
                    unmask(&mut chosen[start..start + length], mask, phase);
                    let mut scalar = source.clone();
                    portable(&mut scalar[start..start + length], rotated(mask, phase));
                    assert!(
                        chosen == expected && scalar == expected,
                        "{length} {start} {phase}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_byte_that_is_not_ascii_is_seen_wherever_it_is() {
        let mask = [0x12, 0x9a, 0x34, 0x56];
        for length in 0..=200 {
            for other in (0..length).map(Some).chain([None]) {
                let mut text = vec![b'a'; length];
                if let Some(at) = other {
                    text[at] = 0x80;
                }
                byte_by_byte(&mut text, mask, 0);
                let mut again = text.clone();
                let is_ascii = other.is_none();
                assert_eq!(unmask(&mut text, mask, 0), is_ascii, "{length} {other:?}");
                assert_eq!(portable(&mut again, mask), is_ascii, "{length} {other:?}");
            }
        }
    }
}
