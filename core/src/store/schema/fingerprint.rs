//! What tells one batch from another: the hash of its operation, actor and writes.

use crate::store::batch::{Batch, Change, Fingerprint, Mode, Write};
use crate::store::keycode;
use crate::store::query::Is;
use crate::store::value::Value;

/// The fingerprint of a batch that came without one.
pub(super) fn fingerprint(batch: &Batch) -> Fingerprint {
    let mut content = Content(Vec::with_capacity(512));
    content.text(&batch.operation);
    content.value(&batch.actor.into());
    content.list(&batch.writes, Content::write);
    Fingerprint::of(&content.0)
}

/// The encoding of a batch. Every list begins with its length, so that no two batches have the same one.
struct Content(Vec<u8>);

impl Content {
    fn value(&mut self, value: &Value) {
        keycode::encode(value, &mut self.0);
    }

    fn text(&mut self, text: &str) {
        self.value(&Value::from(text));
    }

    fn int(&mut self, number: i64) {
        self.value(&Value::Int(number));
    }

    fn list<T>(&mut self, items: &[T], each: impl Fn(&mut Self, &T)) {
        self.int(i64::try_from(items.len()).unwrap_or(i64::MAX));
        for item in items {
            each(self, item);
        }
    }

    fn columns(&mut self, columns: &[(&'static str, Value)]) {
        self.list(columns, |content, (name, value)| {
            content.text(name);
            content.value(value);
        });
    }

    fn write(&mut self, write: &Write) {
        self.text(write.table().name);
        match write {
            Write::Insert(row) | Write::Ensure(row) => {
                self.text(if matches!(write, Write::Insert(_)) { "insert" } else { "ensure" });
                self.columns(&row.values);
            }
            Write::Update { key, revision, set, .. } => {
                self.text("update");
                self.list(key.values(), Self::value);
                self.int(*revision);
                self.columns(set);
            }
            Write::Delete { key, revision, .. } | Write::Guard { key, revision, .. } => {
                self.text(if matches!(write, Write::Delete { .. }) { "delete" } else { "guard" });
                self.list(key.values(), Self::value);
                self.int(*revision);
            }
            Write::Adjust { key, column, delta, mode, .. } => {
                self.text(if *mode == Mode::Admit { "admit" } else { "record" });
                self.list(key.values(), Self::value);
                self.text(column);
                self.int(*delta);
            }
            Write::Patch { key, tests, set, .. } => {
                self.text("patch");
                self.list(key.values(), Self::value);
                self.list(tests, |content, test| {
                    content.text(test.column);
                    content.text(name_of(&test.is));
                    content.list(test.is.values(), Self::value);
                });
                self.list(set, |content, (name, change)| {
                    content.text(name);
                    content.change(change);
                });
            }
        }
    }

    fn change(&mut self, change: &Change) {
        let (name, value) = match change {
            Change::Add(delta) => ("add", &Value::Int(*delta)),
            Change::Set(value) => ("set", value),
            Change::Max(value) => ("max", value),
        };
        self.text(name);
        self.value(value);
    }
}

fn name_of(is: &Is) -> &'static str {
    match is {
        Is::Null => "null",
        Is::NotNull => "not null",
        Is::Eq(_) => "=",
        Is::Ne(_) => "<>",
        Is::Lt(_) => "<",
        Is::Le(_) => "<=",
        Is::Gt(_) => ">",
        Is::Ge(_) => ">=",
        Is::In(_) => "in",
    }
}
