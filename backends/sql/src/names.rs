//! What tables are called in a database: [`Names`].

/// Whose SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL, and what speaks its protocol.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// The longest schema name or table prefix, in bytes.
pub const MAX_NAME_BYTES: usize = 30;

/// The names of a store's tables in its database, quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    dialect: Dialect,
    /// What stands before the name of a table inside the quotes; in Postgres empty.
    prefix: String,
    /// The quoted schema and a dot; in SQLite empty.
    schema: String,
}

impl Names {
    /// Tables in a schema of their own.
    ///
    /// # Errors
    /// What is wrong with the name: it must be a lower-case letter and then letters, digits and underscores.
    pub fn postgres(schema: &str) -> Result<Self, String> {
        check(schema)?;
        Ok(Self { dialect: Dialect::Postgres, prefix: String::new(), schema: format!("\"{schema}\".") })
    }

    /// Tables whose names begin with a prefix.
    ///
    /// # Errors
    /// What is wrong with the prefix; see [`Names::postgres`].
    pub fn sqlite(prefix: &str) -> Result<Self, String> {
        check(prefix)?;
        Ok(Self { dialect: Dialect::Sqlite, prefix: prefix.into(), schema: String::new() })
    }

    /// Whose SQL is spoken.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The name of a table, quoted and with its schema: `"apportion"."users"`, or `"apportion_users"`.
    pub fn table(&self, name: &str) -> String {
        format!("{}\"{}{name}\"", self.schema, self.prefix)
    }

    /// The name of a table, an index or a constraint as the catalogue has it: `users`, or `apportion_users`.
    pub fn bare(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The name of the schema in Postgres; empty in SQLite.
    pub fn schema(&self) -> &str {
        self.schema.trim_end_matches('.').trim_matches('"')
    }
}

fn check(name: &str) -> Result<(), String> {
    let mut bytes = name.bytes();
    let sound = bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= MAX_NAME_BYTES;
    if sound {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no usable name: it must be a lower-case letter and then letters, digits and underscores, \
         {MAX_NAME_BYTES} at most"
    ))
}
