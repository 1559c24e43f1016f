//! The gateway beside servers that people write with other libraries, on the same work, by the same
//! clients, in one run. `catalogue` is who they are, `adapters/` a small server for each, `install` gets
//! them from their registries into a cache, `running` is one of them as a process; `run` goes through
//! rounds, `race` is one server's turn in them, `work` what they are given to do, `figures` what came of
//! it, `output` how it is told.
//!
//! A server has one processor, which `pin` gives it, and the clients have the others. An adapter prints
//! two addresses on its first line: where clients connect, and where a backend calls `POST
//! /publish/batch`, as the gateway has it. It sends `server_ready`, answers `ping`, reads every message as
//! JSON as far as its `t`, and gives what is published to everybody who is connected.

mod arguments;
mod catalogue;
mod figures;
mod install;
mod output;
mod pin;
mod race;
mod run;
mod running;
mod work;

pub(crate) use self::arguments::Arguments;
pub(crate) use self::run::run;
