//! What clients and a server say to each other. WSE's dialect is that of ours and of all its peers but one.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::frames::masked;
use super::gather::system;

/// What clients and a server say to each other.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Dialect {
    /// That of the WSE engine (wse-protocol 1).
    #[default]
    Wse,
    /// The client protocol of Centrifugo and of its library, in JSON: commands with a number, each
    /// answered by a reply with the same number, and pushes. Some of them may come in one frame, a line
    /// each.
    Centrifuge,
}

/// What a server says.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// The client may begin to talk.
    Ready,
    /// What came of a subscription, as the server told it; whether all of it was allowed.
    Subscribed(bool, Value),
    /// The answer to the question with this number.
    Answer(u64),
    /// Something is wrong.
    Error(Value),
    /// Anything else, such as a publication.
    Other,
}

/// Numbers of centrifuge's commands; those of questions follow.
const CONNECT: u64 = 1;
const SUBSCRIBE: u64 = 2;
const FIRST_QUESTION: u64 = 3;

impl Dialect {
    /// Whether the client talks first, as soon as the upgrade is answered.
    pub(super) fn talks_first(self) -> bool {
        self == Self::Centrifuge
    }

    /// What a client subscribes with; None for one that does not.
    pub(super) fn subscription(self, topics: &[String]) -> Option<Vec<u8>> {
        if topics.is_empty() {
            return None;
        }
        let said: Vec<Value> = match self {
            Self::Wse => {
                let payload = json!({"action": "subscribe", "topics": topics});
                vec![json!({"c": "WSE", "t": "subscription_update", "p": payload})]
            }
            Self::Centrifuge => {
                let each = topics.iter();
                let each =
                    each.map(|topic| json!({"id": SUBSCRIBE, "subscribe": {"channel": topic}}));
                each.collect()
            }
        };
        let frames = said.iter().map(|it| masked(it.to_string().as_bytes()));
        Some(frames.collect::<Vec<_>>().concat())
    }

    /// What a client says before anything else.
    pub fn greeting(self, client: &str) -> Vec<u8> {
        let said = match self {
            Self::Wse => {
                let payload = json!({"client_version": client, "protocol_version": 1});
                json!({"c": "WSE", "t": "client_hello", "p": payload, "v": 1})
            }
            Self::Centrifuge => json!({"id": CONNECT, "connect": {"name": client}}),
        };
        masked(said.to_string().as_bytes())
    }

    /// A question that the server answers when it has read all that came before it.
    pub fn question(self, number: u64) -> Vec<u8> {
        let said = match self {
            Self::Wse => {
                format!(r#"{{"c":"WSE","t":"ping","p":{{"timestamp":{number}}},"v":1}}"#)
            }
            Self::Centrifuge => {
                let id = number.saturating_add(FIRST_QUESTION);
                format!(r#"{{"id":{id},"rpc":{{"method":"ping"}}}}"#)
            }
        };
        masked(said.as_bytes())
    }

    /// An application's message of so many bytes, to which there is no answer.
    ///
    /// # Errors
    /// When it has more bytes without any filling.
    pub fn filled(self, bytes: usize) -> Result<Vec<u8>, String> {
        let (head, tail) = match self {
            Self::Wse => (r#"{"c":"U","t":"bench","p":""#, r#""}"#),
            Self::Centrifuge => (r#"{"send":{"data":{"c":"U","t":"bench","p":""#, r#""}}}"#),
        };
        let least = head.len() + tail.len();
        let filling = bytes.checked_sub(least);
        let filling = filling.ok_or_else(|| format!("a message has at least {least} bytes"))?;
        let message = format!("{head}{}{tail}", "x".repeat(filling));
        Ok(masked(message.as_bytes()))
    }

    /// Gives the messages of a frame.
    pub fn split(self, payload: &[u8], each: &mut impl FnMut(&[u8])) {
        match self {
            Self::Wse => each(payload),
            Self::Centrifuge => payload.split(|&byte| byte == b'\n').for_each(each),
        }
    }

    /// Whether a message is one that was published, and not the server's own.
    pub fn is_published(self, message: &[u8]) -> bool {
        match self {
            Self::Wse => {
                let compact = message.starts_with(br#"{"c":"WSE""#);
                !compact && !message.starts_with(br#"{"c": "WSE""#)
            }
            Self::Centrifuge => message.starts_with(br#"{"push""#),
        }
    }

    /// What a message means.
    pub fn hear(self, message: &[u8]) -> Heard {
        let all = || serde_json::from_slice(message).unwrap_or_default();
        match self {
            Self::Wse => match system(message) {
                Some("server_ready") => Heard::Ready,
                Some("subscription_update") => {
                    let said: Value = all();
                    Heard::Subscribed(said["p"]["success"] == true, said["p"].clone())
                }
                Some("error") => Heard::Error(all()),
                Some(kind) if kind.eq_ignore_ascii_case("pong") => {
                    Heard::Answer(all()["p"]["client_timestamp"].as_u64().unwrap_or(0))
                }
                _ => Heard::Other,
            },
            Self::Centrifuge if self.is_published(message) => Heard::Other,
            Self::Centrifuge => {
                let said: Value = all();
                match said["id"].as_u64() {
                    Some(SUBSCRIBE) => Heard::Subscribed(said["error"].is_null(), said),
                    _ if !said["error"].is_null() => Heard::Error(json!({"p": said["error"]})),
                    Some(number @ FIRST_QUESTION..) => Heard::Answer(number - FIRST_QUESTION),
                    _ => Heard::Other,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_understood() {
        let (wse, centrifuge) = (Dialect::Wse, Dialect::Centrifuge);
        let cases = [
            (
                wse,
                r#"{"c":"WSE","t":"server_ready","p":{}}"#,
                Heard::Ready,
            ),
            (
                wse,
                r#"{"c":"WSE","p":{"client_timestamp":7},"t":"PONG"}"#,
                Heard::Answer(7),
            ),
            (wse, r#"{"c":"U","t":"PONG"}"#, Heard::Other),
            (
                wse,
                r#"{"c":"WSE","t":"subscription_update","p":{"success":false}}"#,
                Heard::Subscribed(false, json!({"success": false})),
            ),
            (centrifuge, r#"{"id":1,"connect":{}}"#, Heard::Other),
            (
                centrifuge,
                r#"{"id":2,"subscribe":{}}"#,
                Heard::Subscribed(true, json!({"id": 2, "subscribe": {}})),
            ),
            (centrifuge, r#"{"id":3,"rpc":{}}"#, Heard::Answer(0)),
            (
                centrifuge,
                r#"{"id":1,"error":{"code":3501}}"#,
                Heard::Error(json!({"p": {"code": 3501}})),
            ),
            (
                centrifuge,
                r#"{"push":{"channel":"a","pub":{"data":{"id":3}}}}"#,
                Heard::Other,
            ),
        ];
        for (dialect, said, heard) in cases {
            assert_eq!(dialect.hear(said.as_bytes()), heard, "{said}");
        }
    }

    #[test]
    fn a_message_has_the_bytes_that_were_asked_for() {
        for dialect in [Dialect::Wse, Dialect::Centrifuge] {
            // Two bytes of header and four of mask.
            assert_eq!(dialect.filled(100).unwrap().len(), 106);
            assert!(dialect.filled(20).is_err());
        }
    }
}
