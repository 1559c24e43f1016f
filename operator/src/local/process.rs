//! A process of ours: in a group of its own, so that Ctrl-C reaches `up` alone; on a leash, so that it
//! ends when `up` does; with its output in a file.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};

/// First of the ports to choose from.
const FIRST: u16 = 20_000;
/// Number of the ports to choose from.
const COUNT: u16 = 12_000;
const PDEATHSIG: &str = "--pdeathsig";

/// Ends at once if `up`, whose process id comes first, was dead before the leash was on; else becomes
/// the program.
const RUN: &str = r#"[ "$PPID" = "$0" ] || exit 1
exec "$@""#;

/// Also moves the listening socket from standard input to where systemd's protocol wants it, and says
/// so. Only the process itself can know its id before it runs, and `exec` keeps it.
const INHERIT: &str = r#"[ "$PPID" = "$0" ] || exit 1
exec 3<&0 </dev/null
LISTEN_PID=$$ LISTEN_FDS=1
export LISTEN_PID LISTEN_FDS
exec "$@""#;

/// A running process.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts a program.
    pub(super) fn start<S: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        log: File,
    ) -> io::Result<Self> {
        let mut command = shell(RUN);
        command.arg(program).args(arguments).stdin(Stdio::null());
        Self::spawn(command, log)
    }

    /// Starts a program that inherits a listening socket as its file descriptor 3, announced by
    /// `LISTEN_FDS` and `LISTEN_PID` (sd_listen_fds(3)).
    pub(super) fn start_listening<S: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        socket: &TcpListener,
        log: File,
    ) -> io::Result<Self> {
        let mut command = shell(INHERIT);
        command.arg(program).args(arguments);
        command.stdin(OwnedFd::from(socket.try_clone()?));
        Self::spawn(command, log)
    }

    fn spawn(mut command: Command, log: File) -> io::Result<Self> {
        command
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        command.spawn().map(Self)
    }

    /// Its id.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        // An error says that there is no such child any more, which cannot be: nobody else waits.
        self.0.try_wait().ok().flatten()
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// An error says that it has just ended by itself.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.0.id().cast_signed()) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    /// No process outlives `up` for longer than it takes to drain, whatever made `up` end: where it
    /// could not get here (SIGKILL), the death signal of [`leash`] has asked the process to end.
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
            let _ = self.0.wait();
        }
    }
}

/// A shell with a script that takes this process's id, a program, and its arguments.
fn shell(script: &str) -> Command {
    let mut command = match leash() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args([PDEATHSIG, "TERM", "/bin/sh"]);
            command
        }
        None => Command::new("/bin/sh"),
    };
    command
        .args(["-c", script])
        .arg(std::process::id().to_string());
    command
}

/// `setpriv` of util-linux, where there is one: it has the kernel send a process SIGTERM when the
/// thread that started it ends, and `up` has one thread. (Others of that name lack the option.)
fn leash() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let program = on_path("setpriv")?;
        let mut probe = Command::new(&program);
        probe.args([PDEATHSIG, "TERM", "/bin/sh", "-c", ":"]);
        let quiet = probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        quiet
            .status()
            .is_ok_and(|status| status.success())
            .then_some(program)
    };
    FOUND.get_or_init(find).as_deref()
}

/// Where a program is.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let candidates = std::env::split_paths(&path).map(|folder| folder.join(program));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// A loopback address that was free a moment ago. A process is started again on its port, so that it
/// comes from below those that the kernel gives outgoing connections (32,768 on, by default): a client
/// of this machine could sit on it meanwhile.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    let start = fastrand::u16(..COUNT);
    (0..COUNT)
        .map(|turn| FIRST + (start + turn) % COUNT)
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_process_inherits_the_socket_with_its_own_id() {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut log = tempfile::tempfile().unwrap();
        let script = r#"echo "$LISTEN_FDS $([ "$LISTEN_PID" = $$ ] && echo own) $(readlink /proc/self/fd/3)" "$1""#;
        let arguments = ["-c", script, "name", "an argument"];
        let start = Process::start_listening(
            Path::new("/bin/sh"),
            arguments,
            &socket,
            log.try_clone().unwrap(),
        );
        let mut process = start.unwrap();
        assert!(process.0.wait().unwrap().success());
        let mut said = String::new();
        io::Seek::rewind(&mut log).unwrap();
        log.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("1 own socket:["), "{said}");
        assert!(said.ends_with("] an argument\n"), "{said}");
    }

    #[test]
    fn ports_are_free_and_not_those_of_outgoing_connections() {
        for _ in 0..100 {
            let address = free_address().unwrap();
            assert!((20_000..32_000).contains(&address.port()), "{address}");
        }
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let log = tempfile::tempfile().unwrap();
        let process = Process::start(Path::new("/bin/sleep"), ["1000"], log).unwrap();
        let folder = format!("/proc/{}", process.id());
        assert!(Path::new(&folder).exists());
        drop(process);
        assert!(!Path::new(&folder).exists());
    }
}
