//! Texts that nobody can guess.

use std::fs::File;
use std::io::{self, Read};

/// Random bytes of a text.
const BYTES: usize = 32;

/// A text that nobody can guess, of small letters and digits.
///
/// # Errors
/// When the system has no randomness to give.
pub(crate) fn text() -> io::Result<String> {
    let mut random = [0; BYTES];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
