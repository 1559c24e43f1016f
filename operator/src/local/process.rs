//! A process of ours: in a group of its own, so that Ctrl-C reaches `up` alone, with its output in a
//! file.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Moves the listening socket from standard input to where systemd's protocol wants it, and says so.
/// Only the process itself can know its id before it runs, and `exec` keeps it.
const INHERIT: &str = r#"exec 3<&0 </dev/null
LISTEN_PID=$$ LISTEN_FDS=1
export LISTEN_PID LISTEN_FDS
exec "$0" "$@""#;

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
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
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
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(INHERIT).arg(program).args(arguments);
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
    /// No process outlives `up`, whatever made it end.
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
            let _ = self.0.wait();
        }
    }
}

/// A loopback address that was free a moment ago.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
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
    fn a_dropped_process_is_gone() {
        let log = tempfile::tempfile().unwrap();
        let process = Process::start(Path::new("/bin/sleep"), ["1000"], log).unwrap();
        let folder = format!("/proc/{}", process.id());
        assert!(Path::new(&folder).exists());
        drop(process);
        assert!(!Path::new(&folder).exists());
    }
}
