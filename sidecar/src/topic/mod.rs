//! Topic names and patterns: pure text, no subscriptions. `auth` grants by pattern, `hub` routes by
//! both, `backplane` names its channels after topics.
//!
//! Besides the topics that clients name there are reserved ones beginning with `$`: one per user, and
//! one that every session has. No client can name them and no pattern matches them.

mod glob;
mod name;

pub use self::glob::Pattern;
pub use self::name::{Topic, TopicError};
