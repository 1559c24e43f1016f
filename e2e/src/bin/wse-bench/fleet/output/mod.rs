//! A report as people want it. `words` says what there is to say, once; `text`, `markdown` and `html` lay it
//! out, `plots` draws it.

mod html;
mod markdown;
mod plots;
mod text;
mod words;

pub(super) use self::html::html;
pub(super) use self::markdown::markdown;
pub(super) use self::text::text;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::figures::tests::report;
    use crate::output::Paint;

    #[test]
    fn all_reports_say_the_same() {
        let report = report();
        let text = text(&report, Paint { has_colour: false });
        let (markdown, html) = (markdown(&report), html(&report).unwrap());
        for said in [
            "10 at most, of 10 wanted; 10 at the end",
            "1 ready at the start, 2 at most, 1 at the end",
            "Minimal, Light from 4 s on",
            "1, 1 a second at most; 0 attempts failed",
            "1 with 4300",
            "a begins to drain, with 9 sessions",
            "looks that saw nothing of b: 1 (no answer)",
            "these are the figures so far",
        ] {
            for report in [&text, &markdown, &html] {
                assert!(report.contains(said), "no {said:?} in {report}");
            }
        }
        for plot in [
            "connections of each pod",
            "reconnects a second",
            "deliveries a second",
        ] {
            assert!(html.contains(plot), "no {plot:?} in {html}");
        }
        assert!(
            html.contains("&lt;chat&gt;") && !html.contains("<chat>"),
            "{html}"
        );
        assert!(!html.contains("src=") && !html.contains("href="), "{html}");
    }
}
