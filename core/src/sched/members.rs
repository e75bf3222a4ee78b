//! The nodes of a class in the order in which they are taken.

mod chunk;

use uuid::Uuid;

use chunk::Chunk;

/// So many nodes are kept without an allocation.
const FEW: usize = 3;

/// The fixed order of nodes: by rank, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeKey {
    pub(crate) rank: u64,
    pub(crate) id: Uuid,
}

/// Nodes, by their index in the cluster, in the order of their keys.
///
/// Most classes of a busy cluster have a node or two, and a fresh cluster of a million nodes has one class: a few cost
/// no allocation, and more are kept in chunks, some ten bytes a node. The keys stay with the nodes; every method that
/// needs any is told how to look them up.
#[derive(Debug, Clone)]
pub(crate) enum Members {
    /// As many as are in use of these, at least one.
    Few { len: u8, nodes: [u32; FEW] },
    /// More.
    Many(Box<Chunks>),
}

/// Nodes in chunks, in order; no chunk is empty.
#[derive(Debug, Clone)]
pub(crate) struct Chunks {
    chunks: Vec<Chunk>,
    /// The number of nodes in all chunks.
    len: u32,
}

impl Members {
    /// One node.
    pub(crate) const fn one(node: u32) -> Self {
        Self::Few { len: 1, nodes: [node; FEW] }
    }

    pub(crate) fn len(&self) -> u32 {
        match self {
            Self::Few { len, .. } => u32::from(*len),
            Self::Many(many) => many.len,
        }
    }

    /// The node that is taken first; there is none only in a class that is about to go.
    pub(crate) fn first(&self) -> Option<u32> {
        match self {
            Self::Few { nodes: [first, ..], .. } => Some(*first),
            Self::Many(many) => many.chunks.first().and_then(Chunk::first),
        }
    }

    /// The node at this place in the order.
    pub(crate) fn nth(&self, mut place: usize) -> Option<u32> {
        for chunk in self.chunks() {
            match chunk.get(place) {
                Some(node) => return Some(node),
                None => place -= chunk.len(),
            }
        }
        self.few().get(place).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.few().iter().copied().chain(self.chunks().iter().flat_map(Chunk::iter))
    }

    /// The nodes whose key is no less.
    pub(crate) fn iter_from(&self, from: NodeKey, key: impl Fn(u32) -> NodeKey) -> impl Iterator<Item = u32> {
        let at = if let Self::Many(many) = self { many.chunk_of(from) } else { 0 };
        let chunks = self.chunks().get(at..).unwrap_or(&[]);
        let first = chunks.iter().take(1).flat_map(move |chunk| chunk.not_before(from));
        let nodes = self.few().iter().copied().chain(first).skip_while(move |node| key(*node) < from);
        nodes.chain(chunks.iter().skip(1).flat_map(Chunk::iter))
    }

    fn few(&self) -> &[u32] {
        match self {
            Self::Few { len, nodes } => nodes.get(..usize::from(*len)).unwrap_or(nodes),
            Self::Many(_) => &[],
        }
    }

    fn chunks(&self) -> &[Chunk] {
        match self {
            Self::Few { .. } => &[],
            Self::Many(many) => &many.chunks,
        }
    }

    /// Adds a node that is not there yet.
    pub(crate) fn insert(&mut self, node: u32, key: impl Fn(u32) -> NodeKey) {
        match self {
            Self::Many(many) => many.insert(node, &key),
            Self::Few { len, nodes } => {
                let wanted = key(node);
                let held = nodes.get(..usize::from(*len)).unwrap_or_default();
                let place = held.iter().take_while(|other| key(**other) < wanted).count();
                if let Some(room) = nodes.get_mut(place..=usize::from(*len)) {
                    room.rotate_right(1);
                    room.iter_mut().take(1).for_each(|first| *first = node);
                    *len += 1;
                } else if let Some(chunk) = Chunk::of(nodes.as_slice(), &key) {
                    let mut many = Chunks { chunks: vec![chunk], len: u32::from(*len) };
                    many.insert(node, &key);
                    *self = Self::Many(Box::new(many));
                }
            }
        }
    }

    /// Takes a node out. Answers whether any are left.
    pub(crate) fn remove(&mut self, node: u32, key: impl Fn(u32) -> NodeKey) -> bool {
        match self {
            Self::Few { len: 1, .. } => return false,
            Self::Few { len, nodes } => {
                let held = nodes.get_mut(..usize::from(*len)).unwrap_or_default();
                if let Some(place) = held.iter().position(|other| *other == node) {
                    held.iter_mut().skip(place).reduce(|to, from| {
                        *to = *from;
                        from
                    });
                    *len -= 1;
                }
            }
            Self::Many(many) => {
                many.remove(node, &key);
                // One less than could be, so that a class that has now a node more and now one less does not change
                // over each time.
                if many.len == 2 {
                    let mut nodes = [u32::MAX; FEW];
                    nodes.iter_mut().zip(self.iter()).for_each(|(to, node)| *to = node);
                    *self = Self::Few { len: 2, nodes };
                }
            }
        }
        true
    }
}

impl Chunks {
    fn insert(&mut self, node: u32, key: &impl Fn(u32) -> NodeKey) {
        self.len += 1;
        let wanted = key(node);
        let at = self.chunk_of(wanted);
        let last = self.chunks.len().saturating_sub(1);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        if !chunk.is_full() {
            chunk.insert(node, wanted, key);
            return;
        }
        // What comes in order leaves full chunks behind.
        if at == last && chunk.last().is_some_and(|last| key(last) < wanted) {
            self.chunks.extend(Chunk::of(&[node], key));
            return;
        }
        let mut upper = chunk.split(key);
        if wanted < upper.least() { chunk } else { &mut upper }.insert(node, wanted, key);
        self.chunks.insert(at + 1, upper);
    }

    fn remove(&mut self, node: u32, key: &impl Fn(u32) -> NodeKey) {
        // Mostly it is the first that is taken: no key need be looked up for it.
        let is_first = self.chunks.first().and_then(Chunk::first) == Some(node);
        let (at, place) = if is_first { (0, Some(0)) } else { self.place_of(node, key(node)) };
        let (Some(chunk), Some(place)) = (self.chunks.get_mut(at), place) else { return };
        chunk.remove(place);
        self.len -= 1;
        if chunk.len() == 0 {
            self.chunks.remove(at);
        } else if chunk.is_sparse() && !self.merge(at, key) && at > 0 {
            self.merge(at - 1, key);
        }
    }

    /// The chunk of a node, and its place in the chunk.
    fn place_of(&self, node: u32, held: NodeKey) -> (usize, Option<usize>) {
        let at = self.chunk_of(held);
        (at, self.chunks.get(at).and_then(|chunk| chunk.place_of(node, held)))
    }

    /// Puts a chunk and the next one together, if that leaves much room in it. Answers whether it did.
    fn merge(&mut self, at: usize, key: &impl Fn(u32) -> NodeKey) -> bool {
        let pair = self.chunks.get_mut(at..at + 2);
        let Some([chunk, next]) = pair else { return false };
        let merged = chunk.absorb(next, key);
        if merged {
            self.chunks.remove(at + 1);
        }
        merged
    }

    /// The chunk in which a key belongs: the last that does not begin after it, or the first.
    fn chunk_of(&self, wanted: NodeKey) -> usize {
        self.chunks.partition_point(|chunk| chunk.least() <= wanted).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests;
