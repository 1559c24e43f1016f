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

/// The name of a member, as it is written between its quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    inside: &'a [u8],
    escapes: bool,
}

impl<'a> Name<'a> {
    /// Itself; None when it has escapes.
    #[inline]
    pub(super) fn plain(self) -> Option<&'a [u8]> {
        (!self.escapes).then_some(self.inside)
    }

    /// What it means. One whose escapes mean no character is an empty one.
    pub(super) fn text(self) -> Cow<'a, [u8]> {
        if let Some(plain) = self.plain() {
            return Cow::Borrowed(plain);
        }
        let quoted = [b"\"", self.inside, b"\""].concat();
        let text: Result<String, _> = serde_json::from_slice(&quoted);
        Cow::Owned(text.unwrap_or_default().into_bytes())
    }
}

/// Calls `each` with the name and the text of each member, in their order, up to where the text is found
/// to be invalid. Arrays and objects may be nested `max_depth` deep, the object itself with them.
#[inline]
pub(super) fn object<'a>(
    json: &'a [u8],
    max_depth: u16,
    mut each: impl FnMut(Name<'a>, &'a [u8]),
) -> Result<(), Invalid> {
    let mut text = Text::new(json);
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

/// A text, and how far it has been read. Inlined wherever it is used, so that it lives in registers.
#[derive(Clone, Copy)]
struct Text<'a> {
    json: &'a [u8],
    at: usize,
    /// Where the block begins that has been looked at last.
    block: usize,
    /// A bit for each special byte of it.
    special: u64,
}

impl<'a> Text<'a> {
    #[inline(always)]
    fn new(json: &'a [u8]) -> Self {
        Self {
            json,
            at: 0,
            block: 0,
            special: special(json, 0),
        }
    }

    /// Reads one value, without space around it.
    #[inline(always)]
    fn value(&mut self, max_depth: u16) -> Result<(), Invalid> {
        match self.json.get(self.at) {
            Some(b'"') => {
                self.at += 1;
                self.string()?;
            }
            Some(b'[' | b'{') => *self = self.nested(max_depth)?,
            Some(first) => {
                self.at = literal(self.json, self.at + 1, *first).ok_or(Invalid::Json)?;
            }
            None => return Err(Invalid::Json),
        }
        Ok(())
    }

    /// Reads a value that may hold others. Apart, so that those that hold none keep to registers.
    #[inline(never)]
    fn nested(mut self, max_depth: u16) -> Result<Self, Invalid> {
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
                Some(first) => self.at = literal(self.json, self.at, first).ok_or(Invalid::Json)?,
                None => return Err(Invalid::Json),
            }
            // A value has ended; with it end all that it was the last of.
            loop {
                let Some(is_object) = open.innermost() else {
                    return Ok(self);
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
    #[inline(always)]
    fn name(&mut self) -> Result<Name<'a>, Invalid> {
        self.expect(b'"')?;
        let from = self.at;
        let escapes = self.string()?;
        let inside = &self.json[from..self.at - 1];
        self.expect(b':')?;
        Ok(Name { inside, escapes })
    }

    /// Reads a string whose opening quote has been read. Whether there are escapes in it.
    #[inline(always)]
    fn string(&mut self) -> Result<bool, Invalid> {
        let mut escapes = false;
        loop {
            self.ordinary();
            match self.next() {
                Some(b'"') => return Ok(escapes),
                Some(b'\\') => self.at = escape(self.json, self.at).ok_or(Invalid::Json)?,
                _ => return Err(Invalid::Json),
            }
            escapes = true;
        }
    }

    /// Passes over a string's bytes, up to a quote, a backslash or a control character.
    #[inline(always)]
    fn ordinary(&mut self) {
        loop {
            if self.at >= self.block + BLOCK {
                self.block = self.at;
                self.special = special(self.json, self.at);
            }
            let ahead = self.special >> (self.at - self.block);
            if ahead != 0 {
                self.at += ahead.trailing_zeros() as usize;
                return;
            }
            self.at = self.json.len().min(self.block + BLOCK);
            if self.at == self.json.len() {
                return;
            }
        }
    }

    /// Reads this byte, after any space, or fails.
    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), Invalid> {
        if self.take(byte) {
            return Ok(());
        }
        Err(Invalid::Json)
    }

    /// Reads this byte, after any space, if it is the next.
    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let is_next = |at: usize| self.json.get(at) == Some(&byte);
        if !is_next(self.at) && (!self.space() || !is_next(self.at)) {
            return false;
        }
        self.at += 1;
        true
    }

    /// Passes over space; whether there was something to look at.
    #[inline(always)]
    fn space(&mut self) -> bool {
        let may_be = matches!(self.json.get(self.at), Some(0..=b' '));
        if may_be {
            self.at = behind_space(self.json, self.at);
        }
        may_be
    }

    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        let byte = *self.json.get(self.at)?;
        self.at += 1;
        Some(byte)
    }
}

/// Where what follows the space begins. Most clients send none.
#[cold]
fn behind_space(json: &[u8], at: usize) -> usize {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    at + json[at..].iter().take_while(is_space).count()
}

/// Reads what follows a backslash; gives where that ends.
fn escape(json: &[u8], at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = json.get(at + 1..at + 5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
        }
        _ => None,
    }
}

/// Reads a number or a word whose first byte has been read; gives where it ends.
fn literal(json: &[u8], at: usize, first: u8) -> Option<usize> {
    let word = |rest: &[u8]| json[at..].starts_with(rest).then_some(at + rest.len());
    match first {
        b'f' => word(b"alse"),
        b'n' => word(b"ull"),
        b't' => word(b"rue"),
        b'-' => number(json, at),
        _ => number(json, at - 1),
    }
}

/// Reads a number without its sign; gives where it ends.
fn number(json: &[u8], at: usize) -> Option<usize> {
    let digits = |at: usize| {
        let count = json[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        (count > 0).then_some(at + count)
    };
    let mut end = if json.get(at) == Some(&b'0') {
        at + 1
    } else {
        digits(at)?
    };
    if json.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = json.get(end) {
        let signed = matches!(json.get(end + 1), Some(b'+' | b'-'));
        end = digits(end + 1 + usize::from(signed))?;
    }
    Some(end)
}

/// Bytes looked at together: each is a bit of a word.
const BLOCK: usize = 64;

/// What one register holds of them.
const LANES: usize = 16;

/// A bit for each byte of the block that begins here, the first in the lowest: whether it is a quote, a
/// backslash or a control character. Behind the end there is none.
#[inline(never)]
fn special(json: &[u8], from: usize) -> u64 {
    let rest = &json[from..];
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512bw") {
        #[allow(unsafe_code)]
        // SAFETY: the function needs nothing but AVX-512BW, which the processor has just been seen to
        // have.
        return unsafe { avx512(rest) };
    }
    portable(json, rest)
}

/// The same with AVX-512, where a block is one register and each comparison gives its word.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw")]
fn avx512(rest: &[u8]) -> u64 {
    use std::arch::x86_64::{
        _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_maskz_loadu_epi8, _mm512_set1_epi8,
    };
    let count = rest.len().min(BLOCK) as u32;
    let there = u64::MAX.checked_shr(u64::BITS - count).unwrap_or(0);
    #[allow(unsafe_code)]
    // SAFETY: it reads the bytes whose bits are set in the mask, and those are the slice's.
    let bytes = unsafe { _mm512_maskz_loadu_epi8(there, rest.as_ptr().cast()) };
    let is = |byte: u8| _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte as i8));
    let control = _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(b' ' as i8));
    there & (is(b'"') | is(b'\\') | control)
}

/// Compiled for what every processor of the target has: SSE2 on x86-64, NEON on aarch64.
fn portable(json: &[u8], rest: &[u8]) -> u64 {
    if let Some(block) = rest.first_chunk() {
        return in_block(block);
    }
    // The text's last block, of which some has been read before.
    if let Some(block) = json.last_chunk() {
        return in_block(block)
            .checked_shr((BLOCK - rest.len()) as u32)
            .unwrap_or(0);
    }
    in_short(rest)
}

#[inline(always)]
fn in_block(block: &[u8; BLOCK]) -> u64 {
    in_lanes(block.as_chunks().0)
}

/// The same in a text of less than a block.
fn in_short(text: &[u8]) -> u64 {
    let (lanes, last) = text.as_chunks();
    let found = match text.last_chunk() {
        // Of this lane too some has been read before.
        Some(lane) => in_lane(*lane) >> (LANES - last.len()),
        None => {
            let mut lane = [b' '; LANES];
            lane[..last.len()].copy_from_slice(last);
            in_lane(lane)
        }
    };
    in_lanes(lanes) | u64::from(found) << (text.len() - last.len())
}

#[inline(always)]
fn in_lanes(lanes: &[[u8; LANES]]) -> u64 {
    let bits = lanes.iter().enumerate();
    bits.fold(0, |all, (number, lane)| {
        all | u64::from(in_lane(*lane)) << (number * LANES)
    })
}

#[inline(always)]
fn in_lane(lane: [u8; LANES]) -> u32 {
    let bytes = u8x16::from(lane);
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
            found.push((String::from_utf8(name.text().into_owned()).unwrap(), value));
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

    #[test]
    fn both_ways_see_the_same_bytes_of_a_block() {
        let source: Vec<u8> = (0..200_u8).map(|i| i.wrapping_mul(7)).collect();
        for length in 0..source.len() {
            for from in 0..=length {
                let json = &source[..length];
                let portable = portable(json, &json[from..]);
                assert_eq!(special(json, from), portable, "{from} of {length}");
            }
        }
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
        fn ordinary_text_ends_at_the_first_special_byte(text in "[ -!#-\\[\\]-~é€]{0,150}", special in prop::sample::select(&b"\"\\\x00\x1f"[..]), rest in prop::collection::vec(any::<u8>(), 0..90)) {
            let json = [text.as_bytes(), &[special], &rest].concat();
            let mut read = Text::new(&json);
            read.ordinary();
            prop_assert_eq!(read.at, text.len());
        }
    }
}
