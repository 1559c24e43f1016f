//! A topic's name.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A valid topic name. Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Parses a name that a client or a backend gave.
    ///
    /// # Errors
    /// When it is empty, longer than `max_bytes`, reserved (`$...`), holds an ASCII control
    /// character, or holds `*` or `?`: that is a [`Pattern`](super::Pattern).
    pub fn parse(name: &str, max_bytes: usize) -> Result<Self, TopicError> {
        check(name, max_bytes)?;
        if name.contains(['*', '?']) {
            return Err(TopicError::Wildcard);
        }
        Ok(Self(name.into()))
    }

    /// The reserved topic that reaches every session of a user.
    pub fn user(user: &str) -> Self {
        Self(format!("$user:{user}").into())
    }

    /// The reserved topic that reaches every session.
    pub fn all() -> Self {
        Self("$all".into())
    }

    /// A name that another pod of the fleet sent: valid or reserved, and not checked again.
    pub fn trusted(name: &str) -> Self {
        Self(name.into())
    }

    /// Whether this is one of the topics that no client can name.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no topic or pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TopicError {
    /// An ASCII control character.
    #[error("a topic name must not contain control characters")]
    Control,
    /// The empty text.
    #[error("a topic name must not be empty")]
    Empty,
    /// Begins with `$`.
    #[error("topic names that begin with `$` are reserved")]
    Reserved,
    /// Longer than the limit.
    #[error("the topic name is longer than the limit")]
    TooLong,
    /// A pattern where a topic is needed.
    #[error("a pattern cannot be used here; name one topic")]
    Wildcard,
}

/// What holds for names and patterns alike.
pub(super) fn check(text: &str, max_bytes: usize) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > max_bytes {
        return Err(TopicError::TooLong);
    }
    if text.starts_with('$') {
        return Err(TopicError::Reserved);
    }
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(TopicError::Control);
    }
    Ok(())
}
