//! What a frame is before it is JSON (wse-protocol 1.4).

/// Longest timestamp of a client's heartbeat that is sent back.
pub(super) const STAMP_BYTES: usize = 32;

/// Whether the frame has an encoding that published servers and clients may agree on, and that this
/// side never does: `C:` zlib, `E:` AES-GCM, `M:` MessagePack.
pub(super) fn is_encoded(payload: &[u8]) -> bool {
    [b"C:", b"E:", b"M:"]
        .iter()
        .any(|prefix| payload.starts_with(*prefix))
}

/// A heartbeat of the old form, `PING:<ms>` or `PONG:<ms>`, with or without `WSE:`. A ping has the
/// prefix and the stamp of its answer.
pub(super) fn heartbeat(payload: &[u8]) -> Option<Option<(&'static str, &[u8])>> {
    let (prefix, rest) = match payload.strip_prefix(b"WSE:") {
        Some(rest) => ("WSE:PONG:", rest),
        None => ("PONG:", payload),
    };
    if rest.len() > b"PING:".len() + STAMP_BYTES {
        return None;
    }
    if let Some(stamp) = rest.strip_prefix(b"PING:") {
        return Some(Some((prefix, stamp)));
    }
    rest.starts_with(b"PONG:").then_some(None)
}

/// The JSON text behind an old category prefix.
pub(super) fn without_prefix(payload: &[u8]) -> &[u8] {
    for prefix in [&b"WSE"[..], b"S", b"U"] {
        if let Some(rest) = payload.strip_prefix(prefix)
            && rest.first() == Some(&b'{')
        {
            return rest;
        }
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_heartbeats_are_known_and_long_ones_are_not() {
        for (payload, expected) in [
            ("PING:1", Some(Some(("PONG:", &b"1"[..])))),
            ("WSE:PING:", Some(Some(("WSE:PONG:", b"")))),
            ("WSE:PONG:1", Some(None)),
            ("PING", None),
            ("{}", None),
            (&format!("PING:{}", "1".repeat(33)), None),
        ] {
            assert_eq!(heartbeat(payload.as_bytes()), expected, "{payload}");
        }
    }

    #[test]
    fn prefixes_are_taken_off_objects_only() {
        for (payload, expected) in [
            ("WSE{}", "{}"),
            ("S{}", "{}"),
            ("U{}", "{}"),
            ("{}", "{}"),
            ("WS{}", "WS{}"),
            ("Sx", "Sx"),
            ("", ""),
        ] {
            assert_eq!(without_prefix(payload.as_bytes()), expected.as_bytes());
        }
    }
}
