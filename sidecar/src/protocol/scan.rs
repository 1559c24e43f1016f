//! JSON objects read in one pass (RFC 8259): whether the text is valid, how deep it goes, and where each
//! member of the outermost object lies. Nothing is copied, and nothing of a member's inside is kept: most
//! messages are looked at just far enough to know where they go.
//!
//! The text must be valid UTF-8; of text messages the engine has checked that.

use std::borrow::Cow;

use wide::u8x16;

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Invalid {
    /// It is not one JSON object and nothing else.
    Json,
    /// It is nested too deeply.
    TooDeep,
}

/// Calls `each` with the name and the text of each member, in their order, up to where the text is found
/// to be invalid. Arrays and objects may be nested `max_depth` deep, the object itself with them. A name
/// whose escapes mean no character is given as an empty one.
pub(super) fn object<'a>(
    json: &'a [u8],
    max_depth: u16,
    mut each: impl FnMut(Cow<'a, [u8]>, &'a [u8]),
) -> Result<(), Invalid> {
    let mut text = Text { json, at: 0 };
    text.expect(b'{')?;
    let inner = max_depth.checked_sub(1).ok_or(Invalid::TooDeep)?;
    if !text.take(b'}') {
        loop {
            let name = text.name()?;
            text.space();
            let from = text.at;
            text.value(inner)?;
            each(name, &json[from..text.at]);
            if !text.take(b',') {
                break text.expect(b'}')?;
            }
        }
    }
    text.space();
    if text.at < json.len() {
        return Err(Invalid::Json);
    }
    Ok(())
}

/// A text, and how far it has been read.
struct Text<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    /// Reads one value, without space around it.
    fn value(&mut self, max_depth: u16) -> Result<(), Invalid> {
        let mut open = Open::default();
        loop {
            self.space();
            match self.next() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(first @ (b'[' | b'{')) => {
                    if open.depth == usize::from(max_depth) {
                        return Err(Invalid::TooDeep);
                    }
                    let is_object = first == b'{';
                    if !self.take(if is_object { b'}' } else { b']' }) {
                        open.push(is_object);
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b't') => self.word(b"rue")?,
                Some(b'f') => self.word(b"alse")?,
                Some(b'n') => self.word(b"ull")?,
                Some(first @ (b'-' | b'0'..=b'9')) => self.number(first)?,
                _ => return Err(Invalid::Json),
            }
            // A value has ended; with it end all that it was the last of.
            loop {
                let Some(is_object) = open.innermost() else {
                    return Ok(());
                };
                if self.take(b',') {
                    if is_object {
                        self.name()?;
                    }
                    break;
                }
                self.expect(if is_object { b'}' } else { b']' })?;
                open.pop();
            }
        }
    }

    /// Reads a member's name and the colon behind it.
    #[inline]
    fn name(&mut self) -> Result<Cow<'a, [u8]>, Invalid> {
        self.expect(b'"')?;
        let from = self.at;
        let escapes = self.string()?;
        let name = &self.json[from..self.at - 1];
        self.expect(b':')?;
        if escapes {
            let text: Result<String, _> =
                serde_json::from_slice(&self.json[from - 1..=from + name.len()]);
            return Ok(Cow::Owned(text.unwrap_or_default().into_bytes()));
        }
        Ok(Cow::Borrowed(name))
    }

    /// Reads a string whose opening quote has been read. Whether there are escapes in it.
    #[inline]
    fn string(&mut self) -> Result<bool, Invalid> {
        let mut escapes = false;
        loop {
            self.ordinary();
            match self.next() {
                Some(b'"') => return Ok(escapes),
                Some(b'\\') => self.escape()?,
                _ => return Err(Invalid::Json),
            }
            escapes = true;
        }
    }

    /// Passes over a string's bytes up to a quote, a backslash or a control character.
    #[inline]
    fn ordinary(&mut self) {
        while let Some(block) = self.json[self.at..].first_chunk() {
            let found = special(*block);
            if found != 0 {
                self.at += found.trailing_zeros() as usize;
                return;
            }
            self.at += BLOCK;
        }
        // The last block, once more, without what has been read of it.
        if let Some(block) = self.json.last_chunk() {
            let read = self.at + BLOCK - self.json.len();
            let found = special(*block) >> read << read;
            self.at = self.json.len() - BLOCK + found.trailing_zeros().min(BLOCK as u32) as usize;
            return;
        }
        while let Some(b' ' | b'!' | b'#'..=b'[' | b']'..) = self.peek() {
            self.at += 1;
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<(), Invalid> {
        match self.next() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                let digits = self.json.get(self.at..self.at + 4);
                self.at += 4;
                match digits {
                    Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(()),
                    _ => Err(Invalid::Json),
                }
            }
            _ => Err(Invalid::Json),
        }
    }

    /// Reads a number whose first byte has been read.
    fn number(&mut self, first: u8) -> Result<(), Invalid> {
        let leading = if first == b'-' {
            self.next()
        } else {
            Some(first)
        };
        match leading {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(Invalid::Json),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), Invalid> {
        match self.next() {
            Some(b'0'..=b'9') => {
                self.digits();
                Ok(())
            }
            _ => Err(Invalid::Json),
        }
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads the rest of a literal.
    fn word(&mut self, rest: &[u8]) -> Result<(), Invalid> {
        if !self.json[self.at..].starts_with(rest) {
            return Err(Invalid::Json);
        }
        self.at += rest.len();
        Ok(())
    }

    /// Reads this byte, after any space, or fails.
    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Invalid> {
        if self.take(byte) {
            return Ok(());
        }
        Err(Invalid::Json)
    }

    /// Reads this byte, after any space, if it is the next.
    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }
}

/// Bytes of a string looked at together: what one register holds.
const BLOCK: usize = 16;

/// A bit for each byte that is a quote, a backslash or a control character, the first in the lowest.
#[inline]
fn special(block: [u8; BLOCK]) -> u32 {
    let bytes = u8x16::from(block);
    let is = |byte| bytes.simd_eq(u8x16::splat(byte));
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    (is(b'"') | is(b'\\') | control).to_bitmask()
}

/// What is open around a value, a bit each: objects are ones, arrays zeros. Takes no memory for 64.
#[derive(Default)]
struct Open {
    depth: usize,
    /// The innermost ones, the last in the lowest bit.
    bits: u64,
    /// Those further out.
    outer: Vec<u64>,
}

impl Open {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth > 0
            && self.depth.is_multiple_of(64)
            && let Some(bits) = self.outer.pop()
        {
            self.bits = bits;
        }
    }

    /// Whether it is an object; None when nothing is open.
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn members(json: &[u8], max_depth: u16) -> Result<Vec<(String, &[u8])>, Invalid> {
        let mut found = Vec::new();
        object(json, max_depth, |name, value| {
            found.push((String::from_utf8(name.into_owned()).unwrap(), value));
        })?;
        Ok(found)
    }

    #[test]
    fn members_lie_where_they_are_written() {
        let json = br#" { "a" : 1.5e-3 , "b\"":[ {"c":"]}"} ,null],"":"\u00e9" } "#;
        let expected: [(&str, &[u8]); 3] = [
            ("a", b"1.5e-3"),
            ("b\"", br#"[ {"c":"]}"} ,null]"#),
            ("", br#""\u00e9""#),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(members(json, 3).unwrap(), expected);
        assert_eq!(members(b"{}", 1).unwrap(), []);
    }

    #[test]
    fn depth_is_counted_with_the_object_itself() {
        for depth in [1, 2, 63, 64, 65, 66, 128, 129, 130, 200] {
            let inner = depth - 1;
            let json = format!("{{\"a\":{}1{}}}", "[".repeat(inner), "]".repeat(inner));
            let crossed = format!("{{\"a\":{}1{}}}", "[".repeat(inner), "}".repeat(inner));
            let depth = depth as u16;
            assert!(members(json.as_bytes(), depth).is_ok(), "{depth}");
            assert_eq!(members(json.as_bytes(), depth - 1), Err(Invalid::TooDeep));
            assert_eq!(members(crossed.as_bytes(), depth).is_ok(), depth == 1);
        }
    }

    /// Texts that are JSON, or nearly: a few bytes of one are replaced.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
            "\"([ -!#-\\[\\]-~é€]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}){0,20}\"",
        ];
        let value = leaf.prop_recursive(4, 24, 4, |inner| {
            let member =
                ("\"[a-z\\\\\"]{0,3}\"", inner.clone()).prop_map(|(k, v)| format!("{k} :{v}"));
            let list = |item: BoxedStrategy<String>| prop::collection::vec(item, 0..4);
            prop_oneof![
                list(inner.boxed()).prop_map(|all| format!("[{}]", all.join(", "))),
                list(member.boxed()).prop_map(|all| format!("{{{}}}", all.join("\n,"))),
            ]
        });
        let bytes = prop_oneof![
            3 => prop::sample::select(&b"{}[]\",:\\ \n\t0-1.eEtfnu\x00\x1f"[..]),
            1 => 0..0x80_u8,
        ];
        let damage = prop::collection::vec((any::<prop::sample::Index>(), bytes), 0..3);
        (value, damage).prop_map(|(text, damage)| {
            let mut bytes = text.into_bytes();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde(text in text()) {
            prop_assume!(std::str::from_utf8(&text).is_ok());
            let raw: Option<BTreeMap<String, Box<RawValue>>> = serde_json::from_slice(&text).ok();
            let found = members(&text, 99);
            prop_assert_eq!(found.is_ok(), raw.is_some());
            let ours: BTreeMap<_, _> = found.into_iter().flatten().collect();
            let theirs = raw.unwrap_or_default();
            let theirs = theirs.iter().map(|(name, value)| (name.clone(), value.get().as_bytes()));
            prop_assert_eq!(ours, theirs.collect());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = members(&bytes, 4);
        }

        #[test]
        fn ordinary_text_ends_at_the_first_special_byte(text in "[ -!#-\\[\\]-~é€]{0,40}", special in prop::sample::select(&b"\"\\\x00\x1f"[..]), rest in prop::collection::vec(any::<u8>(), 0..20)) {
            let json = [text.as_bytes(), &[special], &rest].concat();
            let mut scan = Text { json: &json, at: 0 };
            scan.ordinary();
            prop_assert_eq!(scan.at, text.len());
        }
    }
}
