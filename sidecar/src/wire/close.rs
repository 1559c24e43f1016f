//! Bodies of Close frames (RFC 6455 sections 5.5.1 and 7.4).

use super::Violation;
use super::utf8;

/// Longest reason: a control frame holds 125 bytes, two of them the code.
pub const MAX_REASON_BYTES: usize = 123;

/// What a Close frame without a code stands for; never on the wire (section 7.4.1).
pub const NO_CODE: u16 = 1005;

/// Whether an endpoint may put this code into a Close frame (sections 7.4.1 and 7.4.2).
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1011 | 3000..=4999)
}

/// The body for a code and a reason, which is cut at a character. A code that must not be sent gives
/// an empty body.
pub(super) fn body(code: u16, reason: &str) -> Vec<u8> {
    if !is_close_code(code) {
        return Vec::new();
    }
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut body = Vec::with_capacity(2 + end);
    body.extend_from_slice(&code.to_be_bytes());
    body.extend_from_slice(&reason.as_bytes()[..end]);
    body
}

/// The code in a client's body, [`NO_CODE`] when it has none.
pub(super) fn parse(body: &[u8]) -> Result<u16, Violation> {
    let (code, reason) = match body {
        [] => return Ok(NO_CODE),
        [_] => return Err(Violation::CloseBody),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !is_close_code(code) {
        return Err(Violation::CloseCode);
    }
    if !utf8::is_valid(reason) {
        return Err(Violation::InvalidUtf8);
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_wire() {
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 3000, 3999, 4000, 4999] {
            assert!(is_close_code(code), "{code}");
        }
        for code in [
            0, 999, 1004, 1005, 1006, 1012, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
        ] {
            assert!(!is_close_code(code), "{code}");
        }
    }

    #[test]
    fn parses_what_clients_send() {
        assert_eq!(parse(b""), Ok(NO_CODE));
        assert_eq!(parse(b"\x03"), Err(Violation::CloseBody));
        assert_eq!(parse(b"\x03\xe8"), Ok(1000));
        assert_eq!(parse(b"\x03\xe8bye"), Ok(1000));
        assert_eq!(parse(b"\x03\xee"), Err(Violation::CloseCode));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Violation::InvalidUtf8));
    }

    #[test]
    fn cuts_a_long_reason_at_a_character() {
        let reason = "ä".repeat(70);
        let body = body(4300, &reason);
        assert_eq!(body.len(), 2 + 122);
        assert_eq!(std::str::from_utf8(&body[2..]).unwrap().chars().count(), 61);
        assert!(super::body(1006, "x").is_empty());
    }
}
