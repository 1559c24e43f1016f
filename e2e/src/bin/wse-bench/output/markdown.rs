//! Tables for a README or an issue.

/// A table whose cells are escaped already, if they have to be.
pub(crate) fn table<'a>(heads: &[String], rows: impl Iterator<Item = &'a Vec<String>>) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = "|---:".repeat(heads.len());
    let rows: String = rows.map(|cells| row(cells)).collect();
    format!("{}{rule}|\n{rows}", row(heads))
}

/// What a server said is text, not markup.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '<' | '*' | '_' | '`' | '|' | '[' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
