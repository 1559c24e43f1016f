//! A table for each piece of work, and what each server did with a message.

use std::fmt::Write;

use super::figures::{Compared, Figures, Report};
use super::work::Piece;
use crate::output::{BOLD, DIM, Paint, YELLOW, aligned, count, markdown_escape, markdown_table};

/// For a terminal.
pub(super) fn text(report: &Report, paint: Paint) -> String {
    let mut out = format!(
        "wse-bench {} beside its peers\n{}\n",
        report.version,
        about(report)
    );
    for compared in &report.work {
        let table = table(compared);
        let rows: Vec<&Vec<String>> = table.iter().collect();
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, &compared.title));
        for (number, line) in aligned(&rows).iter().enumerate() {
            let line = match number {
                0 => paint.paint(DIM, line),
                _ => line.clone(),
            };
            let _ = writeln!(out, "  {line}");
        }
        for remark in remarks(compared) {
            let _ = writeln!(out, "  {}", paint.paint(YELLOW, &remark));
        }
    }
    let _ = writeln!(out, "\n{}", paint.paint(BOLD, DID));
    for server in &report.servers {
        let (name, version) = (server.name, server.version);
        let _ = writeln!(out, "  {name} {version}");
        let _ = writeln!(
            out,
            "      {}",
            paint.paint(DIM, &format!("reads: {}", server.reads))
        );
        let publishes = format!("publishes: {}", server.publishes);
        let _ = writeln!(out, "      {}", paint.paint(DIM, &publishes));
    }
    for remark in end(report) {
        let _ = writeln!(out, "{}", paint.paint(YELLOW, &remark));
    }
    out
}

/// For a README.
pub(super) fn markdown(report: &Report) -> String {
    let mut out = format!("`wse-bench peers`: {}\n", about(report));
    for compared in &report.work {
        let table = table(compared);
        let _ = write!(out, "\n**{}**\n\n", compared.title);
        out.push_str(&markdown_table(&table[0], table[1..].iter()));
        let remarks = remarks(compared);
        if !remarks.is_empty() {
            out.push('\n');
        }
        for remark in remarks {
            let _ = writeln!(out, "- {}", markdown_escape(&remark));
        }
    }
    let heads = ["server", "a client's message", "a publication"].map(str::to_owned);
    let did: Vec<Vec<String>> = report
        .servers
        .iter()
        .map(|server| {
            let name = format!("{} {}", server.name, server.version);
            [&name, server.reads, server.publishes]
                .map(markdown_escape)
                .to_vec()
        })
        .collect();
    let _ = write!(out, "\n**{DID}**\n\n");
    out.push_str(&markdown_table(&heads, did.iter()));
    for remark in end(report) {
        let _ = write!(out, "\n{}\n", markdown_escape(&remark));
    }
    out
}

const DID: &str = "What each did with a message";

fn about(report: &Report) -> String {
    let machine = &report.machine;
    let pinned = match report.pinned {
        true => "a server has one processor, the clients have the others",
        false => "servers and clients share a processor",
    };
    let (rounds, seconds) = (report.rounds, report.seconds);
    format!(
        "{}, {} cores, Linux {}; {pinned}; medians of {rounds} rounds of {seconds} s",
        machine.processor, machine.cores, machine.kernel
    )
}

/// Its heads, and a row for each server.
fn table(compared: &Compared) -> Vec<Vec<String>> {
    let unit = compared.piece.unit();
    let one = unit.trim_end_matches('s').replace("deliverie", "delivery");
    let mut heads = vec!["server".to_owned()];
    let columns = columns(compared.piece);
    heads.extend(
        columns
            .iter()
            .map(|(head, _)| head.replace("{unit}", unit).replace("{one}", &one)),
    );
    let rows = compared.servers.iter().map(|server| {
        let cells = columns
            .iter()
            .map(|(_, cell)| cell(server).unwrap_or_else(|| "-".to_owned()));
        [server.name.to_owned()].into_iter().chain(cells).collect()
    });
    [heads].into_iter().chain(rows).collect()
}

type Column = (&'static str, fn(&Figures) -> Option<String>);

fn columns(piece: Piece) -> &'static [Column] {
    const CPU: Column = ("CPU us/{one}", |it| Some(format!("{:.3}", it.cpu_us?)));
    const RATIOS: Column = ("gateway to it: rate, CPU", |it| {
        let ratio = |it: Option<f64>| it.map_or_else(|| "-".to_owned(), |it| format!("{it:.2}"));
        Some(format!("{}, {}", ratio(it.rate_ratio), ratio(it.cpu_ratio)))
    });
    match piece {
        Piece::Idle => &[
            ("bytes/connection", |it| {
                Some(count(it.memory_bytes? as u64))
            }),
            ("gateway to it", |it| {
                Some(format!("{:.2}", it.memory_ratio?))
            }),
        ],
        Piece::Messages | Piece::FanOut => {
            &[("{unit}/s", |it| Some(count(it.rate? as u64))), CPU, RATIOS]
        }
        Piece::Latency => &[
            ("p50 ms", |it| Some(format!("{:.2}", it.p50_us? / 1e3))),
            ("p99 ms", |it| Some(format!("{:.2}", it.p99_us? / 1e3))),
            CPU,
        ],
    }
}

/// What the table does not tell.
fn remarks(compared: &Compared) -> Vec<String> {
    let mut said = Vec::new();
    for server in &compared.servers {
        let name = server.name;
        if server.limited_rounds > 0 {
            said.push(format!(
                "{name}: the generator was the limit in {} of {} rounds, so neither rate nor latency is told",
                server.limited_rounds,
                server.rounds.len()
            ));
        }
        if server.missing > 0 {
            said.push(format!(
                "{name}: {} deliveries did not come",
                count(server.missing)
            ));
        }
        for (why, many) in &server.failures {
            said.push(format!(
                "{name}: {} connections failed: {why}",
                count(*many)
            ));
        }
    }
    said
}

fn end(report: &Report) -> Vec<String> {
    let skipped = report.skipped.iter();
    let mut said: Vec<String> = skipped
        .map(|(name, why)| format!("{name} took no part: {why}"))
        .collect();
    if report.interrupted {
        said.push("Ended before its time: these are the figures so far.".into());
    }
    said
}
