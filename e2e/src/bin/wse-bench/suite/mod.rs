//! The tests: each is run for each of its tiers, one after the other, and gives figures for each.
//! `arguments` is what the user says and `test` which there are; `run` goes through them, `round` is one
//! tier with the `work` for it, `limit` looks for the most connections; `figures` is what came of it, `output`
//! how it is told.

mod arguments;
mod figures;
mod limit;
mod output;
mod round;
mod run;
mod test;
mod work;

pub(crate) use self::arguments::Arguments;
pub(crate) use self::figures::SCHEMA;
pub(crate) use self::run::run;
#[cfg(test)]
pub(crate) use self::{figures::Figures, test::Test};
