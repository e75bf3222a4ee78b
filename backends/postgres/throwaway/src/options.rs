//! How a server is to be.

use std::fmt::{self, Write as _};

use crate::Error;

/// Settings of a server that differ from the usual ones of a test.
///
/// A server of a test loses its data anyway, so the default syncs nothing to the disk. Everything else is as in
/// production: commits are synchronous, and a crash of the server's processes (not of the machine) loses none.
///
/// ```
/// use apportion_throwaway_postgres::Options;
///
/// let options = Options::new().fsync(true).setting("commit_delay", "500").password("a long one");
/// assert_eq!(options.value_of("fsync"), Some("on"));
/// assert_eq!(options.value_of("max_connections"), Some("200"));
/// ```
#[derive(Clone)]
pub struct Options {
    settings: Vec<(String, String)>,
    pub(crate) password: Option<String>,
}

impl Options {
    /// No sync, 200 connections, little shared memory, no password.
    pub fn new() -> Self {
        let settings = [
            ("fsync", "off"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "off"),
            ("max_connections", "200"),
            ("shared_buffers", "16MB"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self { settings: settings.map(owned).to_vec(), password: None }
    }

    pub(crate) fn new_empty() -> Self {
        Self { settings: Vec::new(), password: None }
    }

    /// A line of `postgresql.conf`. A later one of the same name wins.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Whether commits wait for the disk, and whether a page is logged whole, which only makes sense with it.
    pub fn fsync(self, on: bool) -> Self {
        let word = if on { "on" } else { "off" };
        self.setting("fsync", word).setting("full_page_writes", word)
    }

    /// Asks every connection for this password of the user `postgres` (SCRAM-SHA-256).
    ///
    /// Without one every process of this machine that finds the port is let in as a superuser.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The value that a setting has here, if it was given one.
    pub fn value_of(&self, name: &str) -> Option<&str> {
        self.settings.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, value) in &self.settings {
            let named =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
            if !named {
                let reason = "a setting's name has letters, digits, `_` and `.` only";
                return Err(Error::Option { option: format!("the setting `{name}`"), reason });
            }
            if value.contains(['\n', '\r', '\0']) {
                let reason = "its value is more than one line";
                return Err(Error::Option { option: format!("the setting `{name}`"), reason });
            }
        }
        let bad = |password: &String| password.is_empty() || password.contains(['\n', '\r', '\0']);
        if self.password.as_ref().is_some_and(bad) {
            return Err(Error::Option {
                option: "the password".to_owned(),
                reason: "it is empty or not one line",
            });
        }
        Ok(())
    }

    /// What is appended to `postgresql.conf`.
    pub(crate) fn lines(&self) -> String {
        let mut text = String::from("\n");
        for (name, value) in &self.settings {
            let value = value.replace('\\', "\\\\").replace('\'', "''");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name} = '{value}'");
        }
        text
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Options");
        shown.field("settings", &self.settings).field("has_password", &self.password.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_value_does_not_end_it() {
        let options = Options::new_empty().setting("search_path", r"it's \ here");
        assert_eq!(options.lines(), "\nsearch_path = 'it''s \\\\ here'\n");
    }

    #[test]
    fn a_name_or_a_value_that_would_begin_another_line_is_refused() {
        for (name, value) in [("fsync = off\nport", "1"), ("", "1"), ("port", "1\nfsync = off")] {
            assert!(
                matches!(Options::new().setting(name, value).check(), Err(Error::Option { .. })),
                "{name:?}"
            );
        }
        assert!(matches!(Options::new().password("").check(), Err(Error::Option { .. })));
        assert!(Options::new().setting("my.own_thing", "a b").password("p w").check().is_ok());
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", Options::new().password("swordfish"));
        assert!(!shown.contains("swordfish") && shown.contains("has_password: true"), "{shown}");
    }
}
