//! Whether a server agrees to compress (RFC 7692).

use wse_e2e::client::{Dial, extensions};
use wse_e2e::raw::OFFER;

/// Offers compression once. A server that answers with context takeover has not understood the offer, and
/// counts as one that does not agree.
///
/// # Errors
/// When it does not answer the upgrade.
pub(super) async fn agrees(door: &Dial) -> Result<bool, String> {
    let answer = extensions(door, OFFER).await;
    let answer = answer.map_err(|error| error.to_string())?;
    Ok(answer.is_some_and(|answer| is_agreed(&answer)))
}

/// Of the value of `Sec-WebSocket-Extensions`.
fn is_agreed(answer: &str) -> bool {
    let answer = answer.to_ascii_lowercase();
    let answer = answer.trim();
    answer.starts_with("permessage-deflate") && answer.contains("server_no_context_takeover")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_context_takeover_agrees() {
        for (answer, agrees) in [
            ("permessage-deflate; server_no_context_takeover", true),
            (
                " Permessage-Deflate; client_no_context_takeover; server_no_context_takeover",
                true,
            ),
            ("permessage-deflate", false),
            ("x-other; server_no_context_takeover", false),
            ("", false),
        ] {
            assert_eq!(is_agreed(answer), agrees, "{answer}");
        }
    }
}
