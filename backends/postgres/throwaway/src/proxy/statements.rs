//! What a client asks the server to run.

use std::collections::HashMap;

use super::frames::Message;

/// The statements that a connection has prepared, so that a later run of one is recognised.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    statements: HashMap<String, String>,
    portals: HashMap<String, String>,
}

impl Prepared {
    /// The text that this message makes the server run, if it makes it run one.
    pub(crate) fn run_by(&mut self, message: &Message) -> Option<String> {
        let mut texts = message.texts();
        match message.kind {
            b'Q' => return texts.next(),
            b'P' => {
                let (name, text) = (texts.next()?, texts.next()?);
                self.statements.insert(name, text);
            }
            b'B' => {
                let (portal, statement) = (texts.next()?, texts.next()?);
                let text = self.statements.get(&statement).cloned().unwrap_or_default();
                self.portals.insert(portal, text);
            }
            b'E' => return self.portals.get(&texts.next()?).cloned(),
            _ => {}
        }
        None
    }
}

/// Whether one of the statements in the text commits a transaction.
pub(crate) fn commits(text: &str) -> bool {
    statements(text).iter().any(|statement| {
        let mut words = statement.split_whitespace().map(str::to_ascii_uppercase);
        let first = words.next().unwrap_or_default();
        first == "COMMIT" || (first == "END")
    })
}

/// The text in its statements, without comments and with nothing between quotes.
fn statements(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let skipped = match letter {
            '\'' | '"' => quoted(rest, letter),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '$' => dollar_quoted(rest),
            _ => 0,
        };
        if skipped > 0 {
            rest = rest.get(skipped..).unwrap_or_default();
            if let Some(last) = found.last_mut() {
                last.push(' ');
            }
            continue;
        }
        if letter == ';' {
            found.push(String::new());
        } else if let Some(last) = found.last_mut() {
            last.push(letter);
        }
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
    }
    found
}

/// The length of a text in quotes. A doubled quote inside is the end of one text and the begin of the next.
fn quoted(rest: &str, quote: char) -> usize {
    rest.get(1..).and_then(|inside| inside.find(quote)).map_or(rest.len(), |end| end + 2)
}

/// The length of a text between two times the same `$name$`, or zero where there is none (`$1`).
fn dollar_quoted(rest: &str) -> usize {
    let Some(end) = rest.get(1..).and_then(|inside| inside.find('$')).map(|end| end + 2) else { return 0 };
    let (tag, inside) = rest.split_at(end);
    let name = tag.trim_matches('$');
    let is_name = name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    if !is_name || name.starts_with(|letter: char| letter.is_ascii_digit()) {
        return 0;
    }
    inside.find(tag).map_or(rest.len(), |close| end + close + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_seen_wherever_it_stands() {
        for text in [
            "COMMIT",
            "commit;",
            "  Commit Work ",
            "END",
            "INSERT INTO a VALUES (1); COMMIT",
            "SELECT 'it''s'; commit and chain",
            "/* now */ COMMIT -- at last",
            "SELECT $$ quoted; $$; COMMIT",
            "SELECT $1, $2; COMMIT",
        ] {
            assert!(commits(text), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_commit_is_none() {
        for text in [
            "",
            "SELECT '; COMMIT;'",
            "SELECT \"; COMMIT\"",
            "-- ; \n SELECT 1 -- ; COMMIT",
            "/* ; COMMIT; */ SELECT 1",
            "SELECT $a$ ; COMMIT; $a$",
            "COMMENT ON TABLE a IS 'commit'",
            "INSERT INTO commit VALUES (1)",
            "SELECT 'open ; COMMIT",
        ] {
            assert!(!commits(text), "{text}");
        }
    }

    fn message(kind: u8, body: &[u8]) -> Message {
        let mut bytes = vec![kind, 0, 0, 0, 0];
        bytes.extend_from_slice(body);
        Message { kind, bytes }
    }

    #[test]
    fn a_prepared_statement_is_run_when_its_portal_is() {
        let mut prepared = Prepared::default();
        assert_eq!(prepared.run_by(&message(b'P', b"s1\0SELECT 1\0\0\0")), None);
        assert_eq!(prepared.run_by(&message(b'P', b"s2\0COMMIT\0\0\0")), None);
        for _ in 0..2 {
            assert_eq!(prepared.run_by(&message(b'B', b"\0s2\0\0\0\0\0\0\0")), None);
            assert_eq!(prepared.run_by(&message(b'E', b"\0\0\0\0\0")).as_deref(), Some("COMMIT"));
        }
        assert_eq!(prepared.run_by(&message(b'B', b"\0s1\0\0\0\0\0\0\0")), None);
        assert_eq!(prepared.run_by(&message(b'E', b"\0\0\0\0\0")).as_deref(), Some("SELECT 1"));
        assert_eq!(prepared.run_by(&message(b'Q', b"BEGIN\0")).as_deref(), Some("BEGIN"));
        assert_eq!(prepared.run_by(&message(b'S', b"")), None);
    }
}
