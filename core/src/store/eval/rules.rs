//! Invariants and ceilings, judged on one row.

use super::int_of;
use crate::store::error::Cause;
use crate::store::row::Row;
use crate::store::schema::TableInfo;
use crate::store::table::{Check, Limit};
use crate::store::value::Value;

/// The first rule that `after` breaks, in declared order, invariants before ceilings. Ceilings are judged only
/// where `admit` says so, and only on counters that are raised.
pub(super) fn broken(info: &TableInfo, before: Option<&Row>, after: &Row, admit: bool) -> Option<Cause> {
    for invariant in info.table.invariants {
        if !holds(info, invariant.check, after) {
            return Some(Cause::Invariant { rule: invariant.name });
        }
    }
    if !admit {
        return None;
    }
    for ceiling in info.table.ceilings {
        let counter = |row: &Row| info.column(ceiling.column).and_then(|at| int(row, at));
        let limit = match ceiling.limit {
            Limit::Value(limit) => Some(limit),
            Limit::Column(name) => info.column(name).and_then(|at| int(after, at)),
        };
        let (Some(wanted), Some(limit)) = (counter(after), limit) else {
            continue;
        };
        let used = before.and_then(counter).unwrap_or(0);
        if wanted > used && wanted > limit {
            return Some(Cause::Ceiling { rule: ceiling.name, limit, used, asked: wanted - used });
        }
    }
    None
}

fn holds(info: &TableInfo, check: Check, row: &Row) -> bool {
    let value = |name: &str| info.column(name).and_then(|at| row.values().get(at));
    let number = |name: &str| info.column(name).and_then(|at| int(row, at));
    match check {
        Check::AtLeast(column, min) => number(column).is_none_or(|found| found >= min),
        Check::AtMost(column, max) => number(column).is_none_or(|found| found <= max),
        Check::NotAbove(column, other) => {
            number(column).zip(number(other)).is_none_or(|(found, most)| found <= most)
        }
        Check::OneOf(column, texts) => match value(column) {
            Some(Value::Text(text)) => texts.contains(&&**text),
            _ => true,
        },
        Check::TogetherNull(columns) => {
            let nulls = columns.iter().filter(|name| value(name).is_none_or(Value::is_null)).count();
            nulls == 0 || nulls == columns.len()
        }
    }
}

fn int(row: &Row, at: usize) -> Option<i64> {
    int_of(row.values().get(at), row.table().columns.get(at)?.kind)
}
