//! Plots of what happened over time. They are as wide as the page and begin and end at the same place, so
//! that those below one another tell of the same moments.

use super::plot::{Axes, Frame, Line, Mark, framed};

const SIZE: (u32, u32) = (940, 230);
/// Of a letter of a mark's name, about.
const LETTER: f64 = 6.5;
/// Of a row of names, as a part of the plot's height.
const ROW: f64 = 0.09;

/// What a timeline is of.
pub(crate) struct Timeline<'a> {
    pub(crate) title: &'a str,
    /// When it ends.
    pub(crate) seconds: f64,
    /// Moments with a name, in their order.
    pub(crate) marks: &'a [(f64, String)],
}

/// Lines over seconds, with their names below. None: no line has more than one point.
///
/// # Errors
/// When plotters refuses, which it does for no report.
pub(crate) fn timeline(of: &Timeline<'_>, lines: Vec<Line>) -> Result<Option<String>, String> {
    let lines: Vec<Line> = lines.into_iter().filter(|it| it.points.len() > 1).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let axes = Axes {
        title: of.title,
        across: "seconds",
        up: "",
        label: &|x| format!("{x:.0}"),
    };
    let rows = rows(of);
    let marks = of.marks.iter().zip(&rows).map(|((at, name), row)| Mark {
        at: *at,
        name,
        height: 1.0 - *row as f64 * ROW,
    });
    let frame = Frame {
        size: SIZE,
        across: (0.0, of.seconds.max(1.0)),
        above: 0.1
            + rows
                .iter()
                .max()
                .map_or(0.0, |most| (most + 1) as f64 * 1.4 * ROW),
        marks: &marks.collect::<Vec<_>>(),
    };
    framed(&axes, &frame, &lines).map(Some)
}

/// Points as steps: each height lasts until the next.
pub(crate) fn stepped(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let mut steps: Vec<(f64, f64)> = Vec::with_capacity(points.len() * 2);
    for (at, height) in points {
        if let Some(&(_, before)) = steps.last() {
            steps.push((at, before));
        }
        steps.push((at, height));
    }
    steps
}

/// The row of each name, from above, so that none is written over another.
fn rows(of: &Timeline<'_>) -> Vec<usize> {
    let pixels = f64::from(SIZE.0) / of.seconds.max(1.0);
    let mut ends: Vec<f64> = Vec::new();
    let row = |(at, name): &(f64, String)| {
        let begin = at * pixels;
        let free = ends.iter().position(|end| *end < begin);
        let row = free.unwrap_or(ends.len());
        ends.resize(ends.len().max(row + 1), 0.0);
        ends[row] = begin + name.len() as f64 * LETTER;
        row
    };
    of.marks.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near_are_below_one_another() {
        let name = |at: f64| (at, "tier Medium".to_owned());
        let of = |marks: &[(f64, String)]| {
            rows(&Timeline {
                title: "",
                seconds: 100.0,
                marks,
            })
        };
        assert_eq!(
            of(&[name(0.0), name(1.0), name(2.0), name(50.0)]),
            [0, 1, 2, 0]
        );
        assert_eq!(of(&[]), [0; 0]);
    }

    #[test]
    fn a_step_lasts_and_a_gap_is_no_line() {
        let steps = stepped(vec![(0.0, 1.0), (1.0, 3.0)]);
        assert_eq!(steps, [(0.0, 1.0), (1.0, 1.0), (1.0, 3.0)]);
        let of = Timeline {
            title: "pods",
            seconds: 4.0,
            marks: &[(1.0, "tier <Low>".into())],
        };
        let line = |heights: [f64; 4]| Line {
            name: "a & b".into(),
            points: (0..4)
                .map(|at| (f64::from(at), heights[at as usize]))
                .collect(),
        };
        let lines = vec![line([1.0, 2.0, 3.0, 4.0]), line([1.0, f64::NAN, 2.0, 2.0])];
        let html = timeline(&of, lines).unwrap().unwrap();
        // The second in two parts, the first of which is a point.
        let drawn = html.matches("<polyline").count();
        assert!(drawn >= 2, "{html}");
        assert!(
            !html.contains("NaN") && html.contains("a &amp; b"),
            "{html}"
        );
        assert!(!html.contains("<Low>"), "{html}");
    }
}
