//! Names as an API server takes them. They become parts of paths here, so nothing else may pass.

/// A longer name or key is refused, by an API server too.
const LONGEST_BYTES: usize = 253;

/// The rule that [`is_subdomain`] checks, in words.
pub(super) const SUBDOMAIN: &str = "must be lower case letters, digits, `-` and `.`, with a letter or digit at both ends of each \
     part, and at most 253 bytes";
/// The rule that [`is_entry`] checks, in words.
pub(super) const ENTRY: &str = "must be letters, digits, `-`, `_` and `.`, must not begin with `..` or be `.`, and be at most 253 \
     bytes";

/// Whether this may name an object: a DNS-1123 subdomain.
pub(super) fn is_subdomain(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        ends.iter().all(|end| end.is_some_and(|&byte| inner(byte)))
            && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
    };
    name.len() <= LONGEST_BYTES && name.split('.').all(is_label)
}

/// Whether this may name an entry of a Secret.
pub(super) fn is_entry(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let length = (1..=LONGEST_BYTES).contains(&key.len());
    length && key.bytes().all(allowed) && key != "." && !key.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_subdomains() {
        let long = "a".repeat(LONGEST_BYTES);
        for good in ["a", "chat-jwt", "a.b-c.0", &long] {
            assert!(is_subdomain(good), "{good}");
        }
        let longer = "a".repeat(LONGEST_BYTES + 1);
        for bad in [
            "", ".", "..", "/a", "a/b", "../a", "A", "a_b", "-a", "a-", "a..b", "a.", "\u{e9}",
            "a\0", "a\n", &longer,
        ] {
            assert!(!is_subdomain(bad), "{bad:?}");
        }
    }

    #[test]
    fn entries_are_file_names() {
        let long = "k".repeat(LONGEST_BYTES);
        for good in ["k", "tls.crt", ".hidden", "A_b-c.0", &long] {
            assert!(is_entry(good), "{good}");
        }
        let longer = "k".repeat(LONGEST_BYTES + 1);
        for bad in [
            "", ".", "..", "../k", "..k", "a/b", "/k", "a b", "k\0", "k\n", "\u{e9}", &longer,
        ] {
            assert!(!is_entry(bad), "{bad:?}");
        }
    }
}
