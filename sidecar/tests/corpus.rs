//! What the fuzzer has kept, by the functions that it tries (`sidecar/fuzz`).

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/targets.rs"]
#[expect(unreachable_pub, reason = "the fuzzer's crate exports them")]
mod targets;

/// Runs a target over its corpus.
fn run(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        target(&fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{name} has no corpus");
}

#[test]
fn deflate() {
    run("deflate", targets::deflate);
}

#[test]
fn engine() {
    run("engine", targets::engine);
}

#[test]
fn envelope() {
    run("envelope", targets::envelope);
}

#[test]
fn handshake() {
    run("handshake", targets::handshake);
}
