//! Kernel settings as this pod sees them. Most belong to the network namespace, so a pod may have others
//! than its node.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Those that the operator may set, for it to compare.
const NAMES: [&str; 11] = [
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_wmem",
];

/// The settings in force, each with one space between its numbers. What the kernel does not show here is
/// left out: older ones keep some from a pod.
pub(super) fn read() -> BTreeMap<String, String> {
    read_under(Path::new("/proc/sys"))
}

fn read_under(root: &Path) -> BTreeMap<String, String> {
    let value = |name: &str| {
        let text = fs::read_to_string(root.join(name.replace('.', "/"))).ok()?;
        let words: Vec<_> = text.split_whitespace().collect();
        Some((name.to_owned(), words.join(" ")))
    };
    NAMES.iter().filter_map(|name| value(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_normalised_and_what_is_missing_is_left_out() {
        let root = std::env::temp_dir().join(format!("wse-sysctl-{}", uuid::Uuid::now_v7()));
        for (file, text) in [
            ("net/core/somaxconn", "4096\n"),
            ("net/core/rmem_max", "212992\n"),
            ("net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
        ] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let expected = [
            ("net.core.somaxconn", "4096"),
            ("net.ipv4.tcp_rmem", "4096 131072 6291456"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read_under(&root), BTreeMap::from(expected));
        fs::remove_dir_all(&root).unwrap();
    }
}
