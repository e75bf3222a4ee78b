//! What everybody of a crowd did and was told, line by line, each in a file of their own. A process that is killed leaves what it had
//! written, and at most the beginning of one more line.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::CrowdPart;
use super::words::{Why, Word};
use crate::amount::GpuMilli;
use crate::entity::{GpuId, LeaseId};
use crate::plane::RunLease;
use crate::time::{Clock, Timestamp};

/// Something that was done, or told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Note {
    /// A worker begins, with nothing but its name.
    Born,
    /// A worker was given a lease: it uses these GPUs from now on.
    Claimed { lease: RunLease, gpus: Vec<(GpuId, GpuMilli)>, lives: u32 },
    /// It does not use them any more. It is written before anybody is told so.
    Idle { lease: LeaseId },
    /// It is about to say that the run is complete.
    Completing { lease: RunLease },
    /// It was answered that the run is complete.
    Completed { lease: RunLease },
    /// It said something that counts no more, or never did, and was told why, if it was refused.
    Stale { word: Word, why: Why, refused: Option<String> },
    /// It was told that nobody knows whether it has a lease now.
    Unsure,
    /// What a tick has come to.
    Ticked { granted: usize, lost: usize, preempted: usize },
    /// Something that must not be.
    Wrong { what: String },
}

/// A diary that is being written.
#[derive(Debug)]
pub(super) struct Diary {
    file: File,
    clock: Arc<dyn Clock>,
}

impl Diary {
    /// Begins the diary of somebody in a process.
    pub(super) fn of(part: &CrowdPart, who: &str, clock: Arc<dyn Clock>) -> Self {
        let path = part.folder.join(format!("{} {who}", part.name()));
        let file = OpenOptions::new().create_new(true).append(true).open(path).unwrap();
        Self { file, clock }
    }

    pub(super) fn note(&mut self, note: &Note) {
        let mut line = serde_json::to_vec(&(self.clock.now(), note)).unwrap();
        line.push(b'\n');
        // At once, or cut off by the kill.
        self.file.write_all(&line).unwrap();
    }
}

/// Whose a diary is: the number and the generation of the process, and who in it.
pub(super) type Writer = (u32, u32, String);

/// All diaries, as far as they are written.
pub(super) fn read_all(folder: &Path) -> BTreeMap<Writer, Vec<(Timestamp, Note)>> {
    let mut diaries = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let (part, who) = name.split_once(' ').unwrap();
        let (number, generation) = part.split_once('.').unwrap();
        let text = std::fs::read(&path).unwrap();
        let whole = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let notes = whole.map(|line| serde_json::from_slice(line).unwrap()).collect();
        diaries.insert((number.parse().unwrap(), generation.parse().unwrap(), who.to_owned()), notes);
    }
    diaries
}
