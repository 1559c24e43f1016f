//! Plots as SVG for a page. Colours are classes of the page's style, so that they follow light and dark:
//! plotters only writes fixed ones, which are exchanged afterwards.

use std::error::Error;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::count;
use super::page::escape;

/// What plotters writes, and what the page is to have for it.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
/// There are so many for lines; then they begin again.
const LINES: usize = 12;

/// A line, and what it is.
pub(crate) struct Line {
    /// Empty for the only one.
    pub(crate) name: String,
    /// One whose height is not a number is a gap.
    pub(crate) points: Vec<(f64, f64)>,
}

/// What a plot is of.
pub(crate) struct Axes<'a> {
    pub(crate) title: &'a str,
    pub(crate) across: &'a str,
    /// Unit of the numbers upwards. Empty: they are counts.
    pub(crate) up: &'a str,
    /// How a place on the axis across is named.
    pub(crate) label: &'a dyn Fn(f64) -> String,
}

/// What is drawn around the lines.
pub(super) struct Frame<'a> {
    pub(super) size: (u32, u32),
    /// Both ends of the axis across.
    pub(super) across: (f64, f64),
    /// What is above the highest point, as a part of its height.
    pub(super) above: f64,
    pub(super) marks: &'a [Mark<'a>],
}

/// A moment, and its name: at a part of the plot's height.
pub(super) struct Mark<'a> {
    pub(super) at: f64,
    pub(super) name: &'a str,
    pub(super) height: f64,
}

/// The lines that have more than one point, which a single number is not, as the inside of a figure. None:
/// there are none.
///
/// # Errors
/// When plotters refuses, which it does for no report.
pub(crate) fn plot(axes: &Axes<'_>, lines: Vec<Line>) -> Result<Option<String>, String> {
    let lines: Vec<Line> = lines.into_iter().filter(|it| it.points.len() > 1).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let all = lines.iter().flat_map(|line| &line.points);
    let frame = Frame {
        size: (460, 260),
        across: bounds(all.map(|it| it.0)),
        above: 0.1,
        marks: &[],
    };
    framed(axes, &frame, &lines).map(Some)
}

/// # Errors
/// As [`plot`].
pub(super) fn framed(axes: &Axes<'_>, frame: &Frame<'_>, lines: &[Line]) -> Result<String, String> {
    let mut svg = String::new();
    draw(&mut svg, axes, frame, lines).map_err(|error| error.to_string())?;
    Ok(themed(&svg) + &legend(lines))
}

/// Which line is which, below the plot, where it hides nothing. The only one needs none.
fn legend(lines: &[Line]) -> String {
    if lines.len() < 2 {
        return String::new();
    }
    let names = lines.iter().enumerate().map(|(number, line)| {
        let (colour, name) = (number % LINES + 1, escape(&line.name));
        format!("<span style=\"color: var(--line{colour})\">{name}</span> ")
    });
    format!("<figcaption>{}</figcaption>", names.collect::<String>())
}

fn draw<'a>(
    svg: &'a mut String,
    axes: &Axes<'_>,
    frame: &Frame<'_>,
    lines: &[Line],
) -> Result<(), Box<dyn Error + 'a>> {
    let root = SVGBackend::with_string(svg, frame.size).into_drawing_area();
    let (left, right) = frame.across;
    let (_, top) = bounds(lines.iter().flat_map(|line| &line.points).map(|it| it.1));
    let end = top * (1.0 + frame.above);
    let style = |size: u32| ("sans-serif", size).into_font().color(&INK);
    let mut chart = ChartBuilder::on(&root)
        .caption(axes.title, style(14))
        .margin(8)
        .margin_right(28)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(left..right, 0.0..end)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(style(11))
        .x_desc(axes.across)
        .x_labels((frame.size.0 / 90) as usize)
        .y_labels(5)
        .x_label_formatter(&|x| (axes.label)(*x))
        .y_label_formatter(&|y| match axes.up {
            // Between two counts there is none.
            "" if (y - y.round()).abs() > 1e-6 => String::new(),
            "" => count(*y as u64),
            _ if top >= 10.0 => format!("{y:.0}"),
            _ => format!("{y:.2}"),
        })
        .draw()?;
    for mark in frame.marks {
        chart.draw_series([PathElement::new([(mark.at, 0.0), (mark.at, end)], GRID)])?;
        let is_late = mark.at > left + 0.85 * (right - left);
        let side = if is_late { HPos::Right } else { HPos::Left };
        let name = style(11).pos(Pos::new(side, VPos::Top));
        chart.draw_series([Text::new(
            mark.name.to_owned(),
            (mark.at, mark.height * end),
            name,
        )])?;
    }
    for (number, line) in lines.iter().enumerate() {
        let colour = colour(number);
        for part in line.points.split(|(_, height)| height.is_nan()) {
            let points = part.iter().copied();
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        }
    }
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}

/// The colour of the line with a number, from 0 on.
fn colour(number: usize) -> RGBColor {
    RGBColor(3, 3, (number % LINES) as u8 + 1)
}

fn bounds(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    if high > low {
        (low, high)
    } else {
        (low, low + 1.0)
    }
}

/// With the page's own colours.
fn themed(svg: &str) -> String {
    let mut themed = svg
        .replace("#010101", "var(--ink)")
        .replace("#020202", "var(--grid)");
    for number in 1..=LINES {
        let drawn = format!("#0303{number:02X}");
        themed = themed.replace(&drawn, &format!("var(--line{number})"));
    }
    themed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_no_colour_that_the_page_does_not_choose() {
        let line = |name: &str| Line {
            name: name.into(),
            points: vec![(1.0, 2.0), (2.0, 7.0)],
        };
        let axes = Axes {
            title: "t",
            across: "a",
            up: "",
            label: &|x| x.to_string(),
        };
        let lines = (1..=LINES).map(|number| line(&number.to_string()));
        let svg = plot(&axes, lines.collect()).unwrap().unwrap();
        assert!(svg.contains("var(--line12)") && svg.contains("var(--ink)"));
        assert!(!svg.contains('#'), "{svg}");
    }
}
