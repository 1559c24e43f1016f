//! Masking of client frames (RFC 6455 section 5.3).

/// Bytes of a mask block: what one AVX2 register holds.
const BLOCK: usize = 32;

/// Removes, or puts on, the mask in place. `phase` is how many bytes of the payload came before
/// these.
pub fn unmask(bytes: &mut [u8], mask: [u8; 4], phase: usize) {
    let pattern = rotated(mask, phase);
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= 2 * BLOCK && std::arch::is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code)]
        // SAFETY: the function needs nothing but AVX2, which the processor has just been seen to
        // have.
        unsafe {
            avx2(bytes, pattern);
        }
        return;
    }
    portable(bytes, pattern);
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
fn avx2(bytes: &mut [u8], pattern: [u8; 4]) {
    by_blocks(bytes, pattern);
}

/// Compiled for what every processor of the target has: SSE2 on x86-64, NEON on aarch64.
fn portable(bytes: &mut [u8], pattern: [u8; 4]) {
    by_blocks(bytes, pattern);
}

#[inline(always)]
fn by_blocks(bytes: &mut [u8], pattern: [u8; 4]) {
    let block: [u8; BLOCK] = std::array::from_fn(|i| pattern[i & 3]);
    let (blocks, rest) = bytes.as_chunks_mut::<BLOCK>();
    for chunk in blocks {
        for (byte, key) in chunk.iter_mut().zip(block) {
            *byte ^= key;
        }
    }
    let (words, rest) = rest.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(pattern)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(pattern) {
        *byte ^= key;
    }
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
}
