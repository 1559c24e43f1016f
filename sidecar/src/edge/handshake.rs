//! The opening handshake (RFC 6455 section 4.2) as a pure function, of the same shape as
//! `wire::handshake`, which is to take this file's place.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is not an opening handshake that this server can answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    #[error("this is a WebSocket endpoint: Upgrade: websocket and Connection: Upgrade are missing")]
    NoUpgrade,
    #[error("Sec-WebSocket-Version must be 13")]
    Version,
}

impl Refusal {
    /// Status of the answer.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Key => StatusCode::BAD_REQUEST,
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
        }
    }

    /// Headers that the answer needs (section 4.4, RFC 9110 section 15.5.22).
    pub(super) fn headers(self) -> HeaderMap {
        match self {
            Self::Key => HeaderMap::new(),
            Self::NoUpgrade | Self::Version => HeaderMap::from_iter([
                (CONNECTION, HeaderValue::from_static("upgrade")),
                (UPGRADE, HeaderValue::from_static("websocket")),
                (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            ]),
        }
    }
}

/// The headers of the answer, whose status is 101.
pub(super) fn accept(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<HeaderMap, Refusal> {
    let asks = method == Method::GET
        && version == Version::HTTP_11
        && has_token(headers, &UPGRADE, "websocket")
        && has_token(headers, &CONNECTION, "upgrade");
    if !asks {
        return Err(Refusal::NoUpgrade);
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|value| value != "13")
    {
        return Err(Refusal::Version);
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16))
        .ok_or(Refusal::Key)?;
    let answer = STANDARD.encode(digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        &[key.as_bytes(), GUID].concat(),
    ));
    let answer = HeaderValue::from_str(&answer).expect("base64 is made of visible characters");
    Ok(HeaderMap::from_iter([
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, answer),
    ]))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}
