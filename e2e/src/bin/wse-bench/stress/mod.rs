//! The stress run: eight load `level`s by six `dimension`s, each pair a `cell` of a matrix. `arguments` is
//! what the user says; `run` goes through the matrix, `work` is what a crew does for a cell, `negotiation`
//! asks whether a server compresses at all; `verdict` judges a rate, `degradation` compares levels, `advice`
//! names the settings that figures speak for; `output` lays it out.

mod advice;
mod arguments;
mod cell;
mod degradation;
mod dimension;
mod level;
mod negotiation;
mod output;
mod report;
mod run;
mod verdict;
mod work;

pub(crate) use self::arguments::Arguments;
pub(crate) use self::report::SCHEMA;
pub(crate) use self::run::run;
