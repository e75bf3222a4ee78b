//! What machines are told and what they tell, as values with no store in them: what an instance is to be made of
//! ([`InstanceSpec`]), what was made ([`MadeInstance`]), what a machine has ([`Inventory`]), and the pure rules by which such a
//! report is reconciled with what is known.

mod inventory;
mod reconcile;
mod spec;
mod wanted;

pub use inventory::{FoundGpu, FoundImage, FoundInstance, FoundState, Inventory};
pub use spec::{ImageSpec, ImageToSave, InstanceRef, InstanceSize, InstanceSpec, MadeInstance, SpecGpu};

pub(crate) use reconcile::{
    GpuChange, ImageChange, InstanceChange, Known, KnownGpu, KnownImage, match_foreign, match_gpus,
    match_images, match_instances,
};
pub(crate) use wanted::wanted;
