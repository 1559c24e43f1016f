//! What a kernel setting is to a kubelet.

use super::Version;

/// Who may set it, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Every pod, on a kubelet and a kernel that are new enough.
    Safe {
        /// The first kubelet that holds it safe. None: all do.
        kubelet: Option<Version>,
        /// The first kernel that has it for each network namespace; older ones make a kubelet hold it
        /// unsafe. None: all that Kubernetes runs on.
        kernel: Option<Version>,
    },
    /// A pod on a node whose kubelet allows it by name (`allowedUnsafeSysctls`).
    Unsafe,
    /// No pod: it is the whole node's.
    NodeLevel,
}

/// Kubernetes' documentation, "Using sysctls in a Kubernetes Cluster", of 1.37; the kernels are those
/// of its "Linux Kernel Version Requirements" and of the kubelet's `safe_sysctls.go`.
const SAFE: [(&str, Option<Version>, Option<Version>); 14] = [
    ("kernel.shm_rmid_forced", None, None),
    ("net.ipv4.ip_local_port_range", None, None),
    ("net.ipv4.ip_local_reserved_ports", since(27), kernel(3, 16)),
    ("net.ipv4.ip_unprivileged_port_start", since(22), None),
    ("net.ipv4.ping_group_range", since(18), None),
    ("net.ipv4.tcp_fin_timeout", since(29), kernel(4, 6)),
    ("net.ipv4.tcp_keepalive_intvl", since(29), kernel(4, 5)),
    ("net.ipv4.tcp_keepalive_probes", since(29), kernel(4, 5)),
    ("net.ipv4.tcp_keepalive_time", since(29), kernel(4, 5)),
    ("net.ipv4.tcp_notsent_lowat", since(37), kernel(4, 6)),
    ("net.ipv4.tcp_rmem", since(32), kernel(4, 15)),
    (
        "net.ipv4.tcp_slow_start_after_idle",
        since(37),
        kernel(4, 15),
    ),
    ("net.ipv4.tcp_syncookies", None, None),
    ("net.ipv4.tcp_wmem", since(32), kernel(4, 15)),
];

/// Names of the groups that a kubelet takes for namespaced, and that are the node's all the same:
/// even where a kubelet allows them no pod can set them, because its network namespace does not have
/// them, or only to be read.
const NODES: [&str; 8] = [
    "net.core.netdev_budget",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_mem",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_max",
];

/// The groups that a kubelet knows to be namespaced, in its `namespace.go`.
const NAMESPACED: [&str; 4] = ["fs.mqueue.", "kernel.msg", "kernel.shm", "net."];

/// What the setting of that name is. Names that nobody knows are unsafe where a kubelet could allow
/// them, and the node's elsewhere.
pub fn classify(name: &str) -> Class {
    if let Some(&(_, kubelet, kernel)) = SAFE.iter().find(|(it, ..)| *it == name) {
        return Class::Safe { kubelet, kernel };
    }
    let namespaced = NAMESPACED.iter().any(|group| name.starts_with(group));
    if (namespaced || name == "kernel.sem") && !NODES.contains(&name) {
        Class::Unsafe
    } else {
        Class::NodeLevel
    }
}

const fn since(minor: u32) -> Option<Version> {
    Some(Version(1, minor))
}

const fn kernel(major: u32, minor: u32) -> Option<Version> {
    Some(Version(major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_unsafe_or_the_nodes() {
        let safe = |kubelet, kernel| Class::Safe { kubelet, kernel };
        for (name, expected) in [
            ("net.ipv4.tcp_syncookies", safe(None, None)),
            ("net.ipv4.tcp_fin_timeout", safe(since(29), kernel(4, 6))),
            ("net.ipv4.tcp_rmem", safe(since(32), kernel(4, 15))),
            ("net.ipv4.tcp_notsent_lowat", safe(since(37), kernel(4, 6))),
            ("net.core.somaxconn", Class::Unsafe),
            ("net.ipv4.tcp_max_syn_backlog", Class::Unsafe),
            ("net.ipv6.conf.all.forwarding", Class::Unsafe),
            ("net.something.nobody.knows", Class::Unsafe),
            ("kernel.shmmax", Class::Unsafe),
            ("kernel.msgmax", Class::Unsafe),
            ("kernel.sem", Class::Unsafe),
            ("fs.mqueue.msg_max", Class::Unsafe),
            ("kernel.semaphore", Class::NodeLevel),
            ("kernel.pid_max", Class::NodeLevel),
            ("fs.mqueue", Class::NodeLevel),
            ("fs.file-max", Class::NodeLevel),
            ("fs.nr_open", Class::NodeLevel),
            ("net.core.rmem_max", Class::NodeLevel),
            ("net.core.wmem_max", Class::NodeLevel),
            ("net.netfilter.nf_conntrack_max", Class::NodeLevel),
            ("vm.swappiness", Class::NodeLevel),
            ("net", Class::NodeLevel),
            ("", Class::NodeLevel),
        ] {
            assert_eq!(classify(name), expected, "{name:?}");
        }
    }

    #[test]
    fn no_name_is_in_the_table_twice() {
        for pair in SAFE.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
        }
        for pair in NODES.windows(2) {
            assert!(pair[0] < pair[1], "{} {}", pair[0], pair[1]);
        }
        for name in NODES {
            assert_eq!(classify(name), Class::NodeLevel, "{name}");
        }
    }
}
