//! The tests: each is run for each of its tiers, one after the other, and gives figures for each.
//! `arguments` is what the user says and `test` which there are; `run` goes through them, `round` conducts a crew through one
//! tier with the `work` for it, `limit` looks for the most connections; `figures` is what came of it, `server` what the server itself
//! says it did, `threshold` what may not be; `progress` is for who waits. `output` knows no test.

mod arguments;
mod figures;
mod interrupt;
mod limit;
mod output;
mod progress;
mod round;
mod run;
mod server;
mod test;
mod threshold;
mod work;

pub(crate) use self::arguments::Arguments;
pub(crate) use self::run::run;
