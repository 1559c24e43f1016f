//! The folder of one run: Secrets as a pod would have them mounted, configurations, logs. Only its
//! owner may look inside, and it is removed at the end.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};
use wse_sidecar::config::Config;

use super::{Error, tried};
use crate::api::SecretKeyRef;
use crate::random;

/// The folder. Dropping it removes it.
pub(super) struct Scratch {
    folder: TempDir,
    admin_token: String,
}

impl Scratch {
    /// Makes it, with a new admin token in it.
    pub(super) fn new() -> Result<Self, Error> {
        let mut builder = tempfile::Builder::new();
        builder
            .prefix("wse-")
            .permissions(Permissions::from_mode(0o700));
        let folder = tried("cannot make a temporary folder", builder.tempdir())?;
        let scratch = Self {
            folder,
            admin_token: random_text()?,
        };
        write(&scratch.admin_token_file(), scratch.admin_token.as_bytes())?;
        Ok(scratch)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn secrets(&self) -> PathBuf {
        self.path().join("secrets")
    }

    pub(super) fn admin_token(&self) -> &str {
        &self.admin_token
    }

    pub(super) fn admin_token_file(&self) -> PathBuf {
        self.path().join("admin-token")
    }

    /// The configuration of redis-server, with its password.
    pub(super) fn redis_file(&self) -> PathBuf {
        self.path().join("redis.conf")
    }

    /// Writes the configuration of redis-server.
    pub(super) fn write_redis(&self, text: &str) -> Result<(), Error> {
        write(&self.redis_file(), text.as_bytes())
    }

    pub(super) fn config_file(&self, pod: &str) -> PathBuf {
        self.path().join(format!("{pod}.json"))
    }

    pub(super) fn log_file(&self, pod: &str) -> PathBuf {
        self.path().join(format!("{pod}.log"))
    }

    /// Where the entry of a Secret is.
    pub(super) fn secret_file(&self, reference: &SecretKeyRef) -> PathBuf {
        self.secrets().join(&reference.name).join(&reference.key)
    }

    /// Writes the entries that differ.
    pub(super) fn write_secrets(
        &self,
        entries: &BTreeMap<SecretKeyRef, Vec<u8>>,
        before: &BTreeMap<SecretKeyRef, Vec<u8>>,
    ) -> Result<(), Error> {
        for (reference, value) in entries {
            if before.get(reference) != Some(value) {
                write(&self.secret_file(reference), value)?;
            }
        }
        Ok(())
    }

    /// Removes an entry that nobody reads any more.
    pub(super) fn remove_secret(&self, gone: &SecretKeyRef) -> Result<(), Error> {
        let path = self.secret_file(gone);
        let removed = fs::remove_file(&path);
        tried(format!("cannot remove {}", path.display()), removed)
    }

    /// Writes a pod's configuration.
    pub(super) fn write_config(&self, pod: &str, config: &Config) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(config).expect("a configuration serialises to JSON");
        write(&self.config_file(pod), &text)
    }
}

/// A text that nobody can guess, of letters and digits.
pub(super) fn random_text() -> Result<String, Error> {
    tried("cannot read /dev/urandom", random::text())
}

/// Replaces a file as a whole, so that a reader sees the old one or the new one.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let replace = || {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder)?;
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    tried(format!("cannot write {}", path.display()), replace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, key: &str) -> SecretKeyRef {
        SecretKeyRef {
            name: name.into(),
            key: key.into(),
        }
    }

    #[test]
    fn secrets_are_the_owners_alone_and_go_when_nobody_reads_them() {
        let scratch = Scratch::new().unwrap();
        let before = BTreeMap::from([
            (entry("a", "k"), b"1".to_vec()),
            (entry("b", "k"), b"2".to_vec()),
        ]);
        scratch.write_secrets(&before, &BTreeMap::new()).unwrap();
        let after = BTreeMap::from([(entry("a", "k"), b"3".to_vec())]);
        scratch.write_secrets(&after, &before).unwrap();
        assert!(scratch.secret_file(&entry("b", "k")).exists());
        scratch.remove_secret(&entry("b", "k")).unwrap();

        let file = scratch.secret_file(&entry("a", "k"));
        assert_eq!(fs::read(&file).unwrap(), b"3");
        assert!(!scratch.secret_file(&entry("b", "k")).exists());
        for (path, mode) in [(scratch.path(), 0o700), (file.as_path(), 0o600)] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                mode
            );
        }
        let folder = scratch.path().to_owned();
        drop(scratch);
        assert!(!folder.exists());
    }
}
