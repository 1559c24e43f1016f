//! The opening handshake as a pure function (RFC 6455 section 4.2).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    ALLOW, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Version};

use super::deflate::{Agreed, Terms};
use super::extensions;

/// Section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is not an opening handshake that this server can answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Sec-WebSocket-Extensions does not follow its grammar, which must end the handshake (section 9.1).
    #[error("Sec-WebSocket-Extensions is not a list of extensions")]
    Extensions,
    /// Sec-WebSocket-Key is not 16 bytes in base64, or is there twice.
    #[error("Sec-WebSocket-Key must be given once, 16 bytes in base64")]
    Key,
    /// Only GET opens a WebSocket.
    #[error("method must be GET")]
    Method,
    /// No Host, or several.
    #[error("Host must be given once")]
    NoHost,
    /// An ordinary request.
    #[error("this is a WebSocket endpoint: Upgrade: websocket and Connection: Upgrade are missing")]
    NoUpgrade,
    /// HTTP/1.0 cannot upgrade; HTTP/2 does it otherwise (RFC 8441).
    #[error("HTTP/1.1 is needed")]
    OldHttp,
    /// Another version of the WebSocket protocol, or none.
    #[error("Sec-WebSocket-Version must be 13")]
    Version,
}

impl Refusal {
    /// Status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Extensions | Self::Key | Self::NoHost => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::OldHttp => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    /// Headers that the answer needs (section 4.4, RFC 9110 sections 15.5.6 and 15.5.22).
    pub fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Self::NoUpgrade | Self::Version => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::Extensions | Self::Key | Self::NoHost | Self::OldHttp => {}
        }
        headers
    }

    /// Bounded label for metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Extensions => "extensions",
            Self::Key => "key",
            Self::Method => "method",
            Self::NoHost => "host",
            Self::NoUpgrade => "no_upgrade",
            Self::OldHttp => "http_version",
            Self::Version => "websocket_version",
        }
    }
}

/// The answer to a request that opens a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The headers. The status is 101.
    pub headers: HeaderMap,
    /// What was agreed on of permessage-deflate.
    pub deflate: Option<Agreed>,
}

/// The whole answer to a request: 101 with what was agreed on, or the refusal.
pub fn respond<B>(request: &Request<B>, deflate: Option<Terms>) -> Response<Option<Agreed>> {
    let (method, version, headers) = (request.method(), request.version(), request.headers());
    let (status, headers, agreed) = match accept(method, version, headers, deflate) {
        Ok(answer) => (
            StatusCode::SWITCHING_PROTOCOLS,
            answer.headers,
            answer.deflate,
        ),
        Err(refusal) => (refusal.status(), refusal.headers(), None),
    };
    let mut response = Response::new(agreed);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The answer. Without `deflate` no extension is agreed on, and none looked at.
///
/// # Errors
/// A [`Refusal`] says what to answer instead.
pub fn accept(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    deflate: Option<Terms>,
) -> Result<Answer, Refusal> {
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    if version != Version::HTTP_11 {
        return Err(Refusal::OldHttp);
    }
    if only(headers, &HOST).is_none() {
        return Err(Refusal::NoHost);
    }
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        return Err(Refusal::NoUpgrade);
    }
    if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|value| value != "13") {
        return Err(Refusal::Version);
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?;
    if STANDARD.decode(key).map_or(0, |bytes| bytes.len()) != 16 {
        return Err(Refusal::Key);
    }
    let accept = HeaderValue::from_str(&accept_value(key.as_bytes()))
        .expect("base64 has only characters that a header value may have");
    let deflate = match deflate {
        Some(terms) => negotiate(headers, terms)?,
        None => None,
    };
    let mut answer = HeaderMap::with_capacity(4);
    answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(agreed) = &deflate {
        let value = HeaderValue::from_str(&agreed.answer())
            .expect("names and numbers have only characters that a header value may have");
        answer.insert(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    Ok(Answer {
        headers: answer,
        deflate,
    })
}

/// What is agreed on of what a client offers (section 9.1).
fn negotiate(headers: &HeaderMap, terms: Terms) -> Result<Option<Agreed>, Refusal> {
    let offers = extensions::offers(headers).map_err(|_| Refusal::Extensions)?;
    Ok(Agreed::first(&offers, terms))
}

/// Value of Sec-WebSocket-Accept for a key.
fn accept_value(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    STANDARD.encode(context.finish())
}

/// The value of a header that must be there once, without the space around it.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok().map(str::trim)
}

/// Whether a list of tokens, possibly over several lines, has this one.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> HeaderMap {
        [
            (HOST, "server.example.com"),
            (UPGRADE, "websocket"),
            (CONNECTION, "Upgrade"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (SEC_WEBSOCKET_VERSION, "13"),
        ]
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect()
    }

    #[test]
    fn answers_the_example_of_the_rfc() {
        let answer = accept(&Method::GET, Version::HTTP_11, &request(), None).unwrap();
        let answer = answer.headers;
        assert_eq!(answer[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer[UPGRADE], "websocket");
        assert_eq!(answer[CONNECTION], "upgrade");
    }

    #[test]
    fn takes_lists_and_any_case() {
        let mut headers = request();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, UPGRADE"));
        headers.insert(UPGRADE, HeaderValue::from_static("h2c, WebSocket"));
        assert!(accept(&Method::GET, Version::HTTP_11, &headers, None).is_ok());
    }

    #[test]
    fn refuses_each_fault() {
        let table = [
            (HOST, None, Refusal::NoHost, 400),
            (UPGRADE, None, Refusal::NoUpgrade, 426),
            (UPGRADE, Some("h2c"), Refusal::NoUpgrade, 426),
            (CONNECTION, Some("keep-alive"), Refusal::NoUpgrade, 426),
            (SEC_WEBSOCKET_VERSION, Some("8"), Refusal::Version, 426),
            (SEC_WEBSOCKET_VERSION, None, Refusal::Version, 426),
            (SEC_WEBSOCKET_KEY, None, Refusal::Key, 400),
            (
                SEC_WEBSOCKET_KEY,
                Some("dGhlIHNhbXBsZQ=="),
                Refusal::Key,
                400,
            ),
            (
                SEC_WEBSOCKET_KEY,
                Some("no base64 here!"),
                Refusal::Key,
                400,
            ),
        ];
        for (name, value, refusal, status) in table {
            let mut headers = request();
            headers.remove(&name);
            if let Some(value) = value {
                headers.insert(&name, HeaderValue::from_static(value));
            }
            let refused = accept(&Method::GET, Version::HTTP_11, &headers, None).unwrap_err();
            assert_eq!(refused, refusal, "{name} {value:?}");
            assert_eq!(refused.status().as_u16(), status);
        }
        let refused = accept(&Method::POST, Version::HTTP_11, &request(), None).unwrap_err();
        assert_eq!((refused, refused.status().as_u16()), (Refusal::Method, 405));
        assert_eq!(refused.headers()[ALLOW], "GET");
        let refused = accept(&Method::GET, Version::HTTP_10, &request(), None).unwrap_err();
        assert_eq!(
            (refused, refused.status().as_u16()),
            (Refusal::OldHttp, 505)
        );
        assert_eq!(Refusal::Version.headers()[SEC_WEBSOCKET_VERSION], "13");
        let mut twice = request();
        twice.append(
            SEC_WEBSOCKET_KEY,
            HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        );
        assert_eq!(
            accept(&Method::GET, Version::HTTP_11, &twice, None),
            Err(Refusal::Key)
        );
    }

    #[test]
    fn extensions_are_looked_at_where_there_is_one() {
        let answer = |offers: &'static [&str], terms| {
            let mut headers = request();
            for offer in offers {
                headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
            }
            accept(&Method::GET, Version::HTTP_11, &headers, terms)
        };
        let terms = Some(Terms {
            context_takeover: true,
        });
        let offers = &["foo; bar", "permessage-deflate"];
        let agreed = answer(offers, terms).unwrap();
        assert_eq!(
            agreed.headers[SEC_WEBSOCKET_EXTENSIONS],
            "permessage-deflate"
        );
        assert!(agreed.deflate.is_some());
        for (offers, terms) in [(&offers[..], None), (&[], terms), (&["foo"], terms)] {
            let plain = answer(offers, terms).unwrap();
            assert_eq!(plain.deflate, None);
            assert!(!plain.headers.contains_key(SEC_WEBSOCKET_EXTENSIONS));
        }
        assert_eq!(answer(&["foo;"], terms), Err(Refusal::Extensions));
        assert!(answer(&["foo;"], None).is_ok());
    }
}
