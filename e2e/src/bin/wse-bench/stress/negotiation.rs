//! Whether a server agrees to compress (RFC 7692).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wse_e2e::client::{Auth, Dial};
use wse_e2e::raw::{OFFER, request};

use crate::target;

/// For the server's answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Offers compression once. A server that answers with context takeover has not understood the offer, and
/// counts as one that does not agree.
///
/// # Errors
/// When it does not answer the upgrade at all.
pub(super) async fn agrees(door: &Dial) -> Result<bool, String> {
    let (address, host, path) = target::door(&door.url)?;
    let Auth::Cookie(token) = &door.auth else {
        return Err("clients of a benchmark carry their token in the cookie".into());
    };
    let who = format!("Cookie: access_token={token}\r\n{OFFER}");
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&request(&host, &path, &who)).await?;
        let mut head = Vec::new();
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(head)
    };
    let head = timeout(PATIENCE, ask).await;
    let head = head.map_err(|_| format!("{host} does not answer an upgrade"))?;
    let head = head.map_err(|error| format!("{host}: {error}"))?;
    Ok(is_agreed(&String::from_utf8_lossy(&head)))
}

fn is_agreed(head: &str) -> bool {
    let mut lines = head.lines().take_while(|line| !line.is_empty());
    lines.any(|line| {
        let line = line.to_ascii_lowercase();
        let value = line.strip_prefix("sec-websocket-extensions:");
        value.is_some_and(|value| {
            let value = value.trim();
            value.starts_with("permessage-deflate") && value.contains("server_no_context_takeover")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_names_it_agrees() {
        let head = |line: &str| format!("HTTP/1.1 101 Switching Protocols\r\n{line}\r\n\r\n");
        for (line, agrees) in [
            ("Upgrade: websocket", false),
            (
                "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover",
                true,
            ),
            (
                "sec-websocket-extensions:permessage-deflate; client_no_context_takeover; server_no_context_takeover",
                true,
            ),
            ("Sec-WebSocket-Extensions: permessage-deflate", false),
            ("Sec-WebSocket-Extensions: x-other", false),
        ] {
            assert_eq!(is_agreed(&head(line)), agrees, "{line}");
        }
    }
}
