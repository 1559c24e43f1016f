//! What a person should see of a process's log: warnings, errors, and whatever is no log line, such as
//! a panic.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::{Map, Value};

/// Lines shown of one look; the others are counted, and are in the file.
const SHOWN: usize = 8;
/// Read of the file in one look.
const LOOK_BYTES: u64 = 1 << 20;

/// Follows one log file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    read: u64,
}

impl Journal {
    /// Follows the file from its beginning.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: 0 }
    }

    /// What is new and worth showing.
    pub(super) fn news(&mut self) -> Vec<String> {
        // The file is not there before the process is; what cannot be read now is read later.
        let text = self.unread().unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        let mut lines: Vec<String> = text[..whole].lines().filter_map(worth_showing).collect();
        if lines.len() > SHOWN {
            let more = lines.len() - SHOWN;
            lines.truncate(SHOWN);
            lines.push(format!("and {more} more, in {}", self.path.display()));
        }
        lines
    }

    fn unread(&self) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.take(LOOK_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| {
            // As long as what was read, so that `read` counts bytes of the file.
            let replace = |byte: u8| if byte.is_ascii() { byte as char } else { '?' };
            error.into_bytes().into_iter().map(replace).collect()
        }))
    }
}

fn worth_showing(line: &str) -> Option<String> {
    let Ok(Value::Object(mut event)) = serde_json::from_str(line) else {
        return (!line.trim().is_empty()).then(|| line.to_owned());
    };
    let level = text(event.remove("level")?);
    if !matches!(level.as_str(), "ERROR" | "WARN") {
        return None;
    }
    let message = event.remove("message").map(text).unwrap_or_default();
    for known in ["spans", "span", "target", "timestamp"] {
        event.remove(known);
    }
    Some(format!("{level} {message}{}", fields(event)))
}

fn fields(event: Map<String, Value>) -> String {
    let say = |(name, value): (String, Value)| format!(" {name}={}", text(value));
    event.into_iter().map(say).collect()
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn warnings_errors_and_panics_are_shown_once() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut journal = Journal::new(file.path().to_owned());
        let lines = concat!(
            r#"{"timestamp":"t","level":"INFO","message":"listening","target":"a"}"#,
            "\n",
            r#"{"timestamp":"t","level":"WARN","message":"refused","field":"log","target":"a"}"#,
            "\n",
            "thread 'main' panicked\n",
            r#"{"timestamp":"t","level":"ERR"#,
        );
        file.write_all(lines.as_bytes()).unwrap();
        assert_eq!(
            journal.news(),
            ["WARN refused field=log", "thread 'main' panicked"]
        );
        assert_eq!(journal.news(), [] as [String; 0]);
        file.write_all(b"OR\",\"message\":\"gone\"}\n").unwrap();
        assert_eq!(journal.news(), ["ERROR gone"]);
    }

    #[test]
    fn a_flood_is_counted() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut journal = Journal::new(file.path().to_owned());
        file.write_all("\u{e9}\n".repeat(20).as_bytes()).unwrap();
        let news = journal.news();
        assert_eq!(news.len(), SHOWN + 1);
        assert!(news[SHOWN].starts_with("and 12 more"), "{news:?}");
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_no_news() {
        assert_eq!(
            Journal::new("/nowhere/at/all".into()).news(),
            [] as [String; 0]
        );
    }
}
