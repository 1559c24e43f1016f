//! A day of load for a fleet, simulated: how many pods the planner chooses, what clients feel, and what
//! that costs. In come a scenario, a fleet's size and a seed; out comes a [`Day`], in moments for plots
//! and in figures for tables. Pure: time is a number, chance comes from the seed.
//!
//! The planner is the real one, called as the controller calls it. The cluster around it is counts:
//! pods that start within 10 to 40 s, fail now and then, are drained and removed as gateways and
//! ReplicaSets do it; clients are numbers in pods, so that ten million of them take seconds.

mod chance;
mod cluster;
mod day;
mod figures;
mod fleet;
mod operator;
mod page;
mod pods;
mod scenario;
#[cfg(test)]
mod tests;

pub use self::day::{Day, simulate};
pub use self::figures::{Figures, SAMPLE_SECONDS, Sample};
pub use self::fleet::Fleet;
pub use self::page::{COMMAND, cost, page, priced, row};
pub use self::scenario::{DAY, Scenario};
