//! A comparison as people want it.

use std::fmt::Write;

use super::figures::{Compared, Comparison, Verdict};
use crate::output::{
    BOLD, DIM, GREEN, Paint, RED, YELLOW, aligned, count, markdown_escape, markdown_table,
};

pub(super) fn text(comparison: &Comparison, paint: Paint) -> String {
    let mut out = format!("{}\n\n", about(comparison));
    let rows: Vec<Vec<String>> = comparison.figures.iter().map(row).collect();
    let heads = heads();
    let all: Vec<&Vec<String>> = [&heads].into_iter().chain(&rows).collect();
    let mut lines = aligned(&all).into_iter();
    let _ = writeln!(
        out,
        "  {}",
        paint.paint(DIM, &lines.next().unwrap_or_default())
    );
    for (figure, line) in comparison.figures.iter().zip(lines) {
        let line = match figure.verdict {
            Verdict::Better => paint.paint(GREEN, &line),
            Verdict::Same => line,
            Verdict::Untold => paint.paint(YELLOW, &line),
            Verdict::Worse => paint.paint(RED, &line),
        };
        let _ = writeln!(out, "  {line}");
    }
    for only in only(comparison) {
        let _ = writeln!(out, "\n{}", paint.paint(YELLOW, &only));
    }
    let colour = if comparison.regressions > 0 {
        RED
    } else {
        BOLD
    };
    let _ = writeln!(out, "\n{}", paint.paint(colour, &conclusion(comparison)));
    out
}

pub(super) fn markdown(comparison: &Comparison) -> String {
    let mut out = format!("{}\n\n", markdown_escape(&about(comparison)));
    let rows: Vec<Vec<String>> = comparison.figures.iter().map(row).collect();
    out += &markdown_table(&heads(), rows.iter());
    for only in only(comparison) {
        let _ = writeln!(out, "\n{}", markdown_escape(&only));
    }
    let _ = writeln!(out, "\n{}", conclusion(comparison));
    out
}

fn about(comparison: &Comparison) -> String {
    let (old, new) = (&comparison.old, &comparison.new);
    format!(
        "old {} (against {}), new {} (against {})",
        old.file, old.server, new.file, new.server
    )
}

fn heads() -> Vec<String> {
    ["of", "figure", "old", "new", "change", ""]
        .map(str::to_owned)
        .to_vec()
}

fn row(compared: &Compared) -> Vec<String> {
    let number = |it: Option<f64>| match it {
        None => "-".to_owned(),
        Some(it) => count(it.round() as u64),
    };
    let change = compared.change_percent.map(|it| format!("{it:+.1} %"));
    let verdict = match compared.verdict {
        Verdict::Better => "better",
        Verdict::Same => "",
        Verdict::Untold => "told by one only",
        Verdict::Worse => "worse",
    };
    vec![
        compared.of.clone(),
        compared.figure.to_owned(),
        number(compared.old),
        number(compared.new),
        change.unwrap_or_default(),
        verdict.to_owned(),
    ]
}

fn only(comparison: &Comparison) -> Vec<String> {
    let sides = [
        ("old", &comparison.only_in_old),
        ("new", &comparison.only_in_new),
    ];
    let some = sides.into_iter().filter(|(_, names)| !names.is_empty());
    some.map(|(side, names)| format!("only in the {side} one: {}", names.join(", ")))
        .collect()
}

fn conclusion(comparison: &Comparison) -> String {
    let (worse, all) = (comparison.regressions, comparison.figures.len());
    let percent = comparison.worse_than_percent;
    format!("{worse} of {all} figures are worse (rates and latencies by more than {percent} %)")
}
