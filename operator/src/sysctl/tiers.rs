//! What each tier asks of the kernel, and why.
//!
//! Left alone on purpose:
//! - `net.ipv4.tcp_keepalive_*`: the gateway sets keepalive and a user timeout on each client's socket
//!   itself, so these change nothing for clients;
//! - `net.ipv4.ip_local_port_range`: clients come in, and a gateway dials Redis and little else;
//! - `net.ipv4.tcp_max_syn_backlog`: with SYN cookies, the default, the listener's own backlog bounds
//!   the half-open connections;
//! - `net.ipv4.tcp_tw_reuse`: it is for those who dial.

use crate::tier::Tier;

/// Seconds that a socket which the gateway has closed waits for its client's end (FIN_WAIT2); 60 by
/// default (kernel, ip-sysctl). A drain closes a pod's clients within a window, and each that takes
/// note and does not close leaves a socket for so long, of which the machine has a limited number.
const FIN: &str = "net.ipv4.tcp_fin_timeout";

/// Smallest, first and largest receive buffer of a socket, in bytes: 4096 131072 6291456 by default,
/// the last one by the machine's memory (kernel, ip-sysctl). A control group's memory includes these
/// buffers, so the last figure times the connections is what clients who send faster than they are
/// read can take from a pod. 256 KiB are 20 Mbit/s for a client 100 ms away.
const RECEIVE: &str = "net.ipv4.tcp_rmem";

/// The same for sending, 4096 16384 4194304 by default. What lies there is beyond the gateway's own
/// bound for a slow client, so it bounds what slow clients cost twice.
const SEND: &str = "net.ipv4.tcp_wmem";

/// Bytes that a socket takes beyond what is on its way; no bound by default. What does not fit waits
/// in the gateway, where it is bounded and the topic's policy for slow clients can still drop or replace
/// it. 128 KiB keep a fast connection busy.
const UNSENT: &str = "net.ipv4.tcp_notsent_lowat";

/// Whether a connection that was silent starts again with ten segments; it does by default. A client
/// that is told things now and then would have each longer message come in steps of a round trip.
const SLOW_START: &str = "net.ipv4.tcp_slow_start_after_idle";

/// Bound of every accept queue, 4,096 by default since Linux 5.4. Needed only where the tier's own
/// backlog is above that: the kernel takes the lower one.
const ACCEPT: &str = "net.core.somaxconn";

const LOW: &[(&str, &str)] = &[(UNSENT, "131072"), (SLOW_START, "0")];
const MEDIUM: &[(&str, &str)] = &[(FIN, "30"), (UNSENT, "131072"), (SLOW_START, "0")];
const HIGH: &[(&str, &str)] = &[
    (FIN, "20"),
    (UNSENT, "131072"),
    (RECEIVE, "4096 65536 1048576"),
    (SLOW_START, "0"),
    (SEND, "4096 16384 1048576"),
];
const VERY_HIGH: &[(&str, &str)] = &[
    (FIN, "15"),
    (UNSENT, "65536"),
    (RECEIVE, "4096 32768 524288"),
    (SLOW_START, "0"),
    (SEND, "4096 16384 524288"),
];
const EXTREME: &[(&str, &str)] = &[
    (FIN, "10"),
    (UNSENT, "65536"),
    (RECEIVE, "4096 32768 262144"),
    (SLOW_START, "0"),
    (SEND, "4096 16384 262144"),
];
const MAXIMUM: &[(&str, &str)] = &[
    (ACCEPT, "16384"),
    (FIN, "10"),
    (UNSENT, "65536"),
    (RECEIVE, "4096 32768 262144"),
    (SLOW_START, "0"),
    (SEND, "4096 16384 262144"),
];

/// What pods of the tier want, by name. A hundred connections need nothing that a kernel does not
/// give by itself.
pub fn of_tier(tier: Tier) -> &'static [(&'static str, &'static str)] {
    match tier {
        Tier::Minimal | Tier::Light => &[],
        Tier::Low => LOW,
        Tier::Medium => MEDIUM,
        Tier::High => HIGH,
        Tier::VeryHigh => VERY_HIGH,
        Tier::Extreme => EXTREME,
        Tier::Maximum => MAXIMUM,
    }
}

/// The settings of all tiers, for people. A dash: the kernel's own.
pub fn table() -> String {
    let heads = [
        ("fin timeout", FIN),
        ("receive buffer", RECEIVE),
        ("send buffer", SEND),
        ("unsent", UNSENT),
        ("slow start", SLOW_START),
        ("somaxconn", ACCEPT),
    ];
    let mut text = format!("{:<9}", "tier");
    let width = |name| {
        if name == RECEIVE || name == SEND {
            20
        } else {
            12
        }
    };
    for (head, name) in heads {
        text += &format!("{head:>0$}", width(name));
    }
    text.push('\n');
    for tier in Tier::ALL {
        text += &format!("{tier:<9}");
        for (_, name) in heads {
            let found = of_tier(tier).iter().find(|(it, _)| *it == name);
            let value = found.map_or("-", |(_, value)| value);
            text += &format!("{value:>0$}", width(name));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysctl::{Class, Version, classify};

    #[test]
    fn every_setting_of_a_tier_is_one_that_a_pod_may_have() {
        for tier in Tier::ALL {
            for (name, _) in of_tier(tier) {
                match classify(name) {
                    Class::Safe { .. } => {}
                    Class::Unsafe => assert_eq!(*name, ACCEPT, "{tier} needs one more preflight"),
                    Class::NodeLevel => panic!("{tier}: {name} is the node's"),
                }
            }
            let names = of_tier(tier).windows(2);
            assert!(
                names.into_iter().all(|pair| pair[0].0 < pair[1].0),
                "{tier}"
            );
        }
    }

    #[test]
    fn accept_queues_are_raised_where_the_kernel_would_cut_the_backlog() {
        const DEFAULT: u32 = 4_096;
        for tier in Tier::ALL {
            let backlog = tier.figures().backlog;
            let found = of_tier(tier).iter().find(|(name, _)| *name == ACCEPT);
            let expected = (backlog > DEFAULT).then(|| backlog.to_string());
            assert_eq!(
                found.map(|(_, value)| (*value).to_owned()),
                expected,
                "{tier}"
            );
        }
    }

    #[test]
    fn buffers_are_a_smallest_a_first_and_a_largest_that_never_grow_with_the_tier() {
        for name in [RECEIVE, SEND] {
            let mut before = u64::MAX;
            for tier in Tier::ALL {
                let Some((_, value)) = of_tier(tier).iter().find(|(it, _)| *it == name) else {
                    assert_eq!(before, u64::MAX, "{tier} goes back to the kernel's own");
                    continue;
                };
                let bytes: Vec<u64> = value.split(' ').map(|it| it.parse().unwrap()).collect();
                assert!(bytes.len() == 3 && bytes.is_sorted(), "{tier}: {value}");
                assert!(bytes[2] <= before, "{tier}: {value}");
                before = bytes[2];
            }
        }
    }

    #[test]
    fn high_differs_from_light_on_every_kubelet_that_is_still_supported() {
        let safe = |tier| {
            let settings = of_tier(tier).iter();
            let holds = |(name, _): &&(&str, &str)| matches!(classify(name), Class::Safe { kubelet, .. } if kubelet <= Some(Version(1, 34)));
            settings.filter(holds).collect::<Vec<_>>()
        };
        assert_ne!(safe(Tier::Light), safe(Tier::High));
    }

    #[test]
    fn the_table_shows_every_setting() {
        let text = table();
        let rows: Vec<&str> = text.lines().skip(1).collect();
        for (tier, row) in Tier::ALL.into_iter().zip(rows) {
            assert!(row.starts_with(tier.name()));
            for (name, value) in of_tier(tier) {
                assert!(row.contains(value), "{tier}: {name}");
            }
        }
    }
}
