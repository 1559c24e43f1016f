//! What the parts of the hot path cost, one by one: `cargo bench -p wse-sidecar`. What they come to together
//! is measured from outside (`docs/figures.md`).
//!
//! Parts that the crate keeps to itself are compiled in here from their source, so that nothing becomes
//! public for a measurement.

mod messages;
mod tokens;
mod topics;
mod wire;

// Where `hub/patterns.rs` finds it.
use wse_sidecar::topic;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    hot,
    wire::unmask,
    wire::frames,
    messages::inbound,
    messages::envelope,
    topics::patterns,
    topics::grants,
    tokens::verify,
);
criterion_main!(hot);
