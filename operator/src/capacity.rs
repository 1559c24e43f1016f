//! What a gateway was measured to carry: figures of `wse-bench` as data, which `docs/figures.md` shows
//! with their machine. The planner counts on them, and so do the days that `simulation` makes up.

/// Messages through gateways at one fan-out.
#[derive(Clone, Copy, Debug)]
struct FanOut {
    /// Subscribers of the topic that is published on.
    subscribers: u32,
    /// Calls of the backends' API and deliveries together, for a second of one processor.
    messages_per_cpu_second: u64,
}

/// By `e2e/figures/capacity.sh`, with messages of 128 bytes; where a fan-out was measured at two rates,
/// the lower figure.
const FAN_OUT: [FanOut; 4] = [
    fan_out(1, 28_300),
    fan_out(10, 115_400),
    fan_out(100, 167_000),
    fan_out(1_000, 153_800),
];

/// From so many subscribers on, deliveries are what a message costs. With fewer, calls are, and those
/// a gateway does not count as messages: the processor time that it tells asks for pods then.
const MANY: u32 = 100;

/// Messages, in and out together, that a thousandth of a processor carries a second.
pub(crate) const MESSAGES_PER_MILLICORE: u64 = {
    let mut least = u64::MAX;
    let mut at = 0;
    while at < FAN_OUT.len() {
        if FAN_OUT[at].subscribers >= MANY && FAN_OUT[at].messages_per_cpu_second < least {
            least = FAN_OUT[at].messages_per_cpu_second;
        }
        at += 1;
    }
    least / 1_000
};

/// Memory that an idle connection takes of its gateway, by `e2e/figures/connections.sh` with 99,000.
pub(crate) const CONNECTION_BYTES: u64 = 1_747;

/// Bytes, in and out together, that a pod carries a second: half of what a network interface of
/// 1 Gbit/s does in both directions. Of a node, not of a gateway, which does more.
pub(crate) const BYTES_PER_POD: u64 = 125_000_000;

const fn fan_out(subscribers: u32, messages_per_cpu_second: u64) -> FanOut {
    FanOut {
        subscribers,
        messages_per_cpu_second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page, by lines of cells.
    fn shown() -> Vec<Vec<&'static str>> {
        let page = include_str!("../../docs/figures.md");
        let cells = |line: &'static str| line.split('|').map(str::trim).collect();
        page.lines().map(cells).collect()
    }

    fn number(cell: &str) -> Option<u64> {
        cell.replace(',', "").parse().ok()
    }

    #[test]
    fn the_figures_are_those_of_the_page() {
        for measured in FAN_OUT {
            let of_it = shown().into_iter().filter_map(|cells| {
                let subscribers = number(cells.get(1)?)?;
                let found = number(cells.get(4)?)?;
                (subscribers == u64::from(measured.subscribers)).then_some(found)
            });
            assert_eq!(
                of_it.min(),
                Some(measured.messages_per_cpu_second),
                "{measured:?}"
            );
        }
        let memory = shown()
            .into_iter()
            .find(|cells| cells.get(1) == Some(&"memory"));
        let bytes = memory.and_then(|cells| number(cells[2].split(' ').next()?));
        assert_eq!(bytes, Some(CONNECTION_BYTES));
    }

    #[test]
    fn the_planner_counts_on_the_least_of_many() {
        assert_eq!(MESSAGES_PER_MILLICORE, 153);
    }
}
