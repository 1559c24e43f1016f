//! What the kernel says of another process (proc(5)).

use rustix::param::clock_ticks_per_second;

use crate::Error;

/// A line of `/proc/PID/status` that counts memory, such as `VmRSS` or `VmHWM`, in bytes.
///
/// # Errors
/// [`Error::Process`] when the process is gone, or has no such line.
pub fn memory_bytes(pid: u32, line: &str) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/status");
    let status = read(&path)?;
    let kib = status.lines().find_map(|it| {
        let kib = it.strip_prefix(line)?.strip_prefix(':')?;
        kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kib.map(|kib| kib << 10)
        .ok_or_else(|| Error::Process(format!("{path} names no {line}")))
}

/// Microseconds of processors that all its threads have had, those that have ended too, in steps of the
/// kernel's clock (fields 14 and 15 of `/proc/PID/stat`).
///
/// # Errors
/// [`Error::Process`] when the process is gone.
pub fn cpu_micros(pid: u32) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/stat");
    let stat = read(&path)?;
    // The name, in parentheses, may have anything in it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |number: usize| fields.get(number)?.parse::<u64>().ok();
    // The first behind the name is field 3.
    let ticks = ticks(11).zip(ticks(12));
    let (user, system) = ticks.ok_or_else(|| Error::Process(format!("{path} has no times")))?;
    Ok((user + system) * 1_000_000 / clock_ticks_per_second())
}

fn read(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error::Process(format!("{path}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_is_seen_to_take_memory_and_time() {
        let me = std::process::id();
        let (memory, time) = (memory_bytes(me, "VmRSS").unwrap(), cpu_micros(me).unwrap());
        let mut taken = vec![1_u8; 64 << 20];
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(300) {
            taken.rotate_left(1);
        }
        assert!(memory_bytes(me, "VmRSS").unwrap() >= memory + (32 << 20));
        assert!(cpu_micros(me).unwrap() > time);
        assert!(memory_bytes(me, "VmNone").is_err());
    }
}
