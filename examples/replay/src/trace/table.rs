//! A CSV file with a header, whose fields are asked for by column name.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apportion::amount::OutOfRange;
use csv::{ErrorKind, Position, StringRecord};

use super::{MAX_GPUS, TraceError};

/// An open file, at one of its rows.
pub(crate) struct Table {
    path: PathBuf,
    bytes: Arc<[u8]>,
    reader: csv::Reader<Cursor<Arc<[u8]>>>,
    /// The line that begins at this byte: where the last row was.
    at: (usize, u64),
    columns: BTreeMap<String, usize>,
    record: StringRecord,
}

/// One line.
pub(crate) struct Row<'table> {
    pub(crate) path: &'table Path,
    pub(crate) line: u64,
    columns: &'table BTreeMap<String, usize>,
    record: &'table StringRecord,
}

impl Table {
    pub(crate) fn open(path: &Path) -> Result<Self, TraceError> {
        let bytes: Arc<[u8]> = std::fs::read(path)
            .map_err(|source| TraceError::Unreadable { path: path.to_owned(), source })?
            .into();
        let mut table = Self {
            path: path.to_owned(),
            bytes: Arc::clone(&bytes),
            reader: csv::Reader::from_reader(Cursor::new(bytes)),
            at: (0, 1),
            columns: BTreeMap::new(),
            record: StringRecord::new(),
        };
        let header = match table.reader.headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(table.refuse(error)),
        };
        table.columns = header.iter().enumerate().map(|(at, name)| (name.to_owned(), at)).collect();
        Ok(table)
    }

    pub(crate) fn require(&self, column: &'static str) -> Result<(), TraceError> {
        if self.columns.is_empty() {
            return Err(TraceError::Empty { path: self.path.clone() });
        }
        if self.columns.contains_key(column) {
            return Ok(());
        }
        Err(TraceError::MissingColumn { path: self.path.clone(), column })
    }

    pub(crate) fn next_row(&mut self) -> Result<Option<Row<'_>>, TraceError> {
        match self.reader.read_record(&mut self.record) {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(error) => return Err(self.refuse(error)),
        }
        let line = self.line_of(self.record.position().cloned().as_ref());
        Ok(Some(Row { path: &self.path, line, columns: &self.columns, record: &self.record }))
    }

    /// The line on which a record begins. The reader's own count is that of the blank lines before it.
    fn line_of(&mut self, position: Option<&Position>) -> u64 {
        let byte = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or_default();
        let blank = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let start = byte + self.bytes.iter().skip(byte).take_while(|byte| blank(byte)).count();
        let (from, line) = self.at;
        let between = self.bytes.get(from..start).unwrap_or_default();
        self.at = (start, between.iter().fold(line, |line, byte| line + u64::from(*byte == b'\n')));
        self.at.1
    }

    fn refuse(&mut self, error: csv::Error) -> TraceError {
        let path = self.path.clone();
        let line = self.line_of(error.position());
        match error.into_kind() {
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                TraceError::FieldCount { path, line, expected: expected_len, got: len }
            }
            ErrorKind::Utf8 { err, .. } => {
                let name =
                    self.columns.iter().find(|(_, at)| **at == err.field()).map(|(name, _)| name.clone());
                TraceError::NotUtf8 {
                    path,
                    line,
                    column: name.unwrap_or_else(|| (err.field() + 1).to_string()),
                }
            }
            ErrorKind::Io(source) => TraceError::Unreadable { path, source },
            // What is left are errors of seeking and of serde, neither of which is used here.
            other => TraceError::Unreadable { path, source: std::io::Error::other(format!("{other:?}")) },
        }
    }
}

impl Row<'_> {
    /// The field, empty where the header has no such column.
    pub(crate) fn text(&self, column: &str) -> &str {
        self.columns.get(column).and_then(|at| self.record.get(*at)).unwrap_or_default()
    }

    pub(crate) fn optional_text(&self, column: &str) -> Option<String> {
        Some(self.text(column)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub(crate) fn bad(&self, column: &'static str, problem: &str) -> TraceError {
        TraceError::BadValue {
            path: self.path.to_owned(),
            line: self.line,
            column,
            value: self.text(column).to_owned(),
            problem: problem.to_owned(),
        }
    }

    pub(crate) fn count(&self, column: &'static str) -> Result<i64, TraceError> {
        match self.text(column).parse::<i64>() {
            Err(_) => Err(self.bad(column, "is not a whole number")),
            Ok(count) if count < 0 => Err(self.bad(column, "is negative")),
            Ok(count) => Ok(count),
        }
    }

    pub(crate) fn amount<T>(
        &self,
        column: &'static str,
        make: impl FnOnce(i64) -> Result<T, OutOfRange>,
    ) -> Result<T, TraceError> {
        make(self.count(column)?).map_err(|_| self.bad(column, "is too large"))
    }

    pub(crate) fn gpus(&self, column: &'static str) -> Result<u32, TraceError> {
        u32::try_from(self.count(column)?)
            .ok()
            .filter(|gpus| *gpus <= MAX_GPUS)
            .ok_or_else(|| self.bad(column, &format!("is more than {MAX_GPUS} GPUs")))
    }

    pub(crate) fn optional_seconds(&self, column: &'static str) -> Result<Option<i64>, TraceError> {
        if self.text(column).is_empty() { Ok(None) } else { self.count(column).map(Some) }
    }
}
