//! One page in one file: nothing is fetched.

use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// A page that grows from above.
#[derive(Debug)]
pub(crate) struct Page {
    html: String,
}

impl Page {
    /// `about` is HTML.
    pub(crate) fn new(title: &str, heading: &str, about: &str) -> Self {
        let (title, heading) = (escape(title), escape(heading));
        Self {
            html: format!(
                "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width\">\n\
                 <title>{title}</title>\n<style>\n{STYLE}</style>\n\
                 <h1>{heading}</h1>\n<p class=\"about\">{about}</p>\n"
            ),
        }
    }

    /// HTML as it is.
    pub(crate) fn push(&mut self, html: &str) {
        self.html.push_str(html);
        self.html.push('\n');
    }

    /// A paragraph of text.
    pub(crate) fn say(&mut self, class: &str, text: &str) {
        let text = escape(text);
        let _ = writeln!(self.html, "<p class=\"{class}\">{text}</p>");
    }

    /// Items, each with its class. Nothing, if there are none.
    pub(crate) fn list(&mut self, items: &[(&str, String)]) {
        if items.is_empty() {
            return;
        }
        self.push("<ul class=\"verdicts\">");
        for (class, text) in items {
            let text = escape(text);
            let _ = writeln!(self.html, "<li class=\"{class}\">{text}");
        }
        self.push("</ul>");
    }

    /// What there is to say, each with its name.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) {
        self.push("<dl class=\"facts\">");
        for (name, fact) in facts {
            let (name, fact) = (escape(name), escape(fact));
            let _ = writeln!(self.html, "<dt>{name}<dd>{fact}");
        }
        self.push("</dl>");
    }

    pub(crate) fn plots(&mut self, plots: &[String]) {
        self.push("<div class=\"plots\">");
        for plot in plots {
            let _ = writeln!(self.html, "<figure>{plot}</figure>");
        }
        self.push("</div>");
    }

    /// Rows of text; behind each, HTML rows of its own, or nothing.
    pub(crate) fn table<'a>(
        &mut self,
        heads: &[String],
        rows: impl Iterator<Item = (&'a Vec<String>, String)>,
    ) {
        self.push("<div class=\"wide\"><table>");
        let row = |cells: &[String], tag: &str| {
            let cells = cells.iter().map(|it| format!("<{tag}>{}", escape(it)));
            format!("<tr>{}", cells.collect::<String>())
        };
        self.push(&row(heads, "th"));
        for (cells, behind) in rows {
            self.push(&row(cells, "td"));
            if !behind.is_empty() {
                self.push(&behind);
            }
        }
        self.push("</table></div>");
    }

    /// Rows of text, each cell with its class.
    pub(crate) fn classed_table<'a>(
        &mut self,
        heads: &[String],
        rows: impl Iterator<Item = Vec<(&'static str, &'a str)>>,
    ) {
        self.push("<div class=\"wide dense\"><table>");
        let heads = heads.iter().map(|it| format!("<th>{}", escape(it)));
        self.push(&format!("<tr>{}", heads.collect::<String>()));
        for row in rows {
            let cells = row.into_iter().map(|(class, text)| {
                let text = escape(text);
                format!("<td class=\"{class}\">{text}")
            });
            self.push(&format!("<tr>{}", cells.collect::<String>()));
        }
        self.push("</table></div>");
    }

    pub(crate) fn end(self) -> String {
        self.html + "</html>\n"
    }
}

/// What a server said is text, not markup.
pub(crate) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}
