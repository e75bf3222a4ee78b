//! How nodes come into the index, change and go.

use uuid::Uuid;

use super::{Cluster, Node, VACANT, id_tag};
use crate::sched::class::{ClassState, Slots};
use crate::sched::class_table::tag;
use crate::sched::demand::Tag;
use crate::sched::grain::{Free, Grain};
use crate::sched::members::NodeKey;
use crate::sched::node::{InvalidNode, InvalidNodes, NodeState, Running};
use crate::sched::task_counts::Tally;

/// How many nodes are looked up before the first of them is taken in.
const AHEAD: usize = 64;

impl Cluster {
    /// Takes in a node as it is now, whether it was there or not.
    pub fn upsert(&mut self, node: &NodeState) -> Result<(), InvalidNode> {
        // Looked up first, so that the memory of the index is waited for while the node is judged.
        let index = self.index_of(&node.id);
        node.validate()?;
        self.take_in(index, node);
        Ok(())
    }

    /// Takes in many nodes as they are now, in their order: what a snapshot has, or a stretch of a feed.
    ///
    /// It is quicker than one [`upsert`](Self::upsert) for each, since the memory in which the next nodes are is waited for
    /// together. If one of them is not valid none is taken in.
    pub fn upsert_all(&mut self, nodes: &[NodeState]) -> Result<(), InvalidNodes> {
        for (place, node) in nodes.iter().enumerate() {
            node.validate().map_err(|source| InvalidNodes { place, node: node.id, source })?;
        }
        let mut known = [None; AHEAD];
        for nodes in nodes.chunks(AHEAD) {
            // One look does not depend on another, so that the processor has many under way.
            known.iter_mut().zip(nodes).for_each(|(known, node)| *known = self.index_of(&node.id));
            for (node, known) in nodes.iter().zip(known) {
                // It may have come with one before it. Whatever came keeps its index.
                let index = known.or_else(|| self.index_of(&node.id));
                debug_assert_eq!(index, self.index_of(&node.id));
                self.take_in(index, node);
            }
        }
        Ok(())
    }

    /// Takes in a valid node, which is there if it has an index.
    fn take_in(&mut self, index: Option<u32>, node: &NodeState) {
        match index {
            // Its place in the order is another one: in every respect another node.
            Some(index) if self.node(index).is_some_and(|held| held.key.rank != node.rank) => {
                self.remove(&node.id);
                self.add(node);
            }
            Some(index) => self.renew(index, node),
            None => self.add(node),
        }
    }

    /// Takes in a node that is not there.
    fn add(&mut self, node: &NodeState) {
        let key = NodeKey { rank: node.rank, id: node.id };
        let slots = Slots::from_gpus(&node.gpus);
        let mut entry = Node { key, free: Free::of(node), slots, tally: Tally::default(), class: VACANT };
        let index = if let Some(index) = self.free_nodes.pop() {
            index
        } else {
            self.nodes.push(entry.clone());
            last_index(self.nodes.len())
        };
        entry.tally = self.running.replace(index, Tally::default(), &node.running);
        let mut state = ClassState::new(&slots, self.intern(node.model.as_deref()));
        state.schedulable = node.schedulable;
        entry.tell(self.grain, &mut state);
        self.supply.add(&state, entry.free);
        self.totals.add(&slots);
        self.by_id.insert(id_tag(&node.id), index);
        if let Some(place) = self.node_mut(index) {
            *place = entry;
        }
        self.log.version += 1;
        self.join(index, &state);
    }

    /// Takes in the present state of a node that is there.
    fn renew(&mut self, index: u32, node: &NodeState) {
        let Some(&Node { free, slots, tally, class, .. }) = self.node(index) else { return };
        let Some(state) = self.class(class).map(|class| &class.state) else { return };
        let is_same_model = self.model(state) == node.model.as_deref();
        let (now, now_free) = (Slots::from_gpus(&node.gpus), Free::of(node));
        if is_same_model
            && state.schedulable == node.schedulable
            && (now, now_free, Tally::of(&node.running)) == (slots, free, tally)
            && tally.is_exact()
        {
            return;
        }
        let model = if is_same_model { state.model } else { self.intern(node.model.as_deref()) };
        let now_tally = self.running.replace(index, tally, &node.running);
        if now != slots {
            self.totals.remove(&slots);
            self.totals.add(&now);
        }
        self.change(index, |held, state| {
            if now != slots {
                *state = ClassState::new(&now, model);
            }
            (state.model, state.schedulable) = (model, node.schedulable);
            (held.slots, held.free, held.tally) = (now, now_free, now_tally);
        });
    }

    /// Says how much processor time and memory a node has in all. Otherwise the most that was ever free of it is taken for that.
    pub(crate) fn see_size(&mut self, id: &Uuid, cpu: i64, memory: i64) {
        let Some(state) = self.index_of(id).and_then(|index| self.class_of(index)).map(|class| class.state)
        else {
            return;
        };
        self.supply.see(&state, Free { cpu, memory, storage: 0 });
    }

    /// Forgets a node. Answers whether it was there.
    pub fn remove(&mut self, id: &Uuid) -> bool {
        let Some(index) = self.index_of(id) else { return false };
        let Some(&Node { slots, tally, class, .. }) = self.node(index) else { return false };
        self.by_id.remove(id_tag(id), index);
        if let Some(state) = self.class(class).map(|class| class.state) {
            self.supply.remove(&state);
        }
        self.log.version += 1;
        self.leave(index, class);
        self.running.replace(index, tally, &Running::default());
        if let Some(node) = self.node_mut(index) {
            node.class = VACANT;
        }
        self.free_nodes.push(index);
        self.totals.remove(&slots);
        true
    }

    /// Opens or closes a node for new tasks. Answers whether the node is there.
    pub fn set_schedulable(&mut self, id: &Uuid, schedulable: bool) -> bool {
        let Some(index) = self.index_of(id) else {
            return false;
        };
        self.change(index, |_, state| state.schedulable = schedulable);
        true
    }

    /// Moves a node to the class of its changed state.
    pub(in crate::sched) fn change(&mut self, index: u32, change: impl FnOnce(&mut Node, &mut ClassState)) {
        let Some(number) = self.node(index).map(Node::class) else { return };
        let Some(before) = self.class(number).map(|class| class.state) else { return };
        let grain = self.grain;
        let mut after = before;
        let Some(node) = self.node_mut(index) else { return };
        let had = node.free;
        change(node, &mut after);
        node.tell(grain, &mut after);
        let free = node.free;
        self.log.version += 1;
        if after != before {
            self.supply.replace(&before, &after, free);
            self.leave(index, number);
            self.join(index, &after);
            return;
        }
        self.supply.see(&after, free);
        if free.cpu > had.cpu || free.memory > had.memory || free.storage > had.storage {
            // For who asks it is as if it had joined: what did not fit may fit now.
            self.tell_of(number, index);
        }
    }

    /// Puts a class into the change log, for a node of it.
    fn tell_of(&mut self, number: u32, node: u32) {
        let live = self.classes.len();
        if let Some(class) = self.classes.get_mut(number) {
            class.changed = self.log.push(number, node, class.changed, live);
        }
    }

    /// Takes a node out of its class, which goes if this was the last one.
    fn leave(&mut self, index: u32, number: u32) {
        let nodes = &self.nodes;
        let Some(class) = self.classes.get_mut(number) else { return };
        let was_first = class.members.first() == Some(index);
        if !class.members.remove(index, |index| key_of(nodes, index)) {
            self.classes.remove(number);
        } else if let Some(first) = class.members.first().filter(|_| was_first) {
            class.first = key_of(nodes, first);
        }
    }

    /// Puts a node into the class of this state, making the class if it is the first one.
    fn join(&mut self, index: u32, state: &ClassState) {
        let nodes = &self.nodes;
        let key = key_of(nodes, index);
        let tag = tag(state);
        let number = self.classes.find(tag, state).unwrap_or(VACANT);
        let (number, is_first) = if let Some(class) = self.classes.get_mut(number) {
            class.members.insert(index, |index| key_of(nodes, index));
            (number, class.members.first() == Some(index))
        } else {
            (self.classes.insert(tag, *state, index, key), true)
        };
        if is_first && let Some(class) = self.classes.get_mut(number) {
            class.first = key;
        }
        // It may be the first that fits where the first of the class does not.
        if is_first || !self.grain.is_exact() {
            self.tell_of(number, index);
        }
        if let Some(node) = self.node_mut(index) {
            node.class = number;
        }
    }

    /// Says how many tasks of a kind run on a node from now on. The class of the node is not told.
    pub(in crate::sched) fn set_tasks(&mut self, index: u32, tag: Tag, tasks: u32) {
        let node = usize::try_from(index).ok().and_then(|at| self.nodes.get_mut(at));
        if let Some(node) = node {
            node.tally = self.running.set(index, node.tally, tag, tasks);
        }
    }

    fn intern(&mut self, model: Option<&str>) -> u32 {
        let Some(model) = model else { return 0 };
        let at = self.models.iter().position(|known| known == model).unwrap_or_else(|| {
            self.models.push(model.to_owned());
            self.models.len() - 1
        });
        last_index(at + 2)
    }
}

impl Node {
    /// Takes over what a class of this grain tells of the amounts and tasks of the node.
    fn tell(&self, grain: Grain, state: &mut ClassState) {
        state.free = grain.floor(self.free);
        state.tags = if grain.is_exact() { self.tally.tags() } else { 0 };
    }
}

fn key_of(nodes: &[Node], index: u32) -> NodeKey {
    let node = usize::try_from(index).ok().and_then(|at| nodes.get(at));
    node.map_or(NodeKey { rank: u64::MAX, id: Uuid::max() }, |node| node.key)
}

/// The index of the last of so many things. A cluster of 2^32 nodes does not fit in memory.
fn last_index(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(1)).unwrap_or(VACANT)
}

#[cfg(test)]
mod tests;
