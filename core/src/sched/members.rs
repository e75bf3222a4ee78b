//! The nodes of a class in the order in which they are taken.

use uuid::Uuid;

/// A chunk is split when it grows beyond this: moving so many numbers is cheaper than following one pointer.
const CHUNK: usize = 256;

/// The fixed order of nodes: by rank, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeKey {
    pub(crate) rank: u64,
    pub(crate) id: Uuid,
}

/// Nodes, by their index in the cluster, in the order of their keys.
///
/// Most classes of a busy cluster have one node, and a fresh cluster of a million nodes has one class: the first
/// costs no allocation, the second is kept in chunks, about five bytes a node. The keys stay with the nodes; every
/// method is told how to look them up.
#[derive(Debug, Clone)]
pub(crate) enum Members {
    /// The only node.
    One(u32),
    /// Several nodes.
    Many(Box<Chunks>),
}

/// Nodes in chunks, in order; no chunk is empty.
#[derive(Debug, Clone)]
pub(crate) struct Chunks {
    chunks: Vec<Vec<u32>>,
    /// The number of nodes in all chunks.
    len: u32,
}

impl Members {
    pub(crate) const fn len(&self) -> u32 {
        match self {
            Self::One(_) => 1,
            Self::Many(many) => many.len,
        }
    }

    /// The node that is taken first; there is none only in a class that is about to go.
    pub(crate) fn first(&self) -> Option<u32> {
        match self {
            Self::One(node) => Some(*node),
            Self::Many(many) => many.chunks.first().and_then(|chunk| chunk.first()).copied(),
        }
    }

    /// The node at this place in the order.
    pub(crate) fn nth(&self, mut place: usize) -> Option<u32> {
        for chunk in self.chunks() {
            match chunk.get(place) {
                Some(node) => return Some(*node),
                None => place -= chunk.len(),
            }
        }
        None
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.chunks().flatten().copied()
    }

    fn chunks(&self) -> impl Iterator<Item = &[u32]> {
        let (one, many) = match self {
            Self::One(node) => (Some(std::slice::from_ref(node)), [].as_slice()),
            Self::Many(many) => (None, many.chunks.as_slice()),
        };
        one.into_iter().chain(many.iter().map(Vec::as_slice))
    }

    /// Adds a node that is not there yet.
    pub(crate) fn insert(&mut self, node: u32, key: impl Fn(u32) -> NodeKey) {
        let Chunks { chunks, len } = match self {
            Self::One(other) => {
                let pair = if key(*other) < key(node) { vec![*other, node] } else { vec![node, *other] };
                *self = Self::Many(Box::new(Chunks { chunks: vec![pair], len: 2 }));
                return;
            }
            Self::Many(many) => &mut **many,
        };
        *len += 1;
        let wanted = key(node);
        let at = Self::chunk_of(chunks, wanted, &key);
        let Some(chunk) = chunks.get_mut(at) else {
            chunks.push(vec![node]);
            return;
        };
        let place = chunk.partition_point(|other| key(*other) < wanted);
        chunk.insert(place, node);
        if chunk.len() > CHUNK {
            let upper = chunk.split_off(CHUNK / 2);
            chunks.insert(at + 1, upper);
        }
    }

    /// Takes a node out. Answers whether any are left.
    pub(crate) fn remove(&mut self, node: u32, key: impl Fn(u32) -> NodeKey) -> bool {
        let Chunks { chunks, len } = match self {
            Self::One(_) => return false,
            Self::Many(many) => &mut **many,
        };
        // Mostly it is the first that is taken: no key need be looked up for it.
        let is_first = chunks.first().and_then(|chunk| chunk.first()) == Some(&node);
        let wanted = key(node);
        let at = if is_first { 0 } else { Self::chunk_of(chunks, wanted, &key) };
        if let Some(chunk) = chunks.get_mut(at) {
            let place = if is_first { 0 } else { chunk.partition_point(|other| key(*other) < wanted) };
            if chunk.get(place) == Some(&node) {
                chunk.remove(place);
                *len -= 1;
            }
            if chunk.is_empty() {
                chunks.remove(at);
            }
        }
        if *len == 1
            && let Some(last) = self.first()
        {
            *self = Self::One(last);
        }
        true
    }

    /// The chunk in which a key belongs: the last that does not begin after it.
    fn chunk_of(chunks: &[Vec<u32>], wanted: NodeKey, key: &impl Fn(u32) -> NodeKey) -> usize {
        chunks
            .partition_point(|chunk| chunk.first().is_some_and(|first| key(*first) <= wanted))
            .saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A fixed order that is neither ascending nor descending.
    fn key(node: u32) -> NodeKey {
        NodeKey {
            rank: u64::from(node.wrapping_mul(0x9E37_79B9) >> 3) % 700,
            id: Uuid::from_u128(u128::from(node)),
        }
    }

    #[test]
    fn members_stay_in_order_whatever_comes_and_goes() {
        let mut members = Members::One(0);
        let mut model: BTreeSet<(u64, Uuid)> = BTreeSet::new();
        let pair = |node| (key(node).rank, key(node).id);
        model.insert(pair(0));
        for step in 1..4000_u32 {
            members.insert(step, key);
            model.insert(pair(step));
            if step % 3 == 0 {
                let gone = step / 2;
                if model.remove(&pair(gone)) {
                    assert!(members.remove(gone, key));
                }
            }
        }
        let order: Vec<_> = members.iter().map(pair).collect();
        assert_eq!(order, model.iter().copied().collect::<Vec<_>>());
        assert_eq!(usize::try_from(members.len()).unwrap(), order.len());
        assert_eq!(members.nth(1234).map(pair), order.get(1234).copied());
        assert_eq!(members.nth(order.len()), None);
        while members.len() > 1 {
            let last = members.nth(members.len() as usize - 1).unwrap();
            assert!(members.remove(last, key));
        }
        assert_eq!(members.first().map(pair), order.first().copied());
        assert!(!members.remove(members.first().unwrap(), key));
    }
}
