//! For a terminal.

use std::io::{IsTerminal, Write};

pub(crate) const BOLD: &str = "1";
pub(crate) const DIM: &str = "2";
pub(crate) const RED: &str = "31";
pub(crate) const GREEN: &str = "32";
pub(crate) const YELLOW: &str = "33";

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    pub(crate) has_colour: bool,
}

impl Paint {
    /// Colours if stdout is a terminal, and nobody asked for none.
    pub(crate) fn of_stdout() -> Self {
        let wants = std::env::var_os("NO_COLOR").is_none();
        Self {
            has_colour: std::io::stdout().is_terminal() && wants,
        }
    }

    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        match self.has_colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// The rows as lines, with each column as wide as its widest cell.
pub(crate) fn aligned(rows: &[&Vec<String>]) -> Vec<String> {
    padded(rows).iter().map(|row| row.join("  ")).collect()
}

/// The rows, with each cell as wide as its column's widest.
pub(crate) fn padded(rows: &[&Vec<String>]) -> Vec<Vec<String>> {
    let columns = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let pad = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, &width)| format!("{cell:>width$}"));
        padded.collect()
    };
    rows.iter().map(pad).collect()
}

/// Writes a report to stdout.
///
/// # Errors
/// When that is closed.
pub(crate) fn print(report: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout();
    let written = stdout
        .write_all(report.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| format!("cannot print the report: {error}"))
}
