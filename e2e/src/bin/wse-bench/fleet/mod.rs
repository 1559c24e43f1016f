//! A fleet that follows its load: connections come and go as a ramp has them, and come back when they
//! are asked to move, while every second it is looked at what the fleet is. `arguments` is what the user
//! says; `source` is where the fleet is looked at; `run` has the connections come and `watch` looks,
//! each second; `figures` is what came of it, `series` second by second, `events` what the looks have seen
//! happen; `output` is how it is told.

mod arguments;
mod events;
mod figures;
mod output;
mod run;
mod series;
mod source;
mod watch;

pub(crate) use self::arguments::Arguments;
pub(crate) use self::run::run;
