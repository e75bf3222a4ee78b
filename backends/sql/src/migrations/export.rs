//! Everything as one text, for hosts that migrate with a tool of their own: [`migrations_sql`].

use std::collections::BTreeSet;

use apportion::store::Schema;

use super::wanted;
use crate::ddl::{check_names, create_schema, create_table, history_table};
use crate::names::{Dialect, Names};

/// The whole of what opening an empty database would do, as plain SQL: migrations with their rows in
/// `kernel_migrations`, so that a later open finds nothing to do, and the declared tables that no migration makes.
///
/// # Errors
/// What is wrong with a name; see [`check_names`].
pub fn migrations_sql(names: &Names, schema: &Schema) -> Result<String, String> {
    check_names(names, schema)?;
    let now = match names.dialect() {
        Dialect::Postgres => "now()",
        Dialect::Sqlite => "CAST(strftime('%s', 'now') AS INTEGER) * 1000000",
    };
    let mut out = String::new();
    let mut add = |statement: &str| {
        out.push_str(statement);
        out.push_str(";\n\n");
    };
    for statement in create_schema(names).into_iter().chain(history_table(names)) {
        add(&statement);
    }
    let mut made: BTreeSet<&str> = BTreeSet::new();
    for migration in wanted(names.dialect(), schema) {
        for statement in migration.text(names) {
            add(&statement);
        }
        add(&format!(
            "INSERT INTO {} (\"name\", \"checksum\", \"applied_at\")\n    VALUES ('{}', '{}', {now})",
            names.table("kernel_migrations"),
            migration.name,
            migration.checksum()
        ));
        made.extend(migration.tables);
    }
    for info in schema.tables().iter().filter(|info| !made.contains(info.table.name)) {
        for statement in create_table(names, schema, info) {
            add(&statement);
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    Ok(out)
}
