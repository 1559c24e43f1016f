//! What there is to say of rounds: a table for each test, and remarks for each round.

use crate::latency::Summary;
use crate::output::count;
use crate::processor;
use crate::server;
use crate::suite::figures::{Figures, Report};
use crate::suite::test::Test;

/// The rounds of one test.
pub(super) struct Table<'a> {
    pub(super) test: Test,
    pub(super) heads: Vec<String>,
    pub(super) rounds: Vec<(Vec<String>, &'a Figures)>,
}

/// One table for each test, in the order in which they ran.
pub(super) fn tables(report: &Report) -> Vec<Table<'_>> {
    let by_test = report.rounds.chunk_by(|a, b| a.test == b.test);
    by_test
        .map(|rounds| Table::new(rounds[0].test, rounds))
        .collect()
}

impl<'a> Table<'a> {
    fn new(test: Test, rounds: &'a [Figures]) -> Self {
        let has_sizes = rounds.iter().any(|it| it.size_bytes.is_some());
        let has_latency = !test.latency_of().is_empty();
        let mut heads = vec!["tier".to_owned()];
        heads.extend(has_sizes.then(|| "bytes".to_owned()));
        heads.extend(["opened".to_owned(), "held".to_owned()]);
        heads.push(format!("{}/s", test.rate_of()));
        if has_latency {
            heads.extend(["p50", "p90", "p99", "p99.9", "max"].map(|it| format!("{it} ms")));
        }
        let row = |figures: &'a Figures| {
            let mut row = vec![count(figures.tier as u64)];
            let size = figures
                .size_bytes
                .map_or_else(String::new, |it| count(it as u64));
            row.extend(has_sizes.then_some(size));
            row.extend([count(figures.opened), count(figures.held)]);
            let rate = figures.rate.map(|it| count(it.round() as u64));
            row.push(rate.unwrap_or_else(|| "-".to_owned()));
            if has_latency {
                row.extend(latencies(figures.latency.as_ref()));
            }
            (row, figures)
        };
        Self {
            test,
            heads,
            rounds: rounds.iter().map(row).collect(),
        }
    }
}

/// What a table's columns do not tell.
pub(super) fn remarks(figures: &Figures) -> Vec<String> {
    let mut said = processor::remarks(&figures.generator);
    if let Some(handshake) = &figures.handshake {
        said.push(format!(
            "handshake alone, however late it was begun: {handshake}"
        ));
    }
    if let (Some(sent), Some(read)) = (figures.sent, figures.read) {
        said.push(format!(
            "sent {}, of which the server's PONGs say that it has read {}",
            count(sent),
            count(read)
        ));
    }
    if let (Some(expected), Some(delivered)) = (figures.expected, figures.delivered) {
        let published = figures
            .published
            .map(|it| format!("published {}, ", count(it)));
        said.push(format!(
            "{}delivered {} of {}: {} missing, {} repeated",
            published.unwrap_or_default(),
            count(delivered),
            count(expected),
            count(figures.missing.unwrap_or_default()),
            count(figures.repeated.unwrap_or_default()),
        ));
    }
    if let Some(unanswered @ 1..) = figures.unanswered {
        said.push(format!("{} were due and not answered", count(unanswered)));
        if figures.test == Test::SubscriptionChurn && figures.latency.is_none() {
            let why = "this server may leave subscriptions to its application, as WSE's does";
            said.push(format!("nothing was acknowledged: {why}"));
        }
    }
    for (why, many) in &figures.failures {
        said.push(format!("{} failed: {why}", count(*many)));
    }
    for (code, many) in &figures.told {
        said.push(format!("the server said {code} {} times", count(*many)));
    }
    said.extend(server_count(figures));
    if let Some(limit) = figures.limit {
        let most = count(limit.stable as u64);
        said.push(match limit.failing {
            Some(failing) => format!(
                "the limit is {most}; of {} too many failed",
                count(failing as u64)
            ),
            None => format!("{most} got in, which is the most that was tried"),
        });
    }
    said.extend(figures.notes.iter().cloned());
    said
}

fn server_count(figures: &Figures) -> Option<String> {
    let has_messages = figures.sent.is_some() || figures.delivered.is_some();
    let Some(did) = &figures.server else {
        return has_messages.then(|| {
            "what the server did with each message is not known: it shows no metrics (--metrics)".into()
        });
    };
    server::words(did)
}

fn latencies(latency: Option<&Summary>) -> [String; 5] {
    ["p50", "p90", "p99", "p99.9", "max"].map(|name| {
        let micros = latency.and_then(|it| it.by_name(name));
        micros.map_or_else(|| "-".to_owned(), |it| format!("{:.2}", it / 1_000.0))
    })
}
