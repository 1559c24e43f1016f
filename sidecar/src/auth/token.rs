//! Where a request carries its token (wse-protocol 1.1): first a cookie, then `Authorization`.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

/// The request's token. With `cookie` None no cookie is looked at. The first place that has one
/// decides: a bad cookie does not fall back to a good header.
pub(super) fn find<'a>(headers: &'a HeaderMap, cookie: Option<&str>) -> Option<&'a str> {
    cookie
        .and_then(|name| from_cookie(headers, name))
        .or_else(|| from_bearer(headers))
}

/// The same name may come several times, for several paths; browsers put the most specific first
/// (RFC 6265 section 5.4). Values that a page's script wrote without having a token are skipped.
fn from_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|&byte| byte == b';'))
        .filter_map(|pair| {
            let equals = pair.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (&pair[..equals], &pair[equals + 1..]);
            (key.trim_ascii() == name.as_bytes()).then(|| unquoted(value.trim_ascii()))
        })
        .find(|value| !matches!(*value, b"" | b"undefined" | b"null"))
        .and_then(|value| str::from_utf8(value).ok())
}

/// A cookie's value may stand in quotes (RFC 6265 section 4.1.1).
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

fn from_bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(AUTHORIZATION).iter().find_map(|header| {
        let (scheme, token) = header.to_str().ok()?.trim_start().split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    type Row<'a> = (&'a [(HeaderName, &'a str)], Option<&'a str>);

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.clone(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn the_cookie_comes_before_the_header() {
        let table: &[Row<'_>] = &[
            (&[], None),
            (&[(COOKIE, "access_token=t1")], Some("t1")),
            (
                &[
                    (COOKIE, "a=b; access_token=t1; c=d"),
                    (AUTHORIZATION, "Bearer t2"),
                ],
                Some("t1"),
            ),
            (&[(COOKIE, "a=b"), (COOKIE, "access_token=t1")], Some("t1")),
            (&[(COOKIE, "a=b;access_token = t1 ")], Some("t1")),
            (&[(COOKIE, "access_token=\"t1\"")], Some("t1")),
            (&[(COOKIE, "access_token=t=1=")], Some("t=1=")),
            (&[(COOKIE, "note=\u{e9}; access_token=t1")], Some("t1")),
            (&[(COOKIE, "access_token=; access_token=t1")], Some("t1")),
            (
                &[(COOKIE, "access_token="), (AUTHORIZATION, "Bearer t2")],
                Some("t2"),
            ),
            (
                &[
                    (COOKIE, "access_token=undefined"),
                    (AUTHORIZATION, "Bearer t2"),
                ],
                Some("t2"),
            ),
            (
                &[
                    (COOKIE, "access_token=\"null\""),
                    (AUTHORIZATION, "Bearer t2"),
                ],
                Some("t2"),
            ),
            (&[(COOKIE, "access_token=\"\"")], None),
            (&[(COOKIE, "my_access_token=t1")], None),
            (&[(COOKIE, "ACCESS_TOKEN=t1")], None),
            (&[(COOKIE, "access_token")], None),
            (&[(AUTHORIZATION, "bearer t2")], Some("t2")),
            (&[(AUTHORIZATION, "BEARER   t2 ")], Some("t2")),
            (&[(AUTHORIZATION, "Basic t2")], None),
            (&[(AUTHORIZATION, "Bearer")], None),
            (&[(AUTHORIZATION, "Bearer ")], None),
            (
                &[(AUTHORIZATION, "Basic t1"), (AUTHORIZATION, "Bearer t2")],
                Some("t2"),
            ),
        ];
        for (pairs, expected) in table {
            assert_eq!(
                find(&headers(pairs), Some("access_token")),
                *expected,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn without_a_cookie_name_no_cookie_authenticates() {
        let both = headers(&[(COOKIE, "access_token=t1"), (AUTHORIZATION, "Bearer t2")]);
        assert_eq!(find(&both, None), Some("t2"));
        assert_eq!(find(&headers(&[(COOKIE, "access_token=t1")]), None), None);
    }

    proptest! {
        #[test]
        fn no_header_panics(cookie in "[\"=; a-c]{0,24}", authorization in "[Bear \"]{0,12}") {
            find(&headers(&[(COOKIE, &cookie), (AUTHORIZATION, &authorization)]), Some("a"));
        }
    }
}
