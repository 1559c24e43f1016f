//! Who has which processor. A new process has those of the thread that starts it, and so have its threads.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of the servers, and those of the clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin {
    server: CpuSet,
    clients: CpuSet,
}

impl Pin {
    /// Gives the servers the one with this number, or the first, and this thread the others. None: there
    /// is only one.
    ///
    /// # Errors
    /// When this process may not have that processor.
    pub(super) fn new(server: Option<usize>) -> Result<Option<Self>, String> {
        let failed = |error: rustix::io::Errno| format!("cannot choose processors: {error}");
        let mut clients = sched_getaffinity(None).map_err(failed)?;
        let all = 0..CpuSet::MAX_CPU;
        let first = || all.clone().find(|&number| clients.is_set(number));
        let server = server.or_else(first).unwrap_or_default();
        if !all.contains(&server) || !clients.is_set(server) {
            return Err(format!("there is no processor {server} (--server-cpu)"));
        }
        clients.unset(server);
        if clients.count() == 0 {
            return Ok(None);
        }
        let mut one = CpuSet::new();
        one.set(server);
        let pin = Self {
            server: one,
            clients,
        };
        pin.clients()?;
        Ok(Some(pin))
    }

    /// What this thread starts now is a server.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn server(&self) -> Result<(), String> {
        set(&self.server)
    }

    /// What this thread starts now is a client.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn clients(&self) -> Result<(), String> {
        set(&self.clients)
    }
}

fn set(processors: &CpuSet) -> Result<(), String> {
    sched_setaffinity(None, processors)
        .map_err(|error| format!("cannot choose processors: {error}"))
}
