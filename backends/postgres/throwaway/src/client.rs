//! Statements on the server, and databases of one's own.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::supervisor::clean_environment;
use crate::{Error, ThrowawayPostgres, binaries};

impl ThrowawayPostgres {
    /// Runs statements as superuser in the database `postgres`, and gives what they print: a line a row, columns
    /// apart by `|`.
    ///
    /// Each is a transaction of its own unless the text says otherwise, and the first that fails ends it.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        self.psql_in("postgres", sql)
    }

    /// Runs statements as superuser in the database of this name.
    pub fn psql_in(&self, database: &str, sql: &str) -> Result<String, Error> {
        self.psql_through(self.port(), database, sql)
    }

    /// Runs statements as superuser over another port of this machine, one that leads to this server.
    pub fn psql_through(&self, port: u16, database: &str, sql: &str) -> Result<String, Error> {
        let mut command = Command::new(binaries::psql(&self.binaries)?);
        clean_environment(&mut command);
        command.args(["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]);
        command
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(port.to_string())
            .arg("-d")
            .arg(database);
        command.env("PGPASSFILE", "/dev/null").current_dir("/");
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(Error::io("start psql"))?;
        let input = child.stdin.take();
        // Written from another thread, because psql may print more than a pipe holds before it has read it all.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || input.map(|mut input| input.write_all(sql.as_bytes())));
            child.wait_with_output()
        });
        let output = output.map_err(Error::io("wait for psql"))?;
        if !output.status.success() {
            return Err(Error::Statement {
                message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
    }

    /// Makes an empty database and gives its URL.
    pub fn fresh_database(&self) -> Result<String, Error> {
        let name = self.fresh_schema_name();
        // The first template takes no connections, so that a copy of it never has to wait for one to end.
        self.psql(&format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        Ok(self.url_of(&name))
    }

    /// The URL of the database of this name, as its superuser.
    pub fn url_of(&self, database: &str) -> String {
        let password =
            self.password.as_deref().map(|password| format!(":{}", encoded(password))).unwrap_or_default();
        format!("postgres://postgres{password}@127.0.0.1:{}/{}", self.port(), encoded(database))
    }
}

fn encoded(text: &str) -> String {
    let mut url = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_url_is_encoded() {
        assert_eq!(encoded("a@b:c/d?e f%"), "a%40b%3Ac%2Fd%3Fe%20f%25");
        assert_eq!(encoded("Plain-1._~"), "Plain-1._~");
    }
}
