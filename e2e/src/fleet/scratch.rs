//! A folder for a test's files.

use std::path::{Path, PathBuf};

use crate::Error;

/// A new folder under the system's temporary one. Dropping it removes it, unless the thread panics or
/// the environment has a `WSE_KEEP`: then the logs stay, for whoever looks why.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one; `name` is part of its name.
    ///
    /// # Errors
    /// [`Error::Process`] when it cannot be made.
    pub fn new(name: &str) -> Result<Self, Error> {
        let unique = fastrand::u64(..);
        let path = std::env::temp_dir().join(format!("wse-{name}-{unique:016x}"));
        std::fs::create_dir_all(&path)
            .map_err(|error| Error::Process(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in one step, so that a reader sees the old text or the new one. Returns its path.
    ///
    /// # Errors
    /// [`Error::Process`] when it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        let half = self.path.join(format!("{name}.new"));
        std::fs::write(&half, text)
            .and_then(|()| std::fs::rename(&half, &path))
            .map_err(|error| Error::Process(format!("cannot write {}: {error}", path.display())))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() && std::env::var_os("WSE_KEEP").is_none() {
            // A folder that stays behind in /tmp harms nobody.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
