//! Plots as SVG for a page. Colours are classes of the page's style, so that they follow light and dark:
//! plotters only writes fixed ones, which are exchanged afterwards.

use std::error::Error;

use plotters::prelude::*;

use super::table::{Table, count};

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
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// What a plot is of.
struct Axes<'a> {
    title: &'a str,
    across: &'a str,
    up: &'a str,
    label: &'a dyn Fn(f64) -> String,
}

/// The plots of a test: the rate by the number of connections, and how latencies spread.
///
/// # Errors
/// When plotters refuses, which it does for no report.
pub(super) fn plots(table: &Table<'_>) -> Result<Vec<String>, String> {
    let mut sizes: Vec<Option<usize>> = Vec::new();
    for (_, figures) in &table.rounds {
        if !sizes.contains(&figures.size_bytes) {
            sizes.push(figures.size_bytes);
        }
    }
    let rates = sizes.into_iter().map(|size| {
        let rounds = table.rounds.iter().filter(|(_, it)| it.size_bytes == size);
        let mut points: Vec<(f64, f64)> = rounds
            .filter_map(|(_, it)| Some((it.tier as f64, it.rate?)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line {
            name: size.map_or_else(String::new, |size| format!("{} B", count(size as u64))),
            points,
        }
    });
    let spread = table.rounds.iter().map(|(cells, figures)| Line {
        name: cells[0].clone(),
        // Each step to the right is ten times fewer.
        points: figures
            .curve
            .iter()
            .filter(|(part, _)| *part < 1.0)
            .map(|&(part, us)| ((1.0 / (1.0 - part)).log10(), us as f64 / 1_000.0))
            .collect(),
    });
    let rate = format!("{} a second", table.test.rate_of());
    let axes = [
        Axes {
            title: &rate,
            across: "connections",
            up: "",
            label: &|x| count(x as u64),
        },
        Axes {
            title: "latency, ms",
            across: "part of all, %",
            up: "ms",
            label: &|x| percent(x),
        },
    ];
    let lines = [rates.collect::<Vec<_>>(), spread.collect()];
    let drawn = axes.iter().zip(lines).filter_map(|(axes, lines)| {
        // A single number needs no plot.
        let lines: Vec<Line> = lines.into_iter().filter(|it| it.points.len() > 1).collect();
        (!lines.is_empty()).then(|| {
            let mut svg = String::new();
            draw(&mut svg, axes, &lines).map_err(|error| error.to_string())?;
            Ok(themed(&svg))
        })
    });
    drawn.collect()
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
        let drawn = chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        if !line.name.is_empty() && lines.len() > 1 {
            let sample = *colour;
            drawn.label(&line.name).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 12, y)], sample.stroke_width(2))
            });
        }
    }
    if lines.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(style(11))
            .draw()?;
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

/// The part of all that a place on the axis stands for; none but whole places are named.
fn percent(place: f64) -> String {
    if (place - place.round()).abs() > 1e-6 {
        return String::new();
    }
    let part = 100.0 * (1.0 - 10_f64.powf(-place));
    let text = format!("{part:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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
    fn the_axis_of_parts_names_nines() {
        let names = [0.0, 1.0, 1.5, 2.0, 3.0, 4.0].map(percent);
        assert_eq!(names, ["0", "90", "", "99", "99.9", "99.99"]);
    }

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
        let mut svg = String::new();
        draw(&mut svg, &axes, &[line("one"), line("two")]).unwrap();
        let svg = themed(&svg);
        assert!(svg.contains("var(--line2)") && svg.contains("var(--ink)"));
        assert!(!svg.contains('#'), "{svg}");
    }
}
