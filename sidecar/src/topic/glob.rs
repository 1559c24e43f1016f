//! WSE's globs: `*` is any run of bytes, anywhere, the empty one too; `?` is one byte
//! (wse-protocol 2, topic ACL).

use std::fmt;
use std::sync::Arc;

use super::name::{Topic, TopicError, check};

/// A valid topic pattern, or a plain topic name, which matches itself. Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Parses a pattern that a client, a token or a policy gave. The same pattern has one spelling:
    /// runs of `*` are folded into one.
    ///
    /// # Errors
    /// As [`Topic::parse`], but `*` and `?` are allowed.
    pub fn parse(text: &str, max_bytes: usize) -> Result<Self, TopicError> {
        check(text, max_bytes)?;
        let mut folded = text.to_owned();
        let mut after_star = false;
        folded.retain(|character| {
            let doubled = after_star && character == '*';
            after_star = character == '*';
            !doubled
        });
        Ok(Self(folded.into()))
    }

    /// Whether the topic is one of those meant. Reserved topics never are.
    pub fn matches(&self, topic: &Topic) -> bool {
        !topic.is_reserved() && matches(self.0.as_bytes(), topic.as_str().as_bytes())
    }

    /// Whether every topic that `other` matches is matched by this pattern too, as far as text can
    /// tell: `*` here covers any run of `other`'s characters and wildcards, `?` covers one character
    /// or one `?`. Never true wrongly.
    pub fn covers(&self, other: &Self) -> bool {
        // `other`'s `*` may stand for nothing or for many, so only a `*` covers it: matching the
        // pattern's text byte by byte says exactly that once `?` is kept from covering a `*`.
        covers(self.0.as_bytes(), other.0.as_bytes())
    }

    /// What every matching topic begins with: the text before the first wildcard.
    pub fn literal_prefix(&self) -> &str {
        let end = self.0.find(['*', '?']).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// Whether it has a wildcard at all.
    pub fn is_wild(&self) -> bool {
        self.0.contains(['*', '?'])
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    walk(pattern, text, |wanted, byte| {
        wanted == b'?' || wanted == byte
    })
}

fn covers(pattern: &[u8], other: &[u8]) -> bool {
    walk(pattern, other, |wanted, byte| {
        wanted == byte || (wanted == b'?' && byte != b'*')
    })
}

/// Greedy matching with one point to come back to: time is at most the product of the lengths, so a
/// hostile pattern cannot blow up.
fn walk(pattern: &[u8], text: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&wanted) if same(wanted, text[t]) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                retry = Some((after_star, from + 1));
                p = after_star;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, 255).unwrap()
    }

    fn topic(text: &str) -> Topic {
        Topic::parse(text, 255).unwrap()
    }

    #[test]
    fn a_star_is_any_run_and_a_question_mark_one_byte() {
        for (glob, name, expected) in [
            ("chat.*", "chat.a", true),
            ("chat.*", "chat.", true),
            ("chat.*", "chat", false),
            ("*", "anything.at.all", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("*.b.*", "a.b.b.c", true),
            ("?", "a", true),
            ("?", "ab", false),
            ("a?c", "abc", true),
            ("plain", "plain", true),
            ("plain", "plainer", false),
        ] {
            assert_eq!(
                pattern(glob).matches(&topic(name)),
                expected,
                "{glob} {name}"
            );
        }
    }

    #[test]
    fn no_pattern_matches_a_reserved_topic() {
        assert!(!pattern("*").matches(&Topic::all()));
        assert!(!pattern("?user:*").matches(&Topic::user("ada")));
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow, expected) in [
            ("chat.*", "chat.room.*", true),
            ("chat.*", "chat.room.1", true),
            ("chat.*", "*", false),
            ("chat.?", "chat.*", false),
            ("chat.?", "chat.?", true),
            ("*", "?", true),
            ("a*", "a?", true),
            ("*a*", "ba", true),
        ] {
            assert_eq!(
                pattern(wide).covers(&pattern(narrow)),
                expected,
                "{wide} {narrow}"
            );
        }
    }

    #[test]
    fn bad_names_are_told_apart() {
        assert_eq!(Topic::parse("", 9), Err(TopicError::Empty));
        assert_eq!(Topic::parse("0123456789", 9), Err(TopicError::TooLong));
        assert_eq!(Topic::parse("$all", 9), Err(TopicError::Reserved));
        assert_eq!(Topic::parse("a\nb", 9), Err(TopicError::Control));
        assert_eq!(Topic::parse("a*", 9), Err(TopicError::Wildcard));
    }

    proptest! {
        #[test]
        fn what_is_covered_is_matched(wide in "[ab*?]{1,6}", narrow in "[ab*?]{1,6}", name in "[ab]{1,8}") {
            let (wide, narrow, name) = (pattern(&wide), pattern(&narrow), topic(&name));
            if wide.covers(&narrow) && narrow.matches(&name) {
                prop_assert!(wide.matches(&name));
            }
        }

        #[test]
        fn what_matches_begins_with_the_literal_prefix(glob in "[ab*?]{1,6}", name in "[ab]{1,8}") {
            let (glob, name) = (pattern(&glob), topic(&name));
            if glob.matches(&name) {
                prop_assert!(name.as_str().starts_with(glob.literal_prefix()));
            }
        }
    }
}
