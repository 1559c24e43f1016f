//! A day as an SVG: clients, pods, tier, and clients who move, over the hours. Text has no font of its
//! own: whoever shows the file chooses one.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use wse_operator::simulation::{Day, Sample};
use wse_operator::tier::Tier;

const SIZE: (u32, u32) = (960, 760);
const LOAD: RGBColor = RGBColor(31, 119, 180);
const READY: RGBColor = RGBColor(44, 160, 44);
const DESIRED: RGBColor = RGBColor(90, 90, 90);
const TIER: RGBColor = RGBColor(148, 103, 189);
const CAME: RGBColor = RGBColor(255, 127, 14);
const ASKED: RGBColor = RGBColor(214, 39, 40);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failure<'a> = Box<dyn Error + 'a>;

/// A line, and what it is.
struct Line<'a> {
    name: &'a str,
    color: RGBColor,
    value: &'a dyn Fn(&Sample) -> f64,
    /// From sample to sample it stays as it was.
    steps: bool,
}

/// Draws it.
///
/// # Errors
/// When plotters refuses, which it does for no day.
pub(crate) fn draw(day: &Day) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    panels(day, &mut svg).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn panels<'a>(day: &Day, svg: &'a mut String) -> Result<(), Failure<'a>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (top, rest) = root.split_vertically(230);
    let (middle, rest) = rest.split_vertically(210);
    let (tier, bottom) = rest.split_vertically(120);

    panel(
        &top,
        day,
        "clients that are connected",
        &[Line {
            name: "clients",
            color: LOAD,
            value: &|sample| sample.connections.into(),
            steps: false,
        }],
        &amount,
    )?;
    panel(
        &middle,
        day,
        "pods",
        &[
            Line {
                name: "wanted",
                color: DESIRED,
                value: &|sample| sample.desired.into(),
                steps: true,
            },
            Line {
                name: "take clients",
                color: READY,
                value: &|sample| sample.ready.into(),
                steps: true,
            },
        ],
        &amount,
    )?;
    tiers(&tier, day)?;
    let bound = f64::from(day.fleet.reconnects_per_second());
    panel(
        &bottom,
        day,
        "clients a second",
        &[
            Line {
                name: "reconnect",
                color: CAME,
                value: &|sample| sample.reconnects_per_second,
                steps: false,
            },
            Line {
                name: "asked to leave",
                color: ASKED,
                value: &|sample| sample.asked_per_second,
                steps: false,
            },
            Line {
                name: "may be asked",
                color: DESIRED,
                value: &|_| bound,
                steps: false,
            },
        ],
        &amount,
    )?;
    root.present()?;
    drop((top, middle, tier, bottom, root));
    Ok(())
}

fn panel<'a>(
    area: &Area<'a>,
    day: &Day,
    title: &str,
    lines: &[Line<'_>],
    label: &dyn Fn(&f64) -> String,
) -> Result<(), Failure<'a>> {
    let values = lines
        .iter()
        .flat_map(|line| day.samples.iter().map(line.value));
    let most = values.fold(1.0, f64::max) * 1.08;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin_right(20)
        .x_label_area_size(24)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..24.0, 0.0..most)?;
    chart
        .configure_mesh()
        .x_labels(13)
        .y_labels(5)
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_label_formatter(&hour)
        .y_label_formatter(label)
        .draw()?;
    for line in lines {
        let color = line.color;
        let points = points(&day.samples, line.value, line.steps);
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    if lines.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.5))
            .draw()?;
    }
    Ok(())
}

fn tiers<'a>(area: &Area<'a>, day: &Day) -> Result<(), Failure<'a>> {
    let of = |sample: &Sample| f64::from(sample.tier as u8);
    let values = || day.samples.iter().map(of);
    let (least, most) = (values().fold(7.0, f64::min), values().fold(0.0, f64::max));
    let name = |value: &f64| {
        let tier = Tier::ALL.get(value.round() as usize);
        let is_whole = (value - value.round()).abs() < 0.01 && *value > -0.5;
        tier.filter(|_| is_whole)
            .map(|tier| tier.name().to_owned())
            .unwrap_or_default()
    };
    let mut chart = ChartBuilder::on(area)
        .caption("tier", ("sans-serif", 15))
        .margin_right(20)
        .x_label_area_size(24)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..24.0, (least - 1.0)..(most + 1.0))?;
    chart
        .configure_mesh()
        .x_labels(13)
        .y_labels((most - least) as usize + 3)
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_label_formatter(&hour)
        .y_label_formatter(&name)
        .draw()?;
    let points = points(&day.samples, &of, true);
    chart.draw_series(LineSeries::new(points, TIER.stroke_width(2)))?;
    Ok(())
}

/// Hours and values. Of samples that are alike, the first and the last.
fn points(samples: &[Sample], value: &dyn Fn(&Sample) -> f64, steps: bool) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for sample in samples {
        let (x, y) = (sample.second as f64 / 3_600.0, value(sample));
        if let [.., (_, before), (last, same)] = points.as_mut_slice()
            && *before == y
            && *same == y
        {
            *last = x;
            continue;
        }
        if let Some((_, before)) = points.last().copied()
            && steps
            && before != y
        {
            points.push((x, before));
        }
        points.push((x, y));
    }
    points
}

fn hour(hour: &f64) -> String {
    format!("{hour:.0}:00")
}

fn amount(value: &f64) -> String {
    match *value {
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e3 => format!("{} k", value / 1e3),
        value => format!("{value:.0}"),
    }
}
