//! What an engine found in the bytes of a client.

use super::Violation;
use super::message::Assembled;

/// What the input contained.
#[derive(Debug)]
pub enum Event {
    /// A whole message, gathered from its pieces.
    Assembled(Assembled),
    /// The client's Close frame, with its code ([`super::NO_CODE`] when it gave none). Nothing
    /// follows.
    Closed(u16),
    /// The client broke the protocol. Nothing follows; a Close frame with the violation's code waits
    /// to be sent unless one was sent before.
    Failed(Violation),
    /// A ping. Its answer waits to be sent, in its place among the answers to messages: each ping has
    /// one (section 5.5.2), though the last alone would do (5.5.3).
    Ping,
}

/// How far [`super::Engine::handle_input`] came.
#[derive(Debug)]
pub struct Step {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// What they contained. None only when all were consumed.
    pub event: Option<Event>,
}
