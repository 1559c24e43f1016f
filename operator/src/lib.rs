//! The operator of WSE: turns a `WseCluster` into a fleet of gateways.
//!
//! The rooms, and the arrows between them (each points one way): `api <- plan <- local`,
//! `tier <- plan`. `plan` and `tier` decide and are pure; `local` carries out with processes.

pub mod api;
pub mod local;
pub mod plan;
pub mod tier;
