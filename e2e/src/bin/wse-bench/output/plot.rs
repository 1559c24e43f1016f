//! Plots as SVG for a page. Colours are classes of the page's style, so that they follow light and dark:
//! plotters only writes fixed ones, which are exchanged afterwards.

use std::error::Error;

use plotters::prelude::*;

use super::count;
use super::page::escape;

const SIZE: (u32, u32) = (460, 260);
/// What plotters writes, and what the page is to have for it.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const LINES: [RGBColor; 6] = [
    RGBColor(3, 3, 1),
    RGBColor(3, 3, 2),
    RGBColor(3, 3, 3),
    RGBColor(3, 3, 4),
    RGBColor(3, 3, 5),
    RGBColor(3, 3, 6),
];

/// A line, and what it is.
pub(crate) struct Line {
    /// Empty for the only one.
    pub(crate) name: String,
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
    let mut svg = String::new();
    draw(&mut svg, axes, &lines).map_err(|error| error.to_string())?;
    Ok(Some(themed(&svg) + &legend(&lines)))
}

/// Which line is which, below the plot, where it hides nothing. The only one needs none.
fn legend(lines: &[Line]) -> String {
    if lines.len() < 2 {
        return String::new();
    }
    let names = lines.iter().enumerate().map(|(number, line)| {
        let (colour, name) = (number % LINES.len() + 1, escape(&line.name));
        format!("<span style=\"color: var(--line{colour})\">{name}</span> ")
    });
    format!("<figcaption>{}</figcaption>", names.collect::<String>())
}

fn draw<'a>(
    svg: &'a mut String,
    axes: &Axes<'_>,
    lines: &[Line],
) -> Result<(), Box<dyn Error + 'a>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let all = || lines.iter().flat_map(|line| &line.points);
    let (left, right) = bounds(all().map(|it| it.0));
    let (_, top) = bounds(all().map(|it| it.1));
    let style = |size: u32| ("sans-serif", size).into_font().color(&INK);
    let mut chart = ChartBuilder::on(&root)
        .caption(axes.title, style(14))
        .margin(8)
        .margin_right(28)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(left..right, 0.0..top * 1.1)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(style(11))
        .x_desc(axes.across)
        .x_labels(5)
        .y_labels(5)
        .x_label_formatter(&|x| (axes.label)(*x))
        .y_label_formatter(&|y| match axes.up {
            "" => count(*y as u64),
            _ if top >= 10.0 => format!("{y:.0}"),
            _ => format!("{y:.2}"),
        })
        .draw()?;
    for (line, colour) in lines.iter().zip(LINES.iter().cycle()) {
        let points = line.points.iter().copied();
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
    }
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
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
    for number in 1..=LINES.len() {
        themed = themed.replace(&format!("#03030{number}"), &format!("var(--line{number})"));
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
        let svg = plot(&axes, vec![line("one"), line("two")])
            .unwrap()
            .unwrap();
        assert!(svg.contains("var(--line2)") && svg.contains("var(--ink)"));
        assert!(!svg.contains('#'), "{svg}");
    }
}
