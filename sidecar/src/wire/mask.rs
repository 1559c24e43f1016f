//! Masking of client frames (RFC 6455 section 5.3).

/// Removes, or puts on, the mask in place. `phase` is how many bytes of the payload came before
/// these. Whether all of them are ASCII now, which is seen on the way: such text needs no other check.
#[inline]
pub fn unmask(bytes: &mut [u8], mask: [u8; 4], phase: usize) -> bool {
    let pattern = rotated(mask, phase);
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    {
        if bytes.len() >= 64 && std::arch::is_x86_feature_detected!("avx512bw") {
            // SAFETY: the function needs nothing but AVX-512BW, which the processor has just been seen
            // to have.
            return unsafe { avx512(bytes, pattern) };
        }
        if bytes.len() >= 32 && std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: as above, with AVX2.
            return unsafe { avx2(bytes, pattern) };
        }
    }
    portable(bytes, pattern)
}

/// The mask as it stands `phase` bytes into the payload.
fn rotated(mask: [u8; 4], phase: usize) -> [u8; 4] {
    let bits = 8 * (phase % 4) as u32;
    u32::from_le_bytes(mask).rotate_right(bits).to_le_bytes()
}

/// By 64 bytes, what one register of AVX-512 holds.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw")]
fn avx512(bytes: &mut [u8], pattern: [u8; 4]) -> bool {
    by_blocks::<64>(bytes, pattern)
}

/// By 32 bytes, what one register of AVX2 holds.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(bytes: &mut [u8], pattern: [u8; 4]) -> bool {
    by_blocks::<32>(bytes, pattern)
}

/// Compiled for what every processor of the target has: SSE2 on x86-64, NEON on aarch64.
fn portable(bytes: &mut [u8], pattern: [u8; 4]) -> bool {
    by_blocks::<32>(bytes, pattern)
}

/// The end is a block too, which overlaps the last whole one. It is written first, so that who reads the
/// text by whole blocks finds each in one write: others the processor does not hand on before they are in
/// the cache.
#[inline(always)]
fn by_blocks<const BLOCK: usize>(bytes: &mut [u8], pattern: [u8; 4]) -> bool {
    let phase = bytes.len() % 4;
    let last = (bytes.len() / BLOCK).saturating_sub(1) * BLOCK;
    let (Some(mut whole), Some(mut end)) = (
        bytes[last..].first_chunk::<BLOCK>().copied(),
        bytes.last_chunk::<BLOCK>().copied(),
    ) else {
        return by_words(bytes, pattern);
    };
    let mut any = [0; BLOCK];
    for block in bytes[..last].as_chunks_mut().0 {
        apply(block, pattern, &mut any);
    }
    apply(&mut whole, pattern, &mut any);
    apply(&mut end, rotated(pattern, phase), &mut any);
    if let Some(block) = bytes.last_chunk_mut() {
        *block = end;
    }
    if let Some(block) = bytes[last..].first_chunk_mut() {
        *block = whole;
    }
    any.is_ascii()
}

/// Applies the pattern to a block, and adds to `any` the bits that its bytes have then.
#[inline(always)]
fn apply<const BLOCK: usize>(block: &mut [u8; BLOCK], pattern: [u8; 4], any: &mut [u8; BLOCK]) {
    let mut key = [0; BLOCK];
    key.as_chunks_mut().0.fill(pattern);
    for ((byte, key), any) in block.iter_mut().zip(key).zip(any) {
        *byte ^= key;
        *any |= *byte;
    }
}

/// What is shorter than a block.
#[inline(always)]
fn by_words(bytes: &mut [u8], pattern: [u8; 4]) -> bool {
    let (words, rest) = bytes.as_chunks_mut();
    let mut any = [0; 4];
    for word in words {
        apply(word, pattern, &mut any);
    }
    let mut in_rest = 0;
    for (byte, key) in rest.iter_mut().zip(pattern) {
        *byte ^= key;
        in_rest |= *byte;
    }
    any.is_ascii() && in_rest.is_ascii()
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
            for start in 0..32 {
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
