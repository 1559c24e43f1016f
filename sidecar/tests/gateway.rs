//! The protocol, the hub and the reactors together over the memory backplane, with tokio-tungstenite
//! as the client. Only the edge is missing: a thread answers the handshakes and hands the sockets
//! over.

#![allow(clippy::disallowed_methods)]

#[path = "gateway/client.rs"]
mod client;
#[path = "gateway/drain.rs"]
mod drain;
#[path = "gateway/limits.rs"]
mod limits;
#[path = "gateway/pod.rs"]
mod pod;
#[path = "gateway/sessions.rs"]
mod sessions;
#[path = "gateway/shed.rs"]
mod shed;
#[path = "gateway/topics.rs"]
mod topics;
