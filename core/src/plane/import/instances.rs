//! Instances that are brought in, with their ports and what they hold of GPUs.

use uuid::Uuid;

use super::item::ImportedInstance;
use super::nodes::of_node;
use super::parts::Parts;
use super::users::already_there;
use super::{Decision, Item, Known};
use crate::entity::{
    BindingState, Entity as _, GPUS, Gpu, GpuBinding, GpuId, IMAGES, INSTANCES, Image, Instance,
    InstanceState, ManagedInstance, NODE_LIFECYCLES, NodeLifecycle, PORT_MAPS, PortMap,
};
use crate::error::{Error, Result};
use crate::plane::ControlPlane;
use crate::store::{Cause, Key, Refusal, Table};
use crate::time::Timestamp;

impl Item for ImportedInstance {
    const OPERATION: &'static str = "instance.import";
    type Entity = Instance;

    fn id(&self) -> Uuid {
        self.id.uuid()
    }

    fn needs(&self) -> Vec<(&'static Table, Key)> {
        let mut needs: Vec<(&'static Table, Key)> = vec![(&INSTANCES, self.id.into())];
        if self.state.is_live() {
            needs.push((&NODE_LIFECYCLES, self.node.into()));
            needs.extend(self.image.map(|image| (&IMAGES as &'static Table, image.into())));
        }
        needs
    }

    fn decide(&self, plane: &ControlPlane, known: &Known, now: Timestamp) -> Result<Decision> {
        self.check(now)?;
        let fingerprint = self.fingerprint()?;
        if let Some(row) = known.row(&INSTANCES, self.id) {
            let same = Instance::from_row(row)?.request_fingerprint == fingerprint;
            return if same { Ok(Decision::WasThere) } else { Err(already_there(Instance::KIND)) };
        }
        let mut instance = self.described(fingerprint);
        let mut parts = Parts::default();
        if self.state.is_terminal() {
            parts.insert(instance.to_row());
            for gpu in &self.gpus {
                parts.insert(self.binding(plane, *gpu, BindingState::Released).to_row());
            }
            return Ok(Decision::Make(parts));
        }
        let lifecycle = known.row(&NODE_LIFECYCLES, self.node).ok_or_else(|| of_node(self.node))?;
        let NodeLifecycle { state, has_agent, .. } = NodeLifecycle::from_row(lifecycle)?;
        state.must_live("importing an instance on it")?;
        if let Some(id) = self.image {
            let row = known.row(&IMAGES, id).ok_or_else(|| Error::not_found(Image::KIND, id))?;
            if Image::from_row(row)?.node_id != self.node {
                return Err(Error::invalid("image", "it is on another node"));
            }
        }
        instance.by_agent = has_agent && self.key.is_some();
        parts.guard(&NODE_LIFECYCLES, self.node.uuid(), lifecycle);
        parts.insert(instance.to_row());
        let state = match self.state {
            InstanceState::Deleting => BindingState::Releasing,
            state if state.is_in_creation() && instance.by_agent => BindingState::Reserved,
            _ => BindingState::Bound,
        };
        for gpu in &self.gpus {
            parts.insert(self.binding(plane, *gpu, state).to_row());
            parts.hold(gpu.uuid(), self.node.uuid(), self.gpu_milli.get());
        }
        for port in &self.ports {
            parts.insert(self.port_map(port).to_row());
        }
        parts.insert(self.grant(plane).to_row());
        parts.charge(&instance, self.node.uuid());
        Ok(Decision::Make(parts))
    }

    fn refused(&self, refusal: &Refusal) -> Option<(Option<String>, Error)> {
        match (refusal.table, &refusal.cause) {
            (name, cause) if name == GPUS.name => self.refused_gpu(&refusal.key, cause),
            (name, Cause::Duplicate { unique, .. }) if name == PORT_MAPS.name => {
                let at = self.ports.iter().position(|port| refusal.key == self.port_id(port).into());
                let key = if *unique == PORT_MAPS.name { "id" } else { "slot" };
                let part = at.map(|at| format!("ports[{at}]"));
                Some((part, Error::AlreadyExists { kind: PortMap::KIND, key }))
            }
            (_, Cause::NoParent { reference: "instances_owner" }) => {
                Some((None, Error::not_found("user", self.owner)))
            }
            (_, Cause::Duplicate { unique: "instances_owner_live_name", .. }) => {
                Some((None, Error::AlreadyExists { kind: Instance::KIND, key: "name" }))
            }
            (_, Cause::Duplicate { unique: "instances_node_key", .. }) => {
                Some((None, Error::AlreadyExists { kind: Instance::KIND, key: "key" }))
            }
            _ => None,
        }
    }
}

impl ImportedInstance {
    /// What it holds of a GPU, or held: then it is told of whom and how much, and of no GPU any more.
    fn binding(&self, plane: &ControlPlane, gpu: GpuId, state: BindingState) -> GpuBinding {
        let holds = state.holds();
        GpuBinding {
            id: plane.new_id().into(),
            gpu_id: holds.then_some(gpu),
            instance_id: holds.then_some(self.id),
            held_by: self.id,
            milli: self.gpu_milli,
            state,
            attempt: 1,
            created_at: self.created_at,
            released_at: (!holds).then_some(self.updated_at),
        }
    }

    /// The grant that a launch gives.
    fn grant(&self, plane: &ControlPlane) -> ManagedInstance {
        ManagedInstance {
            id: plane.new_id().into(),
            user_id: self.owner,
            node_id: self.node,
            instance_id: self.id,
            created_at: self.created_at,
            granted_by: None,
            expires_at: None,
        }
    }

    fn refused_gpu(&self, key: &Key, cause: &Cause) -> Option<(Option<String>, Error)> {
        let (at, gpu) = (0_usize..).zip(&self.gpus).find(|(_, gpu)| *key == (**gpu).into())?;
        let part = format!("gpus[{at}]");
        let why = match cause {
            Cause::Missing => Error::not_found(Gpu::KIND, gpu),
            Cause::TestFailed { .. } => Error::invalid(&*part, format!("gpu {gpu} is in another node")),
            Cause::Invariant { .. } => {
                Error::invalid(&*part, format!("more than all of gpu {gpu} would be held"))
            }
            _ => return None,
        };
        Some((Some(part), why))
    }
}
