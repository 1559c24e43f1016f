//! The reactor with real sockets and a clock that the tests turn. The loop runs in the test's own
//! thread, a turn at a time.

mod commands;
mod deflate;
mod endings;
mod flow;
mod rig;
mod tls;
