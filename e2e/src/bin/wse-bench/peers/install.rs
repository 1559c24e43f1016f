//! Gets a peer from its registry, by that registry's own client.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::catalogue::{CRATES_MANIFEST, CRATES_SHARE, Package, Peer};

/// Pythons that are looked for, the newest first.
const PYTHONS: [&str; 4] = ["python3.14", "python3.13", "python3.12", "python3"];

/// Where all are, and the Python that the user named.
#[derive(Debug)]
pub(super) struct Installer<'a> {
    pub(super) cache: PathBuf,
    pub(super) python: Option<&'a Path>,
}

impl Installer<'_> {
    /// Installs what is not there yet. The program, and its arguments.
    ///
    /// # Errors
    /// In words for the report, with the file that has the whole story.
    pub(super) async fn install(
        &self,
        peer: &Peer,
        package: Package,
    ) -> Result<Vec<PathBuf>, String> {
        let (name, version) = (peer.name, peer.version);
        let folder = match package {
            // They share what they depend on.
            Package::Crate { .. } => self.cache.join("crates"),
            _ => self.cache.join(format!("{name}-{version}")),
        };
        make(&folder)?;
        let tool = Tool {
            folder: &folder,
            log: self.cache.join(format!("{name}-{version}.log")),
        };
        // One for each peer.
        let _ = fs::remove_file(&tool.log);
        match package {
            Package::Crate { source } => {
                let program = name.replace('-', "_");
                write(&folder.join("Cargo.toml"), CRATES_MANIFEST)?;
                write(&folder.join("common.rs"), CRATES_SHARE)?;
                write(&folder.join(format!("{program}.rs")), source)?;
                // Cargo wants the sources of all programs that the manifest names.
                for other in ["fastwebsockets.rs", "tokio_tungstenite.rs"] {
                    let other = folder.join(other);
                    if !other.exists() {
                        write(&other, "fn main() {}\n")?;
                    }
                }
                let build = ["build", "--release", "--bin", &program];
                tool.run("cargo".as_ref(), &build).await?;
                Ok(vec![folder.join("target/release").join(program)])
            }
            Package::Go { module, source } => {
                write(&folder.join("main.go"), source)?;
                if !folder.join("go.sum").exists() {
                    let _ = fs::remove_file(folder.join("go.mod"));
                    tool.run("go".as_ref(), &["mod", "init", "peer"]).await?;
                    tool.run("go".as_ref(), &["get", &format!("{module}@v{version}")])
                        .await?;
                }
                tool.run("go".as_ref(), &["build", "-o", "peer", "."])
                    .await?;
                Ok(vec![folder.join("peer")])
            }
            Package::Npm { source } => {
                let adapter = folder.join("adapter.mjs");
                write(&adapter, source)?;
                if !folder.join("node_modules").join(name).exists() {
                    let package = format!("{name}@{version}");
                    write(&folder.join("package.json"), "{\"private\": true}\n")?;
                    tool.run(
                        "npm".as_ref(),
                        &["install", "--no-audit", "--no-fund", &package],
                    )
                    .await?;
                }
                Ok(vec!["node".into(), adapter])
            }
            Package::Pip { source, minor } => {
                let adapter = folder.join("adapter.py");
                write(&adapter, source)?;
                let (done, python) = (folder.join("installed"), folder.join("venv/bin/python"));
                if !done.exists() {
                    tool.run(
                        &self.find_python(minor)?,
                        &["-m", "venv", "--clear", "venv"],
                    )
                    .await?;
                    let package = format!("{name}=={version}");
                    let pip = [
                        "-m",
                        "pip",
                        "install",
                        "--disable-pip-version-check",
                        &package,
                    ];
                    tool.run(&python, &pip).await?;
                    write(&done, "")?;
                }
                Ok(vec![python, adapter])
            }
        }
    }

    fn find_python(&self, minor: u32) -> Result<PathBuf, String> {
        let of_pyenv =
            std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv/versions"));
        let of_pyenv = of_pyenv.and_then(|all| fs::read_dir(all).ok());
        let of_pyenv = of_pyenv.into_iter().flatten().flatten();
        let of_pyenv = of_pyenv.map(|version| version.path().join("bin/python3"));
        let in_path = PYTHONS.map(PathBuf::from).into_iter();
        let mut all: Box<dyn Iterator<Item = PathBuf>> = match self.python {
            Some(python) => Box::new([python.to_owned()].into_iter()),
            None => Box::new(in_path.chain(of_pyenv)),
        };
        let check =
            format!("import sys, ensurepip, venv; sys.exit(sys.version_info < (3, {minor}))");
        let works = |python: &PathBuf| {
            let tried = std::process::Command::new(python)
                .args(["-c", &check])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            tried.is_ok_and(|status| status.success())
        };
        all.find(works)
            .ok_or_else(|| format!("no Python 3.{minor} or newer with venv (--python)"))
    }
}

/// Runs commands in a folder, with what they say in a file.
struct Tool<'a> {
    folder: &'a Path,
    log: PathBuf,
}

impl Tool<'_> {
    async fn run(&self, program: &Path, arguments: &[&str]) -> Result<(), String> {
        let shown = program.display();
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.and_then(|log| Ok((log.try_clone()?, log)));
        let (out, log) = log.map_err(|error| format!("{}: {error}", self.log.display()))?;
        let status = Command::new(program)
            .args(arguments)
            .current_dir(self.folder)
            // As cargo builds by itself, however wse-bench was built.
            .env_remove("CARGO_BUILD_TARGET")
            .env_remove("RUSTFLAGS")
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(log)
            // Ctrl-C is for the report.
            .process_group(0)
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|error| format!("{shown}: {error}"))?;
        match status.success() {
            true => Ok(()),
            false => {
                let what = arguments.first().copied().unwrap_or_default();
                let log = self.log.display();
                Err(format!("`{shown} {what}` ended with {status}, see {log}"))
            }
        }
    }
}

/// The user's cache (XDG Base Directory Specification).
///
/// # Errors
/// When there is none.
pub(super) fn cache(named: Option<&Path>) -> Result<PathBuf, String> {
    let of_user = || {
        let all = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let all = all.filter(|path| path.is_absolute()).or_else(|| {
            let home = std::env::var_os("HOME")?;
            Some(PathBuf::from(home).join(".cache"))
        });
        all.map(|all| all.join("wse-bench"))
    };
    let cache = named.map(Path::to_owned).or_else(of_user);
    let cache = cache.ok_or("no folder to install peers in: neither --cache nor HOME is set")?;
    make(&cache)?;
    cache
        .canonicalize()
        .map_err(|error| format!("{}: {error}", cache.display()))
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))
}

/// A file that has the text already stays as it is: builders look at its time.
fn write(file: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
