//! Who gets what, and who may.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use wse_sidecar::auth::Grants;
use wse_sidecar::topic::{Pattern, Topic};

// Clippy sees its tests as well, without what runs them.
#[path = "../../src/hub/patterns.rs"]
#[allow(dead_code, unused_imports)]
mod index;

/// Finding the patterns that match a topic, of so many that are subscribed to.
pub(crate) fn patterns(criterion: &mut Criterion) {
    let topic = Topic::trusted("chat.room.17.messages");
    let mut group = criterion.benchmark_group("match");
    for (name, glob) in [
        ("exact", "chat.room.17.messages"),
        ("prefix", "chat.room.*"),
        ("inner", "chat.*.17.*"),
    ] {
        let pattern = pattern(glob);
        group.bench_function(BenchmarkId::new("glob", name), |bencher| {
            bencher.iter(|| black_box(&pattern).matches(black_box(&topic)));
        });
    }
    for count in [1, 100, 10_000] {
        let mut index = index::PatternIndex::default();
        for number in 0..count {
            let pattern = pattern(&format!("chat.room.{number}.*"));
            index.get_or_insert_with(&pattern, || number);
        }
        index.get_or_insert_with(&pattern("chat.*.17.*"), || count);
        group.bench_function(BenchmarkId::new("index", count), |bencher| {
            bencher.iter(|| {
                let mut found = 0;
                index.each_match(black_box(&topic), |_| found += 1);
                found
            });
        });
    }
    group.finish();
}

/// Whether a token's grants permit a topic.
pub(crate) fn grants(criterion: &mut Criterion) {
    let topic = Topic::trusted("chat.room.17.messages");
    let mut group = criterion.benchmark_group("permit");
    for count in [1, 16, 64] {
        let globs = |begin: &str| -> Vec<Pattern> {
            let numbers = (0..count).rev();
            numbers
                .map(|number| pattern(&format!("{begin}.{}.*", number + 17)))
                .collect()
        };
        // The last that is allowed matches, and nothing that is denied.
        let grants = Grants::new(globs("chat.room"), globs("chat.secret"));
        assert!(grants.permits(&topic));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| black_box(&grants).permits(black_box(&topic)));
        });
    }
    group.finish();
}

fn pattern(glob: &str) -> Pattern {
    Pattern::parse(glob, 255).expect("it is a pattern")
}
