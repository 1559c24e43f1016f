//! The operator of WSE: turns a `WseCluster` into a fleet of gateways.
//!
//! The rooms, and the arrows between them (each points one way): `api <- plan <- controller`,
//! `plan <- local`, `tier <- sysctl <- plan`, `capacity <- plan <- simulation`. `plan`, `sysctl` and
//! `tier` decide and are pure; `controller` carries out with Kubernetes, `local` with processes, and
//! both ask gateways by `ask`. `verify` tries out an installed operator.

pub mod api;
mod ask;
mod capacity;
pub mod controller;
pub mod local;
pub mod plan;
mod random;
pub mod simulation;
pub mod sysctl;
pub mod tier;
pub mod verify;
