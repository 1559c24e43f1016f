//! What a session answers to a message that it has let in.

use std::time::Instant;

use serde_json::value::RawValue;

use super::super::inbound::{self, Inbound, Type};
use super::super::metrics::Outcome;
use super::super::{frame, text};
use super::{Effects, Session};
use crate::config::Limits;
use crate::hub::{Action, Change};

/// Topics in one message, unless a session may have more.
pub(super) const TOPICS: usize = 4_096;

impl Session {
    /// Reads one message of a frame, or of a batch.
    pub(super) fn read(
        &mut self,
        json: &[u8],
        now: Instant,
        limits: &Limits,
        fx: &mut impl Effects,
    ) {
        match inbound::parse(json, limits.json_depth) {
            Err(malformed) => {
                fx.count(Outcome::Malformed);
                self.complain(malformed.told(), now, fx);
            }
            Ok(inbound) if inbound.kind == Type::Batch => {
                self.unpack(inbound.payload, now, limits, fx);
            }
            Ok(inbound) => self.handle(&inbound, now, limits, fx),
        }
    }

    /// Reads the messages of a `batch`. Each counts as a message of its own; a batch in a batch does
    /// not.
    fn unpack(
        &mut self,
        payload: Option<&[u8]>,
        now: Instant,
        limits: &Limits,
        fx: &mut impl Effects,
    ) {
        let messages = inbound::field(payload, "messages");
        let messages =
            messages.and_then(|list| serde_json::from_slice::<Vec<&RawValue>>(list).ok());
        let Some(messages) = messages else {
            fx.count(Outcome::Malformed);
            let told = (
                "INVALID_MESSAGE",
                "a batch has a list `messages` in its payload",
            );
            return self.complain(told, now, fx);
        };
        fx.count(Outcome::Handled);
        for (index, message) in messages.into_iter().enumerate() {
            // The first was paid for with the frame.
            if index > 0 && !self.admit(0, now, limits, fx) {
                if self.is_over {
                    return;
                }
                continue;
            }
            match inbound::parse(message.get().as_bytes(), limits.json_depth) {
                Ok(inbound) if inbound.kind != Type::Batch => {
                    self.handle(&inbound, now, limits, fx);
                }
                Ok(_) => {
                    fx.count(Outcome::Malformed);
                    let told = ("INVALID_MESSAGE", "a batch cannot hold a batch");
                    self.complain(told, now, fx);
                }
                Err(malformed) => {
                    fx.count(Outcome::Malformed);
                    self.complain(malformed.told(), now, fx);
                }
            }
        }
    }

    fn handle(
        &mut self,
        inbound: &Inbound<'_>,
        now: Instant,
        limits: &Limits,
        fx: &mut impl Effects,
    ) {
        let payload = inbound.payload;
        match inbound.kind {
            Type::Ping => {
                let echo =
                    number(payload, "timestamp").or_else(|| number(payload, "client_timestamp"));
                let wall = fx.wall();
                fx.send(|out| text::pong(out, echo.unwrap_or("0"), wall));
            }
            Type::Hello => {
                let version = number(payload, "protocol_version");
                let version = version
                    .and_then(|version| version.parse().ok())
                    .unwrap_or(1);
                let (id, wall) = (&self.id, fx.wall());
                fx.send(|out| text::server_hello(out, id, version, limits, wall));
            }
            Type::Subscription => {
                return self.subscription(payload, now, limits, fx);
            }
            Type::Snapshot => {
                let topics = inbound::field(payload, "topics").map(String::from_utf8_lossy);
                let topics = topics.filter(|topics| topics.starts_with('['));
                fx.send(|out| text::snapshot_complete(out, topics.as_deref().unwrap_or("[]")));
            }
            Type::Ignored => {}
            Type::Batch | Type::Other => return fx.count(Outcome::NoBackend),
        }
        fx.count(Outcome::Handled);
    }

    fn subscription(
        &mut self,
        payload: Option<&[u8]>,
        now: Instant,
        limits: &Limits,
        fx: &mut impl Effects,
    ) {
        let action = inbound::field(payload, "action").and_then(inbound::string);
        let action = match action.as_deref() {
            Some(b"subscribe") => Action::Subscribe,
            Some(b"unsubscribe") => Action::Unsubscribe,
            _ => {
                fx.count(Outcome::Malformed);
                let told = (
                    "PROTOCOL_ERROR",
                    "a subscription update has an `action`: subscribe or unsubscribe",
                );
                return self.complain(told, now, fx);
            }
        };
        let topics =
            inbound::field(payload, "topics").map_or_else(|| Some(Vec::new()), inbound::strings);
        let Some(topics) = topics else {
            fx.count(Outcome::Malformed);
            let told = ("PROTOCOL_ERROR", "`topics` must be a list of strings");
            return self.complain(told, now, fx);
        };
        if topics.len() > TOPICS.max(limits.subscriptions as usize) {
            fx.count(Outcome::Malformed);
            let told = ("SUBSCRIPTION_FAILED", "too many topics in one message");
            return self.complain(told, now, fx);
        }
        fx.count(Outcome::Handled);
        fx.change(Change { action, topics });
    }
}

/// A number of the payload, as the client wrote it.
fn number<'a>(payload: Option<&'a [u8]>, name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(inbound::field(payload, name)?).ok()?;
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    (is_number && text.len() <= frame::STAMP_BYTES).then_some(text)
}
