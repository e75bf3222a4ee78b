//! A part of the nodes of a class: [`Chunk`].

use super::NodeKey;

/// The most nodes of a chunk: moving so many costs less than following one more pointer.
const CHUNK: usize = 128;

/// Fewer than these are put together with those of the next chunk.
const SPARSE: usize = CHUNK / 4;

/// The bits of a key, of its rank and its id.
const KEY_BITS: u32 = 192;

/// Marks are made sharper when they could leave out so many bits more.
const DULL_BITS: u32 = 12;

/// Nodes in order, with as much of each key as is needed to find them mostly.
///
/// The keys of a chunk begin alike: a mark is the 32 bits that follow. Nodes of equal mark are told apart by their keys,
/// which are far away, each in another corner of memory.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    /// No key of the chunk is less, and all keys of the chunk before are.
    least: NodeKey,
    /// All keys of the chunk have so many leading bits in common with `least`.
    skip: u32,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    mark: u32,
    node: u32,
}

impl NodeKey {
    /// How many leading bits two keys have in common, as far as a mark can skip them.
    fn common_bits(self, other: Self) -> u32 {
        let ranks = (self.rank ^ other.rank).leading_zeros();
        let ids = (self.id.as_u128() ^ other.id.as_u128()).leading_zeros();
        let common = if ranks == u64::BITS { ranks + ids } else { ranks };
        common.min(KEY_BITS - u32::BITS)
    }

    /// The 32 bits that follow so many leading ones.
    fn mark(self, skip: u32) -> u32 {
        let (rank, id) = (u128::from(self.rank), self.id.as_u128());
        // The rank and the first half of the id, or all of the id.
        let bits = if skip < u64::BITS { (rank << 64 | id >> 64) << skip } else { id << (skip - u64::BITS) };
        u32::try_from(bits >> (u128::BITS - u32::BITS)).unwrap_or(u32::MAX)
    }
}

impl Chunk {
    /// A chunk of these nodes, at least one, which are in order.
    pub(super) fn of(nodes: &[u32], key: &impl Fn(u32) -> NodeKey) -> Option<Self> {
        let (least, most) = (key(*nodes.first()?), key(*nodes.last()?));
        let skip = least.common_bits(most);
        let entries = nodes.iter().map(|&node| Entry { mark: key(node).mark(skip), node }).collect();
        Some(Self { least, skip, entries })
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.entries.len() >= CHUNK
    }

    pub(super) const fn is_sparse(&self) -> bool {
        self.entries.len() < SPARSE
    }

    pub(super) const fn least(&self) -> NodeKey {
        self.least
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.get(0)
    }

    pub(super) fn last(&self) -> Option<u32> {
        self.entries.last().map(|entry| entry.node)
    }

    pub(super) fn get(&self, place: usize) -> Option<u32> {
        self.entries.get(place).map(|entry| entry.node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().map(|entry| entry.node)
    }

    /// Adds a node that is not there yet, not before the nodes of the chunk before.
    pub(super) fn insert(&mut self, node: u32, wanted: NodeKey, key: &impl Fn(u32) -> NodeKey) {
        let common = self.least.common_bits(wanted);
        self.least = self.least.min(wanted);
        if common < self.skip {
            self.mark_after(common, key);
        }
        let (from, to) = self.alike(wanted);
        let alike = self.entries.get(from..to).unwrap_or_default();
        let place = from + alike.partition_point(|other| key(other.node) < wanted);
        self.entries.insert(place, Entry { mark: wanted.mark(self.skip), node });
    }

    /// All nodes whose keys may be no less than this one: those whose keys are, and some of equal mark before them.
    pub(super) fn not_before(&self, from: NodeKey) -> impl Iterator<Item = u32> + '_ {
        let first = if from <= self.least { 0 } else { self.alike(from).0 };
        self.entries.iter().skip(first).map(|entry| entry.node)
    }

    /// Where a node is.
    pub(super) fn place_of(&self, node: u32, held: NodeKey) -> Option<usize> {
        let (from, to) = self.alike(held);
        Some(from + self.entries.get(from..to)?.iter().position(|other| other.node == node)?)
    }

    /// Takes out the node at a place.
    pub(super) fn remove(&mut self, place: usize) {
        if place < self.entries.len() {
            self.entries.remove(place);
        }
        let room = self.entries.capacity();
        if room > 16 && self.entries.len() < room / 4 {
            self.entries.shrink_to(room / 2);
        }
    }

    /// Splits off the upper half.
    pub(super) fn split(&mut self, key: &impl Fn(u32) -> NodeKey) -> Self {
        let entries = self.entries.split_off(self.entries.len() / 2);
        let mut upper = Self { least: self.least, skip: self.skip, entries };
        self.sharpen(key);
        upper.sharpen(key);
        upper
    }

    /// Takes the nodes of the next chunk in, if that leaves much room. Answers whether it did.
    pub(super) fn absorb(&mut self, next: &mut Self, key: &impl Fn(u32) -> NodeKey) -> bool {
        if self.len() + next.len() > CHUNK / 2 {
            return false;
        }
        let common = self.least.common_bits(next.least);
        self.entries.append(&mut next.entries);
        self.mark_after(common.min(self.skip).min(next.skip), key);
        true
    }

    /// The places of the entries whose mark is that of a key.
    fn alike(&self, key: NodeKey) -> (usize, usize) {
        let mark = key.mark(self.skip);
        // All of them are read, at once and in order, which takes less time than to wait for the memory of one after the
        // other as halving does.
        let before: u32 = self.entries.iter().map(|other| u32::from(other.mark < mark)).sum();
        let from = usize::try_from(before).unwrap_or(0);
        let alike = self.entries.iter().skip(from).take_while(|other| other.mark == mark).count();
        (from, from + alike)
    }

    /// Makes the chunk begin where its first node is, and marks it anew if that tells more apart.
    fn sharpen(&mut self, key: &impl Fn(u32) -> NodeKey) {
        if let (Some(first), Some(last)) = (self.first(), self.last()) {
            self.least = key(first);
            let common = self.least.common_bits(key(last));
            if common >= self.skip + DULL_BITS {
                self.mark_after(common, key);
            }
        }
    }

    fn mark_after(&mut self, skip: u32, key: &impl Fn(u32) -> NodeKey) {
        self.skip = skip;
        self.entries.iter_mut().for_each(|entry| entry.mark = key(entry.node).mark(skip));
    }
}

#[cfg(test)]
impl Chunk {
    /// For how many nodes there is room.
    pub(super) fn places(&self) -> usize {
        self.entries.capacity()
    }
}
