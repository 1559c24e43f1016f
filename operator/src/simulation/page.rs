//! Days as a page: tables of what was chosen, what clients felt, and what it costs.

use std::fmt::Write;

use super::{Day, Fleet, Scenario};
use crate::tier::Tier;

/// How the page is made again.
pub const COMMAND: &str = "cargo run -p wse-operator --example simulate -- --out docs/simulation";

const DAY_COLUMNS: [&str; 12] = [
    "connections at most",
    "pods at most",
    "pod-hours",
    "scale-ups",
    "scale-ins",
    "moves",
    "asked to leave/s",
    "reconnects/s",
    "fullest pod",
    "over capacity",
    "longest",
    "uneven",
];

const COST_COLUMNS: [&str; 10] = [
    "tier",
    "clients",
    "pods",
    "processors",
    "memory GiB",
    "pod-hours",
    "if fixed",
    "saved",
    "processor-hours",
    "GiB-hours",
];

/// The fleets that the table of costs is about: each tier's bound, and the largest.
pub fn priced() -> Vec<Fleet> {
    let bounds = Tier::ALL.map(|tier| tier.figures().connections);
    let larger = Fleet::ALL.into_iter().map(|fleet| fleet.connections);
    let larger = larger.filter(|connections| *connections > bounds[bounds.len() - 1]);
    let all = bounds.into_iter().chain(larger.filter(|it| *it > 100_000));
    all.map(|connections| Fleet { connections }).collect()
}

/// The whole page. `plot` gives the file that shows a scenario.
pub fn page(days: &[Day], priced: &[Day], plot: impl Fn(Scenario) -> String) -> String {
    let mut page = format!("{INTRODUCTION}\n```sh\n{COMMAND}\n```\n\n{READING}");
    for scenario in Scenario::ALL {
        let title = scenario.name().replace('-', " ");
        let (head, tail) = title.split_at(1);
        let title = head.to_uppercase() + tail;
        let text = scenario.text();
        let plot = plot(scenario);
        _ = write!(page, "\n## {title}\n\n{text}\n\n![{title}]({plot})\n\n");
        page += &head_of("clients", &DAY_COLUMNS);
        let of_it = days.iter().filter(|day| day.scenario == scenario);
        page.extend(of_it.map(row));
    }
    _ = write!(page, "\n## Costs\n\n{COSTS}\n");
    page += &head_of(COST_COLUMNS[0], &COST_COLUMNS[1..]);
    page.extend(priced.iter().map(cost));
    page
}

/// A day's row of its scenario's table.
pub fn row(day: &Day) -> String {
    let it = &day.figures;
    let cells = [
        number(it.peak_connections),
        number(it.peak_pods),
        number(it.pod_hours.round() as u32),
        number(it.scale_ups),
        number(it.scale_ins),
        number(it.moves),
        number(it.asked_per_second.ceil() as u32),
        number(it.reconnects_per_second.ceil() as u32),
        format!("{} %", it.worst_percent),
        seconds(it.over_seconds),
        seconds(it.longest_over_seconds),
        seconds(it.uneven_seconds),
    ];
    line(&number(day.fleet.connections), &cells)
}

/// A day's row of the table of costs.
pub fn cost(day: &Day) -> String {
    let it = &day.figures;
    let fixed = f64::from(it.peak_pods) * 24.0;
    let saved = (1.0 - it.pod_hours / fixed) * 100.0;
    let cells = [
        number(day.fleet.connections),
        number(it.peak_pods),
        format!("{:.2}", it.peak_cpus),
        format!("{:.2}", it.peak_gib),
        number(it.pod_hours.round() as u32),
        number(fixed as u32),
        format!("{:.0} %", saved.abs()),
        number(it.cpu_hours.round() as u32),
        number(it.gib_hours.round() as u32),
    ];
    line(day.fleet.tier().name(), &cells)
}

fn head_of(first: &str, columns: &[&str]) -> String {
    let rule = "---|".repeat(columns.len() + 1);
    format!("| {first} | {} |\n|{rule}\n", columns.join(" | "))
}

fn line(first: &str, cells: &[String]) -> String {
    format!("| {first} | {} |\n", cells.join(" | "))
}

fn seconds(seconds: u64) -> String {
    match seconds {
        0 => "-".into(),
        seconds => format!("{} s", number(seconds)),
    }
}

/// With a comma before each three digits.
fn number(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const INTRODUCTION: &str = "\
# Days of load, simulated

What the planner does with a fleet through a day. The planner is the operator's own; time, pods and clients are
simulated, from the seed 1. The file is written by this command, and tests check its tables for fleets of up to
100,000 clients:
";

const READING: &str = "\
`operator/src/simulation` holds the rules. A pod is ready 10 to 40 s after it is made, and one start in fifty fails. A
connection lasts two hours on average, and clients who lose theirs try again within some seconds. Pods drain as
gateways do it, ReplicaSets remove what is not ready first, a lost node's pods are replaced after 340 s as Kubernetes
does it by default, and `/load` is now and then not answered. Mode `Autoscale`, tier `Auto`, a fifth of the peak
expected, everything else by default but `drain.reconnectsPerSecond`, which is 100 for each pod of the peak, at least
1,000. Tests check on several seeds that no pod with clients is removed undrained, that what is not known takes no pod
away, that no more clients are asked to leave than allowed, that the number of pods turns no more often than the
load, and that overload ends as soon as pods can start and clients can be asked to move.

- *moves*: clients that were asked to leave, by drains and rebalancing; *asked to leave/s* is the most in the mean of a
  drain's window of 30 s.
- *reconnects/s*: the most clients that came back in a second, whatever made them.
- *fullest pod*: of the connections that the tier gives a pod. *over capacity*: how long any pod had more, in all, and
  the longest time of it.
- *uneven*: the longest time from the last new pod until no pod had more than 1.2 times the mean.

The plots show the fleet of 1,000,000; [another one](daily-100000.svg) the daily curve for 100,000, whose tier changes.
";

const COSTS: &str = "\
The daily curve, for fleets whose peak is a tier's bound, and for larger ones. *processors* and *memory* are what all pods
ask for at the peak; a pod keeps what the tier asked for when it was made. *if fixed* is a fleet that always has the
pods of the peak. Below Maximum a tier's least number of pods carries all of it, so nothing is there to save.
";
