//! The behaviours of RFC 6455, and of RFC 7692 on top of it, against the running echo example. Peers: raw sockets, and tungstenite,
//! which is not ours.

#[path = "rfc6455/client.rs"]
mod client;
#[path = "rfc6455/deflate.rs"]
mod deflate;
#[path = "rfc6455/handshake.rs"]
mod handshake;
#[path = "rfc6455/server.rs"]
mod server;
#[path = "rfc6455/streams.rs"]
mod streams;
#[path = "rfc6455/table.rs"]
mod table;
#[path = "rfc6455/tungstenite.rs"]
mod tungstenite;
