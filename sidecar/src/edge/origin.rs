//! Which pages may open a WebSocket (RFC 6455 section 10.2). Browsers tell the page's origin and send
//! its visitor's cookies along; other clients send none and pass.

use http::header::{HOST, ORIGIN};
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderValue};

use crate::config::Origins;

/// An entry of the list of allowed origins that is none.
#[derive(Debug, thiserror::Error)]
#[error("auth.allowedOrigins: `{0}` is no origin such as https://app.example.com")]
pub struct BadOrigin(String);

/// The configured origins, parsed.
#[derive(Debug)]
pub(super) enum AllowedOrigins {
    Any,
    List(Vec<Origin>),
    SameHost,
}

/// An origin (RFC 6454 section 4), in lower case, its port never left out when the scheme has one.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl AllowedOrigins {
    pub(super) fn new(config: &Origins) -> Result<Self, BadOrigin> {
        Ok(match config {
            Origins::Any => Self::Any,
            Origins::List(list) => Self::List(
                list.iter()
                    .map(|text| {
                        Origin::parse(text.trim_end_matches('/'))
                            .ok_or_else(|| BadOrigin(text.clone()))
                    })
                    .collect::<Result<_, _>>()?,
            ),
            Origins::SameHost => Self::SameHost,
        })
    }

    /// Whether the request comes from an allowed page, or from no page at all. An origin that cannot be
    /// read (`null`, two headers) is no allowed one.
    pub(super) fn permit(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = match (self, origins.next(), origins.next()) {
            (Self::Any, _, _) | (_, None, _) => return true,
            (_, Some(_), Some(_)) => return false,
            (_, Some(origin), None) => origin,
        };
        let Some(origin) = origin.to_str().ok().and_then(Origin::parse) else {
            return false;
        };
        match self {
            Self::Any => true,
            Self::List(list) => list.contains(&origin),
            Self::SameHost => headers.get(HOST).is_some_and(|host| origin.has_host(host)),
        }
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let authority = uri.authority()?;
        // A page's origin has no path, not even an empty one.
        if text.len() != scheme.len() + "://".len() + authority.as_str().len() {
            return None;
        }
        let (host, port) = host_and_port(authority)?;
        let port = port.or_else(|| default_port(&scheme));
        Some(Self { scheme, host, port })
    }

    /// Whether a `Host` header names the same host and port. Behind a proxy that ends TLS the gateway
    /// does not know its own scheme: a port that is left out is the default of the page's.
    fn has_host(&self, header: &HeaderValue) -> bool {
        let parsed = header
            .to_str()
            .ok()
            .and_then(|text| text.parse::<Authority>().ok())
            .and_then(|authority| host_and_port(&authority));
        let Some((host, port)) = parsed else {
            return false;
        };
        let port = port.or_else(|| default_port(&self.scheme));
        port.is_some() && port == self.port && host == self.host
    }
}

/// None when there is a user, or a port that is no port.
fn host_and_port(authority: &Authority) -> Option<(String, Option<u16>)> {
    let host = authority.host();
    if host.is_empty() {
        return None;
    }
    let port = match authority.as_str().strip_prefix(host)? {
        "" => None,
        rest => {
            let digits = rest.strip_prefix(':')?;
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            Some(digits.parse().ok()?)
        }
    };
    Some((host.to_ascii_lowercase(), port))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(origin: &str, host: &str) -> HeaderMap {
        HeaderMap::from_iter([
            (ORIGIN, HeaderValue::from_str(origin).unwrap()),
            (HOST, HeaderValue::from_str(host).unwrap()),
        ])
    }

    fn list(entries: &[&str]) -> Result<AllowedOrigins, BadOrigin> {
        let entries = entries.iter().map(ToString::to_string).collect();
        AllowedOrigins::new(&Origins::List(entries))
    }

    #[test]
    fn the_same_host_is_host_and_port() {
        for (origin, host, allowed) in [
            ("http://app.example.com", "app.example.com", true),
            ("https://app.example.com", "app.example.com", true),
            ("https://app.example.com", "app.example.com:443", true),
            ("http://app.example.com", "app.example.com:80", true),
            ("https://app.example.com:443", "app.example.com", true),
            ("http://localhost:8080", "localhost:8080", true),
            ("http://APP.example.com", "app.Example.com", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("https://app.example.com", "app.example.com:80", false),
            ("https://app.example.com", "app.example.com:8443", false),
            ("http://localhost:3000", "localhost:8080", false),
            ("https://evil.example.com", "app.example.com", false),
            ("https://app.example.com.evil.com", "app.example.com", false),
            ("https://app.example.com@evil.com", "app.example.com", false),
            ("https://evil.com/app.example.com", "app.example.com", false),
            ("https://app.example.com/", "app.example.com", false),
            ("app.example.com", "app.example.com", false),
            ("null", "null", false),
            ("", "app.example.com", false),
            ("file://", "app.example.com", false),
            ("chrome-extension://abcdef", "abcdef", false),
            ("https://app.example.com:", "app.example.com", false),
            ("https://app.example.com:+443", "app.example.com", false),
            ("https://app.example.com", "a@app.example.com", false),
            ("https://app.example.com", "", false),
            (
                "https://app.example.com:99999",
                "app.example.com:99999",
                false,
            ),
        ] {
            assert_eq!(
                AllowedOrigins::SameHost.permit(&headers(origin, host)),
                allowed,
                "{origin} to {host}"
            );
        }
    }

    #[test]
    fn a_list_is_exact() {
        let allowed = list(&["https://app.example.com", "http://localhost:3000/"]).unwrap();
        for (origin, expected) in [
            ("https://app.example.com", true),
            ("https://app.example.com:443", true),
            ("HTTPS://App.Example.Com", true),
            ("http://localhost:3000", true),
            ("http://app.example.com", false),
            ("https://app.example.com:444", false),
            ("https://sub.app.example.com", false),
            ("null", false),
        ] {
            assert_eq!(
                allowed.permit(&headers(origin, "any")),
                expected,
                "{origin}"
            );
        }
    }

    #[test]
    fn a_list_entry_that_is_no_origin_is_an_error() {
        for entry in [
            "*",
            "app.example.com",
            "https://",
            "https://*.a.com/x",
            "",
            "null",
        ] {
            let message = list(&[entry]).unwrap_err().to_string();
            assert!(message.contains(entry), "{message}");
        }
    }

    #[test]
    fn no_origin_passes_and_two_do_not() {
        let none = HeaderMap::new();
        let mut two = headers("http://a", "a");
        two.append(ORIGIN, HeaderValue::from_static("http://a"));
        for (allowed, expected) in [
            (AllowedOrigins::SameHost, false),
            (list(&["http://a"]).unwrap(), false),
            (AllowedOrigins::Any, true),
        ] {
            assert!(allowed.permit(&none));
            assert_eq!(allowed.permit(&two), expected, "{allowed:?}");
        }
        let mut no_host = headers("http://a", "a");
        no_host.remove(HOST);
        assert!(!AllowedOrigins::SameHost.permit(&no_host));
    }

    proptest! {
        #[test]
        fn a_page_of_another_host_is_never_the_same(
            scheme in "https?", page in "[a-z.@:/]{1,12}", host in "[a-z]{1,6}",
        ) {
            let permitted = AllowedOrigins::SameHost
                .permit(&headers(&format!("{scheme}://{page}"), &host));
            let default = if scheme == "http" { ":80" } else { ":443" };
            let expected = page.strip_suffix(default).unwrap_or(&page) == host;
            prop_assert_eq!(permitted, expected);
        }
    }
}
