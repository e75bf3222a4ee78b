//! What the model expects of a report.

use std::collections::{BTreeMap, BTreeSet};

use super::super::machine::Container;
use super::state::{Foreign, Gpu, Look, Model, amounts};
use crate::entity::{CommandKind, GpuHealth, InstanceState};
use crate::ports::Protocol;

/// What a report is to come to: the instances that are lost, and those whose removal is seen, and how many containers are foreign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comes {
    pub(super) lost: Vec<usize>,
    pub(super) deleted: Vec<usize>,
    pub(super) foreign: usize,
    /// The slots of GPUs that vanished.
    pub(super) gone: Vec<u32>,
}

pub(super) const fn status_of(container: &Container) -> &'static str {
    if container.runs { "Up 3 hours" } else { "Exited (0)" }
}

impl Model {
    /// Takes in what the agent has seen; its session is the last one.
    pub(super) fn report(&mut self, node: usize, look: &Look) -> Comes {
        let gone = self.report_hardware(node, look);
        let mut comes = Comes { gone, ..Comes::default() };
        let taken = self.report_instances(node, look, &mut comes);
        self.report_foreign(node, look, &taken, &mut comes);
        comes
    }

    fn report_hardware(&mut self, at: usize, look: &Look) -> Vec<u32> {
        let slots = self.nodes[at].gpus.keys().map(|slot| (*slot, self.gpu_held(at, *slot)));
        let held: BTreeMap<u32, i64> = slots.filter(|(_, held)| *held > 0).collect();
        let node = &mut self.nodes[at];
        let (cpu, memory, storage) = look.machine.capacity;
        node.total = amounts(cpu, memory, storage);
        node.most = [0, 1, 2].map(|of| node.most[of].max(node.total[of]));
        node.gpu_total = 1000 * i64::try_from(look.machine.gpus.len()).unwrap_or(-1);
        (node.ports, node.most_ports) = (look.ports, node.most_ports.max(look.ports));
        let mut found: Vec<&String> = look.machine.gpus.iter().collect();
        let next = node.gpus.keys().next_back().map_or(0, |slot| slot + 1);
        let known: BTreeSet<String> = node.gpus.values().filter_map(|gpu| gpu.key.clone()).collect();
        let mut gone = Vec::new();
        node.gpus.retain(|slot, gpu| {
            let place = match &gpu.key {
                Some(key) => found.iter().position(|found| *found == key),
                // One that has no name yet is the first that no other one is.
                None if gpu.health == GpuHealth::Gone => None,
                None => found.iter().position(|found| !known.contains(*found)),
            };
            if let Some(place) = place {
                gpu.key = Some(found.remove(place).clone());
                if gpu.health == GpuHealth::Gone {
                    gpu.health = GpuHealth::Healthy;
                }
                return true;
            }
            if gpu.health != GpuHealth::Gone && (gpu.key.is_some() || held.contains_key(slot)) {
                gone.push(*slot);
            }
            gpu.health = GpuHealth::Gone;
            gpu.key.is_some() || held.contains_key(slot)
        });
        for (slot, key) in (next..).zip(found) {
            node.gpus.insert(slot, Gpu { id: None, key: Some(key.clone()), health: GpuHealth::Healthy });
        }
        // What is held of what is gone is over, and takes nothing away of what is there.
        let gone_slots = node.gpus.iter().filter(|(_, gpu)| gpu.health == GpuHealth::Gone);
        node.gpu_total += gone_slots.filter_map(|(slot, _)| held.get(slot)).sum::<i64>();
        gone
    }

    /// Which containers are instances.
    fn report_instances(&mut self, node: usize, look: &Look, comes: &mut Comes) -> BTreeSet<String> {
        let containers = &look.machine.containers;
        let known: Vec<usize> = (0..self.instances.len())
            .filter(|at| self.instances[*at].node == node && self.instances[*at].is_live())
            .collect();
        let mut taken: BTreeSet<String> = known
            .iter()
            .filter_map(|at| self.instances[*at].key.clone())
            .filter(|key| containers.contains_key(key))
            .collect();
        for at in known {
            let instance = &mut self.instances[at];
            let marked = || {
                let mut its = containers
                    .iter()
                    .filter(|(key, it)| it.mark == Some(instance.id) && !taken.contains(*key));
                its.next().map(|(key, _)| key.clone())
            };
            let found = match &instance.key {
                Some(key) => containers.contains_key(key).then(|| key.clone()),
                None => marked(),
            };
            taken.extend(found.clone());
            let creating = instance.state.is_in_creation();
            let busy = instance.command.is_some();
            if instance.changed >= look.at || (creating && busy) {
                continue;
            }
            let deleting = instance.state == InstanceState::Deleting;
            let Some(key) = found else {
                if instance.by_agent && !creating && !(deleting && busy) {
                    let to = if deleting { &mut comes.deleted } else { &mut comes.lost };
                    to.push(at);
                    self.end(at, if deleting { InstanceState::Deleted } else { InstanceState::Lost });
                }
                continue;
            };
            let container = &containers[&key];
            let before = (instance.state, instance.by_agent, instance.key.clone(), instance.status.clone());
            if !deleting {
                instance.state = if container.runs { InstanceState::Running } else { InstanceState::Stopped };
            }
            instance.by_agent = true;
            instance.key.get_or_insert(key);
            instance.status = Some(status_of(container).to_owned());
            if before != (instance.state, instance.by_agent, instance.key.clone(), instance.status.clone()) {
                instance.changed = self.now;
            }
        }
        taken
    }

    /// The containers that are no instances are counted, and have the ports that are nobody's.
    fn report_foreign(&mut self, node: usize, look: &Look, instances: &BTreeSet<String>, comes: &mut Comes) {
        let containers = &look.machine.containers;
        let rest: Vec<&String> = containers.keys().filter(|key| !instances.contains(*key)).collect();
        comes.foreign = rest.len();
        let known: Vec<String> = self.nodes[node].foreign.keys().cloned().collect();
        for key in &known {
            match containers.get(key).filter(|_| rest.contains(&key)) {
                None => drop(self.nodes[node].foreign.remove(key)),
                Some(container) => self.count_foreign(node, key, container, None),
            }
        }
        for key in rest.into_iter().filter(|key| !known.contains(*key)) {
            let container = &containers[key];
            let marked = container.mark.and_then(|mark| self.place_of(mark));
            let left_by = marked
                .filter(|at| self.instances[*at].state.is_terminal() && self.instances[*at].node == node);
            // It was still there when the agent looked, and has ended since.
            if left_by.is_some_and(|at| self.instances[at].changed >= look.at) {
                continue;
            }
            let command = left_by.map(|at| self.send(CommandKind::DeleteInstance, at));
            self.count_foreign(node, key, container, Some((left_by, command)));
        }
    }

    fn count_foreign(
        &mut self,
        node: usize,
        key: &String,
        container: &Container,
        new: Option<(Option<usize>, Option<usize>)>,
    ) {
        let taken = self.taken(node);
        let its = format!("foreign {key}");
        let has: Vec<u16> = container
            .ports
            .iter()
            .filter(|port| {
                port.protocol == Protocol::Tcp && taken.get(&port.port).is_none_or(|of| *of == its)
            })
            .map(|port| port.port)
            .collect();
        let (left_by, command) = match (new, self.nodes[node].foreign.get(key)) {
            (Some(new), _) => new,
            (None, known) => known.map_or((None, None), |known| (known.left_by, known.command)),
        };
        let (cpu, memory, storage) = container.uses;
        let uses = amounts(cpu, memory, storage);
        let status = Some(status_of(container).to_owned());
        self.nodes[node].foreign.insert(key.clone(), Foreign { uses, ports: has, left_by, command, status });
    }
}
