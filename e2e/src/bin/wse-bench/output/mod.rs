//! What reports for people are laid out with: `text` for a terminal, `markdown` for an issue, `page` for a
//! browser, with `plot`s and `timeline`s in it. It knows no figure.

mod markdown;
mod page;
mod plot;
mod text;
mod timeline;

pub(crate) use self::markdown::{escape as markdown_escape, table as markdown_table};
pub(crate) use self::page::{Page, escape as page_escape};
pub(crate) use self::plot::{Axes, Line, plot};
pub(crate) use self::text::{BOLD, DIM, GREEN, Paint, RED, YELLOW, aligned, padded, print};
pub(crate) use self::timeline::{Timeline, stepped, timeline};

/// With commas between thousands.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}
