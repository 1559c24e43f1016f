//! The WSE gateway: terminates WebSockets, validates JWTs, routes topics and shares state with its
//! peers over Redis.
//!
//! The rooms, and the arrows between them (each points one way):
//! `wire <- reactor <- edge`, `reactor <- protocol -> hub -> backplane`, `config <-` all.
//! With `default-features = false` only [`config`] is built: that is what the operator needs.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod config;

#[cfg(feature = "gateway")]
pub mod admin;
#[cfg(feature = "gateway")]
pub mod api;
#[cfg(feature = "gateway")]
pub mod auth;
#[cfg(feature = "gateway")]
pub mod backplane;
#[cfg(all(test, feature = "gateway"))]
mod certificates;
#[cfg(feature = "gateway")]
pub mod drain;
#[cfg(feature = "gateway")]
pub mod edge;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "gateway")]
pub mod hub;
#[cfg(feature = "gateway")]
pub mod keyring;
#[cfg(feature = "gateway")]
mod panics;
#[cfg(feature = "gateway")]
mod patience;
#[cfg(feature = "gateway")]
pub mod protocol;
#[cfg(feature = "gateway")]
pub mod reactor;
#[cfg(feature = "gateway")]
pub mod topic;
#[cfg(feature = "gateway")]
pub mod wire;
