//! UTF-8, whole and in pieces (RFC 6455 section 8.1). The fast validator of simdutf8 says yes or no;
//! the slower one says where a piece ends inside a character.

use super::Violation;

/// Whether all of it is valid.
pub(super) fn is_valid(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Validates text that is still growing, whose first `valid` bytes have been found valid. Gives how
/// many are valid now: less than all only when the last character is not complete.
pub(super) fn advance(text: &[u8], valid: usize) -> Result<usize, Violation> {
    match simdutf8::compat::from_utf8(&text[valid..]) {
        Ok(_) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(valid + error.valid_up_to()),
        Err(_) => Err(Violation::InvalidUtf8),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the text in pieces of these sizes; None when it was found invalid.
    fn in_pieces(text: &[u8], sizes: &[usize]) -> Option<usize> {
        let (mut end, mut valid) = (0, 0);
        for size in sizes.iter().copied().chain([text.len()]) {
            end = (end + size).min(text.len());
            valid = advance(&text[..end], valid).ok()?;
        }
        Some(valid)
    }

    proptest! {
        #[test]
        fn pieces_of_text_are_valid(text in ".{0,40}", sizes in prop::collection::vec(0_usize..9, 0..20)) {
            prop_assert_eq!(in_pieces(text.as_bytes(), &sizes), Some(text.len()));
        }

        #[test]
        fn pieces_agree_with_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..12),
            sizes in prop::collection::vec(0_usize..4, 0..12),
        ) {
            let whole = in_pieces(&bytes, &sizes) == Some(bytes.len());
            prop_assert_eq!(whole, std::str::from_utf8(&bytes).is_ok());
        }
    }
}
