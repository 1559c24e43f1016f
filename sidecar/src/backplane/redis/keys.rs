//! How keys and channels are named. Everything of a topic lies in its partition, and a partition is
//! one Redis hash slot, because the part of a name in braces is all that Redis hashes:
//!
//! | name | kind | holds |
//! |---|---|---|
//! | `wse:{<ns>/<name>:p<k>}:m:<topic>` | hash | the topic's epoch and offset |
//! | `wse:{<ns>/<name>:p<k>}:h:<topic>` | stream | its history; ids are `<offset>-<partition's sequence>` |
//! | `wse:{<ns>/<name>:p<k>}:i:<bytes>:<topic>:<key>` | string | position of the publish with that idempotency key |
//! | `wse:{<ns>/<name>:p<k>}:p` | hash | the partition's epoch and sequence |
//! | `wse:{<ns>/<name>:p<k>}:r` | sorted set | topics by the sequence of their last publication |
//! | `wse:{<ns>/<name>:p<k>}:w:<instance>` | hash | what became of one gateway's last publishes |
//! | `wse:{<ns>/<name>:p<k>}:t:<topic>` | channel | the topic's publications |
//! | `wse:{<ns>/<name>:p<k>}:f` | channel | the publications of the whole partition |
//! | `wse:{<ns>/<name>:n}:nodes` | sorted set | leases |
//! | `wse:{<ns>/<name>:n}:all` | channel | control requests to every pod |
//! | `wse:{<ns>/<name>:n}:to:<node>` | channel | control requests and replies to one pod |
//!
//! The partition of a topic is FNV-1a, 64 bits, of its name, modulo the number of partitions. It is
//! part of what is stored: it never changes.

use crate::backplane::NodeId;
use crate::topic::Topic;

/// Names of one fleet's keys and channels.
#[derive(Debug)]
pub(super) struct Keys {
    /// `wse:{<namespace>/<name>:`
    prefix: Box<str>,
    partitions: u16,
}

/// What a channel is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Channel {
    Control,
    Firehose,
    Topic,
}

impl Keys {
    /// `partitions` is at least 1.
    pub(super) fn new(cluster: &str, partitions: u16) -> Self {
        // A brace in the name would move the end of the hash tag.
        let cluster = cluster.replace(['{', '}'], "_");
        Self {
            prefix: format!("wse:{{{cluster}:").into(),
            partitions,
        }
    }

    pub(super) fn partitions(&self) -> std::ops::Range<u16> {
        0..self.partitions
    }

    pub(super) fn partition(&self, topic: &Topic) -> u16 {
        let hash = fnv1a(topic.as_str().as_bytes()) % u64::from(self.partitions);
        u16::try_from(hash).expect("a remainder is smaller than its u16 divisor")
    }

    pub(super) fn position(&self, k: u16, topic: &Topic) -> String {
        format!("{}p{k}}}:m:{topic}", self.prefix)
    }

    pub(super) fn history(&self, k: u16, topic: &Topic) -> String {
        format!("{}p{k}}}:h:{topic}", self.prefix)
    }

    pub(super) fn idempotency(&self, k: u16, topic: &Topic, key: &str) -> String {
        let length = topic.as_str().len();
        format!("{}p{k}}}:i:{length}:{topic}:{key}", self.prefix)
    }

    pub(super) fn partition_position(&self, k: u16) -> String {
        format!("{}p{k}}}:p", self.prefix)
    }

    pub(super) fn recent(&self, k: u16) -> String {
        format!("{}p{k}}}:r", self.prefix)
    }

    pub(super) fn window(&self, k: u16, instance: &str) -> String {
        format!("{}p{k}}}:w:{instance}", self.prefix)
    }

    pub(super) fn topic_channel(&self, k: u16, topic: &Topic) -> String {
        format!("{}p{k}}}:t:{topic}", self.prefix)
    }

    pub(super) fn firehose(&self, k: u16) -> String {
        format!("{}p{k}}}:f", self.prefix)
    }

    pub(super) fn nodes(&self) -> String {
        format!("{}n}}:nodes", self.prefix)
    }

    pub(super) fn all_nodes(&self) -> String {
        format!("{}n}}:all", self.prefix)
    }

    pub(super) fn to_node(&self, node: &NodeId) -> String {
        format!("{}n}}:to:{node}", self.prefix)
    }

    /// What a channel is for, and of a partition's channel the partition. None: not of this fleet.
    pub(super) fn channel(&self, name: &[u8]) -> Option<(Channel, u16)> {
        let rest = name.strip_prefix(self.prefix.as_bytes())?;
        let tag_end = rest.iter().position(|&byte| byte == b'}')?;
        let (tag, rest) = (&rest[..tag_end], rest.get(tag_end + 2..)?);
        if tag == b"n" {
            return Some((Channel::Control, 0));
        }
        let k: u16 = std::str::from_utf8(tag.strip_prefix(b"p")?)
            .ok()?
            .parse()
            .ok()?;
        match rest {
            _ if k >= self.partitions => None,
            b"f" => Some((Channel::Firehose, k)),
            [b't', b':', ..] => Some((Channel::Topic, k)),
            _ => None,
        }
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // Test vectors of the FNV draft's appendix.
        for (text, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(fnv1a(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn a_topic_keeps_its_partition() {
        let keys = Keys::new("default/chat", 16);
        for (topic, k) in [("chat.a", 10), ("chat.b", 7), ("$all", 6)] {
            assert_eq!(keys.partition(&Topic::trusted(topic)), k, "{topic}");
        }
    }

    /// The text between the first `{` and the next `}`, as Redis takes it (cluster specification,
    /// hash tags).
    fn tag(key: &str) -> &str {
        let (_, rest) = key.split_once('{').unwrap();
        rest.split_once('}').unwrap().0
    }

    proptest! {
        #[test]
        fn all_of_a_topic_is_in_one_slot(
            cluster in "[a-z{}]{1,9}/[a-z{}]{1,9}",
            topic in "[ -~]{1,40}",
            key in "[ -~]{1,40}",
            partitions in 1..64_u16,
        ) {
            let keys = Keys::new(&cluster, partitions);
            let topic = Topic::trusted(&topic);
            let k = keys.partition(&topic);
            prop_assert!(k < partitions);
            let names = [
                keys.position(k, &topic),
                keys.history(k, &topic),
                keys.idempotency(k, &topic, &key),
                keys.partition_position(k),
                keys.recent(k),
                keys.window(k, "instance"),
                keys.topic_channel(k, &topic),
                keys.firehose(k),
            ];
            for name in &names {
                prop_assert_eq!(tag(name), tag(&names[0]));
                prop_assert!(name.is_ascii());
            }
            prop_assert_ne!(tag(&names[0]), "");
        }

        #[test]
        fn channels_are_told_apart(topic in "[ -~]{1,40}", partitions in 1..64_u16) {
            let keys = Keys::new("ns/name", partitions);
            let topic = Topic::trusted(&topic);
            let k = keys.partition(&topic);
            let named = |name: String| keys.channel(name.as_bytes());
            prop_assert_eq!(named(keys.topic_channel(k, &topic)), Some((Channel::Topic, k)));
            prop_assert_eq!(named(keys.firehose(k)), Some((Channel::Firehose, k)));
            prop_assert_eq!(named(keys.all_nodes()), Some((Channel::Control, 0)));
            prop_assert_eq!(named(keys.to_node(&NodeId::new("a"))), Some((Channel::Control, 0)));
        }

        #[test]
        fn any_channel_name_is_read_without_harm(name in proptest::collection::vec(any::<u8>(), 0..60)) {
            let keys = Keys::new("ns/name", 4);
            let _ = keys.channel(&name);
            let mut near = b"wse:{ns/name:".to_vec();
            near.extend(name);
            let _ = keys.channel(&near);
        }
    }
}
