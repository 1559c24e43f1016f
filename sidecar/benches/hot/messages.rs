//! Messages as text.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use wse_sidecar::protocol::envelope;

// Clippy sees their tests as well, without what runs them.
#[path = "../../src/protocol/inbound.rs"]
#[allow(dead_code, unused_imports)]
mod inbound;
#[path = "../../src/protocol/scan.rs"]
#[allow(dead_code, unused_imports)]
mod scan;

const DEPTH: u16 = 64;
const SIZES: [usize; 3] = [64, 180, 1 << 10];

/// Reading where a client's message goes.
pub(crate) fn inbound(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inbound");
    for bytes in SIZES {
        let message = message(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| inbound::parse(black_box(message.as_bytes()), DEPTH).is_ok());
        });
    }
    group.finish();
}

/// Making an envelope of what a backend publishes.
pub(crate) fn envelope(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    for bytes in SIZES {
        let message = message(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| envelope::prepare(black_box(&message), DEPTH));
        });
    }
    group.finish();
}

/// A message of so many bytes: a few small fields, and one text that fills it.
fn message(bytes: usize) -> String {
    let (head, tail) = (
        r#"{"c":"U","t":"chat","p":{"n":17,"ok":true,"x":""#,
        r#""}}"#,
    );
    let filling = "x".repeat(bytes - head.len() - tail.len());
    format!("{head}{filling}{tail}")
}
