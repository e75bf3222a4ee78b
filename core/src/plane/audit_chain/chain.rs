//! The hash chain itself: pure functions over lines and links, without any store.
//!
//! # Format
//! Anybody can recompute it, with SHA-256 (FIPS 180-4) and this:
//!
//! - A *line* is the concatenation of the columns `id`, `title`, `description`, `host`, `ip`, `actor_id`, `subject_kind`,
//!   `subject_id`, `timestamp`, `outcome`, in this order. Each is its length in bytes as a big-endian number of 32 bits and
//!   then its bytes: texts in UTF-8, ids in the 36 lower-case characters of RFC 9562, times as the decimal number of
//!   microseconds since 1970 in UTC. A null is the length 2^32 - 1 and nothing behind it.
//! - The hash of a *link* is that of: the hash before it (32 bytes; zeros before the first), its sequence and the line's
//!   position in the feed (each a big-endian number of 64 bits), and the line.
//! - A chain that began when the beginning of the feed was gone already has a first link of another kind, with the nil id
//!   for a line. Its position is where sealing began, and its line is the text `apportion audit beginning`, the number of the
//!   lines from before (64 bits), and the hash of all hashes of those lines, in the order of ids.
//!
//! This order of columns is part of the format: a later column would need another format, not a longer list.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Anchor, AuditFinding, AuditVerification};
use crate::entity::LogSeal;
use crate::identity::sha256;
use crate::store::Value;

/// The columns of a line, in the order of the format.
pub(super) const COLUMNS: [&str; 10] = [
    "id",
    "title",
    "description",
    "host",
    "ip",
    "actor_id",
    "subject_kind",
    "subject_id",
    "timestamp",
    "outcome",
];
/// What stands for the line in the link of a beginning.
const BEGINNING: &[u8] = b"apportion audit beginning";
/// The hash before the first link.
pub(super) const ZEROS: [u8; 32] = [0; 32];
/// How many findings are told; the rest is only counted.
const MAX_FINDINGS: usize = 1000;

/// The bytes of a line, from its values in the order of [`COLUMNS`].
pub(super) fn line_bytes(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for value in values {
        let text = match value {
            Value::Null => {
                bytes.extend(u32::MAX.to_be_bytes());
                continue;
            }
            Value::Text(text) => text.to_string(),
            Value::Json(json) => json.as_str().to_owned(),
            Value::Uuid(id) => id.hyphenated().to_string(),
            Value::Time(at) => at.as_micros().to_string(),
            Value::Int(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
        };
        // A text column has at most 4,096 bytes.
        bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// The hash of a link.
pub(super) fn link_hash(before: [u8; 32], sequence: i64, position: i64, line: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    // Both are positive, where the bits of either kind of number are the same.
    hash.update(sequence.to_be_bytes());
    hash.update(position.to_be_bytes());
    hash.update(line);
    hash.finalize().into()
}

/// What stands for a line in the link of a beginning. The lines from before are hashed each.
pub(super) fn beginning_bytes<'l>(before: impl IntoIterator<Item = &'l [u8; 32]>) -> Vec<u8> {
    let (mut count, mut all) = (0_u64, Sha256::new());
    for line in before {
        count += 1;
        all.update(line);
    }
    [BEGINNING, &count.to_be_bytes(), &all.finalize()].concat()
}

/// A hash in 64 hexadecimal digits.
pub(super) fn hex(hash: [u8; 32]) -> String {
    HEXLOWER.encode(&hash)
}

/// A hash from 64 hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The link behind another one.
pub(super) fn next_link(head: &Anchor, log: Uuid, position: i64, line: &[u8]) -> Option<LogSeal> {
    let sequence = head.count.checked_add(1)?;
    let hash = hex(link_hash(unhex(&head.hash)?, sequence, position, line));
    Some(LogSeal { sequence, log_id: log.into(), position, hash })
}

/// Walks along a chain and notes what is wrong with it.
#[derive(Debug)]
pub(super) struct Verifier {
    anchor: Option<Anchor>,
    /// The hash of the last link; nothing where it cannot be known, since a link is missing.
    before: Option<[u8; 32]>,
    last: Anchor,
    position: i64,
    anchored: bool,
    /// The link of a beginning, and the hash before it.
    beginning: Option<LogSeal>,
    found: AuditVerification,
}

impl Verifier {
    pub(super) fn new(anchor: Option<Anchor>) -> Self {
        // Every chain has an empty beginning.
        let anchored = anchor.as_ref().is_none_or(|anchor| *anchor == Anchor::none());
        Self {
            anchor,
            before: Some(ZEROS),
            last: Anchor::none(),
            position: 0,
            anchored,
            beginning: None,
            found: AuditVerification::default(),
        }
    }

    fn note(&mut self, finding: AuditFinding) {
        self.found.found += 1;
        if self.found.findings.len() < MAX_FINDINGS {
            self.found.findings.push(finding);
        }
    }

    /// The next link in the order of sequences, with the values of its line where that is there.
    pub(super) fn link(&mut self, seal: &LogSeal, line: Option<&[Value]>) {
        if seal.sequence != self.last.count.saturating_add(1) {
            self.note(AuditFinding::MissingSeals { from: self.last.count + 1, until: seal.sequence });
            self.before = None;
        }
        if seal.position < self.position {
            self.note(AuditFinding::Reordered { sequence: seal.sequence });
        }
        let log = seal.log_id;
        if log.uuid().is_nil() && seal.sequence == 1 {
            // What it seals is known at the end.
            self.beginning = Some(seal.clone());
        } else if let Some(line) = line {
            self.found.lines += 1;
            let hash =
                self.before.map(|before| link_hash(before, seal.sequence, seal.position, &line_bytes(line)));
            if hash.is_some_and(|hash| hex(hash) != seal.hash) {
                self.note(AuditFinding::Altered { sequence: seal.sequence, log });
            }
        } else {
            self.note(AuditFinding::Deleted { sequence: seal.sequence, log });
        }
        self.before = unhex(&seal.hash);
        self.position = seal.position;
        self.last = Anchor::new(seal.sequence, seal.hash.clone());
        if let Some(anchor) = self.anchor.as_ref().filter(|anchor| anchor.count == seal.sequence) {
            self.anchored = anchor.hash == seal.hash;
        }
    }

    /// The end of the chain, with the head as it is stored and the lines that no link seals and that are not waiting for
    /// one, in the order of ids, each with the hash of its bytes.
    pub(super) fn finish(mut self, head: &Anchor, strays: &[(Uuid, [u8; 32])]) -> AuditVerification {
        if *head != self.last {
            let found = self.last.count;
            self.note(AuditFinding::WrongHead { count: head.count, found });
        }
        if let Some(anchor) = self.anchor.as_ref().filter(|_| !self.anchored) {
            let count = anchor.count;
            self.note(AuditFinding::WrongAnchor { count });
        }
        match self.beginning.take() {
            Some(seal) => {
                let bytes = beginning_bytes(strays.iter().map(|(_, hash)| hash));
                if hex(link_hash(ZEROS, seal.sequence, seal.position, &bytes)) != seal.hash {
                    self.note(AuditFinding::AlteredBeforeBeginning);
                }
            }
            None => {
                for (log, _) in strays {
                    self.note(AuditFinding::Inserted { log: (*log).into() });
                }
            }
        }
        self.found.head = self.last;
        self.found
    }
}

/// The hash of a line alone.
pub(super) fn line_hash(values: &[Value]) -> [u8; 32] {
    sha256(&line_bytes(values))
}
