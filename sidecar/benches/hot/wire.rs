//! Bytes of clients.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use wse_sidecar::wire::{self, Engine};

const MASK: [u8; 4] = [0x12, 0x9a, 0x34, 0x56];
const LIMIT: usize = 1 << 20;
/// Frames that come in one piece: about what a busy client's read has.
const FRAMES: usize = 100;

pub(crate) fn unmask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask");
    for bytes in [16, 64, 180, 1 << 10, 4 << 10, 16 << 10, 64 << 10] {
        let mut payload = vec![b'x'; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| wire::unmask(black_box(&mut payload), black_box(MASK), 0));
        });
    }
    group.finish();
}

/// The engine's work for a frame, by the frame: the header and, where there is a payload, unmasking and
/// UTF-8.
pub(crate) fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for bytes in [0, 64, 180, 1 << 10] {
        let frame = frame(bytes);
        let stream = frame.repeat(FRAMES);
        let mut engine = Engine::new(None);
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            // Unmasking changes the input, and copying is a small part of what is timed with larger ones.
            let mut input = stream.clone();
            bencher.iter(|| {
                input.copy_from_slice(&stream);
                let mut at = 0;
                while at < input.len() {
                    let (_, payload) = engine
                        .take_whole(&mut input[at..], LIMIT)
                        .expect("all is there");
                    at += payload.end;
                }
            });
        });
    }
    group.finish();
}

/// A text message as a client sends it.
fn frame(bytes: usize) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(bytes) {
        Ok(length @ 0..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend((bytes as u16).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let mut payload = vec![b'x'; bytes];
    wire::unmask(&mut payload, MASK, 0);
    frame.extend(payload);
    frame
}
