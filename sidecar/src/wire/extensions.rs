//! The value of Sec-WebSocket-Extensions (RFC 6455 section 9.1), read as its grammar says. What the
//! extensions mean is not known here.

use http::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS};

/// The header does not follow its grammar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

/// One element of the list: an extension with its parameters, in their order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Offer<'a> {
    pub(super) name: &'a str,
    pub(super) params: Vec<(&'a str, Option<String>)>,
}

/// All offers of a request, in the order of the client's preference. Several headers are one list
/// (section 9.1), and an empty element is none (RFC 9110 section 5.6.1).
pub(super) fn offers(headers: &HeaderMap) -> Result<Vec<Offer<'_>>, Malformed> {
    let mut offers = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let mut rest = Rest(value.to_str().map_err(|_| Malformed)?);
        while !rest.is_empty() {
            if !rest.take(',') {
                offers.push(rest.offer()?);
                if !rest.is_empty() && !rest.take(',') {
                    return Err(Malformed);
                }
            }
        }
    }
    Ok(offers)
}

/// What has not been read. The space before an item is never part of it.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn is_empty(&mut self) -> bool {
        self.skip_space();
        self.0.is_empty()
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// Takes this character if it is next.
    fn take(&mut self, character: char) -> bool {
        self.skip_space();
        let rest = self.0.strip_prefix(character);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn offer(&mut self) -> Result<Offer<'a>, Malformed> {
        let name = self.token()?;
        let mut params = Vec::new();
        while self.take(';') {
            let name = self.token()?;
            let value = if self.take('=') {
                Some(self.value()?)
            } else {
                None
            };
            params.push((name, value));
        }
        Ok(Offer { name, params })
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        self.skip_space();
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        if token.is_empty() {
            return Err(Malformed);
        }
        Ok(token)
    }

    /// A token, or a quoted string that holds one.
    fn value(&mut self) -> Result<String, Malformed> {
        if !self.take('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut characters = self.0.chars();
        loop {
            match characters.next().ok_or(Malformed)? {
                '"' => break,
                '\\' => value.push(characters.next().ok_or(Malformed)?),
                character => value.push(character),
            }
        }
        self.0 = characters.as_str();
        if value.is_empty() || !value.chars().all(is_token) {
            return Err(Malformed);
        }
        Ok(value)
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                SEC_WEBSOCKET_EXTENSIONS,
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    /// The offers, written in one way.
    fn read(values: &[&str]) -> Option<Vec<String>> {
        let headers = headers(values);
        let offers = offers(&headers).ok()?;
        let written = offers.iter().map(|offer| {
            let mut text = offer.name.to_owned();
            for (name, value) in &offer.params {
                text += &format!(";{name}");
                if let Some(value) = value {
                    text += &format!("={value}");
                }
            }
            text
        });
        Some(written.collect())
    }

    #[test]
    fn reads_lists() {
        let table: [(&[&str], &[&str]); 9] = [
            (&[], &[]),
            (&[""], &[]),
            (&["foo"], &["foo"]),
            (&["foo, bar; baz=2"], &["foo", "bar;baz=2"]),
            (&["foo", " bar ;\tbaz = 2 "], &["foo", "bar;baz=2"]),
            (&[", foo,, bar ,"], &["foo", "bar"]),
            (&[r#"foo; a="10"; b="x\y""#], &["foo;a=10;b=xy"]),
            (&[r#"foo; a="\",bar""#, "x"], &[]),
            (&["foo; a; a; a=1"], &["foo;a;a;a=1"]),
        ];
        for (values, expected) in table {
            let expected: Vec<_> = expected.iter().map(|text| (*text).to_owned()).collect();
            let read = read(values);
            if values.len() == 2 && expected.is_empty() {
                // A quoted value must be a token, too.
                assert_eq!(read, None, "{values:?}");
            } else {
                assert_eq!(read, Some(expected), "{values:?}");
            }
        }
    }

    #[test]
    fn refuses_what_is_no_list() {
        for value in [
            ";",
            "foo bar",
            "foo;",
            "foo;=1",
            "foo; a=",
            "foo; a=\"",
            "foo; a=\"\"",
            "foo; a=\"b c\"",
            "foo; a=\"b\\",
            "foo; a=b c",
            "foo; a;;",
            "=",
            "foo=1",
            "(foo)",
            "foo/1",
        ] {
            assert_eq!(read(&[value]), None, "{value}");
        }
    }
}
