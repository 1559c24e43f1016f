//! What pods ask each other about their sessions. MessagePack maps with names, so that pods of
//! neighbouring releases understand each other: a field more is skipped, and a question that a pod
//! does not know is answered with [`Reply::Unknown`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ConnectionInfo;

/// A question to one pod, and from it to each of its reactors.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Question {
    /// One session.
    Connection {
        /// Its id.
        id: String,
    },
    /// Sessions, of one user or of all.
    Connections {
        /// Whose.
        user: Option<String>,
        /// How many at most.
        limit: usize,
    },
    /// Close sessions.
    Disconnect {
        /// Whose.
        target: Target,
        /// Close code.
        code: u16,
        /// Close reason.
        reason: String,
    },
    /// Send an envelope to one session.
    Send {
        /// Its id.
        id: String,
        /// The envelope.
        envelope: Bytes,
    },
    /// Subscribers of one topic.
    Topic {
        /// Its name.
        name: String,
    },
    /// Topics that have subscribers, the largest first.
    Topics {
        /// What their names begin with.
        prefix: String,
        /// How many at most.
        limit: usize,
    },
}

/// One or all sessions of a user, on the wire.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Target {
    /// One session's id.
    Connection(String),
    /// A user.
    User(String),
}

/// An answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Reply {
    /// To `Connection` and `Connections`.
    Connections(Vec<ConnectionInfo>),
    /// To `Disconnect`, `Send` and `Topic`: sessions closed, sent to, subscribed.
    Count(u64),
    /// A reactor had no room for the question, and the others do not make up for it.
    Full,
    /// To `Topics`: names and subscribers, the largest first.
    Topics(Vec<(String, u64)>),
    /// The question was not understood.
    Unknown,
}

impl Question {
    /// The reply of a pod without reactors that hold anything.
    pub(super) fn nothing(&self) -> Reply {
        match self {
            Self::Connection { .. } | Self::Connections { .. } => Reply::Connections(Vec::new()),
            Self::Disconnect { .. } | Self::Send { .. } | Self::Topic { .. } => Reply::Count(0),
            Self::Topics { .. } => Reply::Topics(Vec::new()),
        }
    }

    /// What it weighs in a reactor's inbox, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Connection { id } => id.len(),
                Self::Connections { user, .. } => user.as_ref().map_or(0, String::len),
                Self::Disconnect { target, reason, .. } => target.bytes() + reason.len(),
                Self::Send { id, envelope } => id.len() + envelope.len(),
                Self::Topic { name } => name.len(),
                Self::Topics { prefix, .. } => prefix.len(),
            }
    }

    /// Whether no other reactor can add anything to this reply: it is about one session, which was found.
    pub(super) fn is_answered_by(&self, reply: &Reply) -> bool {
        let is_of_one = matches!(
            self,
            Self::Connection { .. }
                | Self::Send { .. }
                | Self::Disconnect {
                    target: Target::Connection(_),
                    ..
                }
        );
        is_of_one && *reply != self.nothing()
    }

    /// How many entries a listing may have.
    pub(super) fn limit(&self) -> usize {
        match self {
            Self::Connections { limit, .. } | Self::Topics { limit, .. } => *limit,
            _ => usize::MAX,
        }
    }
}

impl Target {
    fn bytes(&self) -> usize {
        match self {
            Self::Connection(text) | Self::User(text) => text.len(),
        }
    }
}

impl Reply {
    /// Puts the replies of two reactors, or two pods, together. None when they do not fit together,
    /// which only a reply to something else can cause.
    pub(super) fn join(self, other: Self, limit: usize) -> Option<Self> {
        Some(match (self, other) {
            (Self::Connections(mut all), Self::Connections(more)) => {
                all.extend(more);
                all.truncate(limit);
                Self::Connections(all)
            }
            (Self::Count(one), Self::Count(other)) => Self::Count(one.saturating_add(other)),
            (Self::Topics(one), Self::Topics(other)) => Self::Topics(sum(one, other, limit)),
            _ => return None,
        })
    }
}

/// Adds what both lists say of the same topic, and keeps the largest.
fn sum(one: Vec<(String, u64)>, other: Vec<(String, u64)>, limit: usize) -> Vec<(String, u64)> {
    let mut by_name = hashbrown::HashMap::new();
    for (name, subscribers) in one.into_iter().chain(other) {
        *by_name.entry(name).or_insert(0) += subscribers;
    }
    let mut all: Vec<_> = by_name.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(limit);
    all
}

/// Writes a question or a reply.
pub(super) fn encode(value: &impl Serialize) -> Bytes {
    // Neither type has a map key or a number that MessagePack could refuse.
    rmp_serde::to_vec_named(value)
        .expect("questions and replies are serializable")
        .into()
}

/// Reads a question or a reply. None when it is none that this release knows.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let question = Question::Send {
            id: "pod.1".into(),
            envelope: Bytes::from_static(b"{\"t\":\"x\"}"),
        };
        assert_eq!(decode(&encode(&question)), Some(question));
        let reply = Reply::Topics(vec![("a".into(), 2)]);
        assert_eq!(decode(&encode(&reply)), Some(reply));
    }

    #[test]
    fn a_question_of_a_later_release_is_not_understood_and_a_field_more_is_skipped() {
        #[derive(Serialize)]
        enum Later {
            Rename { id: String },
            Topic { name: String, deep: bool },
        }
        let unknown = encode(&Later::Rename { id: "x".into() });
        assert_eq!(decode::<Question>(&unknown), None);
        let more = encode(&Later::Topic {
            name: "a".into(),
            deep: true,
        });
        assert_eq!(decode(&more), Some(Question::Topic { name: "a".into() }));
    }

    #[test]
    fn replies_join_by_sum_and_limit() {
        let topics = |list: &[(&str, u64)]| {
            Reply::Topics(list.iter().map(|(name, n)| ((*name).into(), *n)).collect())
        };
        assert_eq!(
            topics(&[("a", 2), ("b", 3)]).join(topics(&[("c", 9), ("a", 2)]), 2),
            Some(topics(&[("c", 9), ("a", 4)]))
        );
        assert_eq!(
            Reply::Count(1).join(Reply::Count(2), 0),
            Some(Reply::Count(3))
        );
        assert_eq!(Reply::Count(1).join(Reply::Unknown, 9), None);
    }
}
