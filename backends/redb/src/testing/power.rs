//! A disk in memory whose power can be cut: [`Disk`].

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// How much of a write reaches a disk at once.
const SECTOR_BYTES: usize = 512;

/// A disk in memory that keeps apart what was synced and what was only written.
///
/// Cloning gives another handle of the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    /// What a power cut leaves in any case.
    synced: Vec<u8>,
    /// What readers see.
    current: Vec<u8>,
    /// What was done since the last sync, in order.
    unsynced: Vec<Change>,
    /// How many more changes and syncs the power lasts for; none where it lasts for ever.
    power: Option<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// What a power cut does with what was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Surviving {
    /// It is lost.
    Nothing,
    /// Each sector of each write is lost or not, at random from this seed.
    Torn(u64),
    /// It was all written just in time.
    Everything,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with these contents, all synced.
    pub fn with(contents: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.lock().synced.clone_from(&contents);
        disk.lock().current = contents;
        disk
    }

    /// The storage on this disk, for redb.
    pub fn backend(&self) -> PowerLoss {
        PowerLoss(self.clone())
    }

    /// Cuts the power at the so-manieth further write, change of length or sync; at once for 0. The one that it hits
    /// fails, and so does everything after it.
    pub fn cut_after(&self, changes: u64) {
        self.lock().power = Some(changes);
    }

    /// Whether the power has been cut.
    pub fn is_cut(&self) -> bool {
        self.lock().power == Some(0)
    }

    /// What the disk holds when the power comes back.
    pub fn surviving(&self, surviving: Surviving) -> Vec<u8> {
        let contents = self.lock();
        let mut left = contents.synced.clone();
        let mut random = match surviving {
            Surviving::Nothing => return left,
            Surviving::Everything => None,
            Surviving::Torn(seed) => Some(seed),
        };
        for change in &contents.unsynced {
            match change {
                Change::Length(len) => {
                    if random.as_mut().is_none_or(coin) {
                        left.resize(*len, 0);
                    }
                }
                Change::Write(offset, data) => {
                    for (at, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                        if random.as_mut().is_none_or(coin) {
                            put(&mut left, offset + at * SECTOR_BYTES, sector);
                        }
                    }
                }
            }
        }
        left
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Each change is made whole before the next.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contents, to be changed once more, and whether that succeeds; nothing where the power is off.
    fn powered(&self) -> io::Result<(MutexGuard<'_, Contents>, io::Result<()>)> {
        let mut contents = self.lock();
        let outcome = match &mut contents.power {
            Some(0) => return Err(no_power()),
            Some(left) => {
                *left -= 1;
                if *left == 0 { Err(no_power()) } else { Ok(()) }
            }
            None => Ok(()),
        };
        Ok((contents, outcome))
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power was cut")
}

/// `SplitMix64` (Steele, Lea, Flood 2014), of which one bit is used.
fn coin(state: &mut u64) -> bool {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) & 1 == 1
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(offset..end) {
        place.copy_from_slice(data);
    }
}

/// The storage on a [`Disk`].
#[derive(Debug)]
pub struct PowerLoss(Disk);

impl StorageBackend for PowerLoss {
    fn len(&self) -> io::Result<u64> {
        u64::try_from(self.0.lock().current.len()).map_err(io::Error::other)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let contents = self.0.lock();
        if contents.power == Some(0) {
            return Err(no_power());
        }
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let found = contents.current.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let (mut contents, outcome) = self.0.powered()?;
        contents.current.resize(len, 0);
        contents.unsynced.push(Change::Length(len));
        outcome
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut contents, outcome) = self.0.powered()?;
        // What a sync that is cut off has reached is as open as without it.
        outcome?;
        let changes = std::mem::take(&mut contents.unsynced);
        for change in changes {
            match change {
                Change::Length(len) => contents.synced.resize(len, 0),
                Change::Write(offset, data) => put(&mut contents.synced, offset, &data),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let (mut contents, outcome) = self.0.powered()?;
        if contents.current.len() < offset + data.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        put(&mut contents.current, offset, data);
        // The write that the cut hits may reach the disk in part.
        contents.unsynced.push(Change::Write(offset, data.to_vec()));
        outcome
    }
}
