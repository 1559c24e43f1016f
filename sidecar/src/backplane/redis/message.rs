//! What travels on the channels of topics and partitions, written by `publish.lua`, read here.
//! Big-endian: version u8, epoch u32, offset u64, partition's epoch u32, partition's sequence u64,
//! length of the topic u16, topic, payload.

use bytes::{Buf, Bytes};

use crate::backplane::Position;

const VERSION: u8 = 1;

/// Bytes before the topic.
const HEADER_BYTES: usize = 1 + 4 + 8 + 4 + 8 + 2;

/// One publication as it arrives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Message {
    /// Its place in the topic's stream.
    pub(super) position: Position,
    /// Its place among all publications of the partition.
    pub(super) place: Position,
    topic: Bytes,
    pub(super) payload: Bytes,
}

impl Message {
    /// None when no gateway could have sent it.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || bytes.get_u8() != VERSION {
            return None;
        }
        let mut position = || Position {
            epoch: bytes.get_u32(),
            offset: bytes.get_u64(),
        };
        let (position, place) = (position(), position());
        let length = usize::from(bytes.get_u16());
        if bytes.len() < length || position.offset == 0 || place.offset == 0 {
            return None;
        }
        let topic = bytes.split_to(length);
        std::str::from_utf8(&topic).ok()?;
        Some(Self {
            position,
            place,
            topic,
            payload: bytes,
        })
    }

    pub(super) fn topic(&self) -> &str {
        std::str::from_utf8(&self.topic).expect("decode checked it")
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::*;

    fn encode(message: &Message) -> Bytes {
        let mut bytes = Vec::new();
        bytes.put_u8(VERSION);
        for position in [message.position, message.place] {
            bytes.put_u32(position.epoch);
            bytes.put_u64(position.offset);
        }
        bytes.put_u16(u16::try_from(message.topic.len()).unwrap());
        bytes.put_slice(&message.topic);
        bytes.put_slice(&message.payload);
        bytes.into()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            (epoch, offset, partition_epoch, sequence) in (any::<u32>(), 1..u64::MAX, any::<u32>(), 1..u64::MAX),
            topic in "\\PC{1,40}",
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            cut in any::<proptest::sample::Index>(),
        ) {
            let message = Message {
                position: Position { epoch, offset },
                place: Position { epoch: partition_epoch, offset: sequence },
                topic: topic.clone().into(),
                payload: payload.into(),
            };
            let bytes = encode(&message);
            prop_assert_eq!(message.topic(), topic.as_str());
            let header = HEADER_BYTES + topic.len();
            let cut = bytes.slice(..cut.index(header));
            prop_assert_eq!(Message::decode(cut), None);
            prop_assert_eq!(Message::decode(bytes), Some(message));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Message::decode(bytes.into());
        }
    }
}
