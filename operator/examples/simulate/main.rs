//! Simulates days of load for fleets of 1,000 to 10,000,000 clients, and writes tables and plots.

mod plot;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use clap::Parser;
use wse_operator::simulation::{Day, Fleet, Scenario, page, priced, simulate};

/// The fleet whose plots are in the documentation.
const PLOTTED: u32 = 1_000_000;
/// And the one whose daily curve shows how the tier changes.
const CHANGES_TIER: u32 = 100_000;
/// As in the tests that check the tables.
const SEED: u64 = 1;

/// Simulates days of load for fleets of many sizes.
#[derive(Parser)]
struct Arguments {
    /// Folder to write `README.md` and the plots to.
    #[arg(long)]
    out: PathBuf,
    /// Also write plots of the fleets that the documentation does not show.
    #[arg(long)]
    all_plots: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.out)?;
    let scenarios = |fleet| Scenario::ALL.map(|scenario| (scenario, fleet));
    let days = simulate_all(Fleet::ALL.into_iter().flat_map(scenarios).collect());
    let costs = priced().into_iter().map(|fleet| (Scenario::Daily, fleet));
    let costs = simulate_all(costs.collect());

    let file = |scenario: Scenario, fleet: Fleet| match fleet.connections {
        PLOTTED => format!("{}.svg", scenario.name()),
        connections => format!("{}-{connections}.svg", scenario.name()),
    };
    for day in &days {
        let is_shown = match day.fleet.connections {
            PLOTTED => true,
            CHANGES_TIER => day.scenario == Scenario::Daily,
            _ => false,
        };
        if arguments.all_plots || is_shown {
            let svg = plot::draw(day)?;
            std::fs::write(arguments.out.join(file(day.scenario, day.fleet)), svg)?;
        }
    }
    let plotted = Fleet {
        connections: PLOTTED,
    };
    let page = page(&days, &costs, |scenario| file(scenario, plotted));
    std::fs::write(arguments.out.join("README.md"), page)?;
    let breaches = days.iter().flat_map(|day| &day.breaches).count();
    match breaches {
        0 => Ok(()),
        breaches => Err(format!("{breaches} times something was so that must never be").into()),
    }
}

/// All of them, in this order, on all processors. The largest are begun first.
fn simulate_all(wanted: Vec<(Scenario, Fleet)>) -> Vec<Day> {
    let left: Mutex<Vec<_>> = Mutex::new(wanted.iter().copied().enumerate().collect());
    let days = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = left.lock().expect("nobody panics with it").pop();
            let Some((index, (scenario, fleet))) = next else {
                return;
            };
            let began = Instant::now();
            let day = simulate(scenario, fleet, SEED);
            let seconds = began.elapsed().as_secs_f64();
            eprintln!(
                "{} of {}: {seconds:.1} s",
                scenario.name(),
                fleet.connections
            );
            for breach in &day.breaches {
                eprintln!("  {breach}");
            }
            days.lock()
                .expect("nobody panics with it")
                .push((index, day));
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let mut days = days.into_inner().expect("nobody panics with it");
    days.sort_by_key(|(index, _)| *index);
    days.into_iter().map(|(_, day)| day).collect()
}
