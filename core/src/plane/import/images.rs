//! Images that are brought in.

use uuid::Uuid;

use super::answer::not_in_the_future;
use super::nodes::of_node;
use super::parts::Parts;
use super::users::already_there;
use super::{Decision, Item, Known};
use crate::entity::{Entity as _, IMAGES, Image};
use crate::error::{Error, Result};
use crate::plane::ControlPlane;
use crate::store::{Key, Refusal, Table};
use crate::time::Timestamp;

impl Item for Image {
    const OPERATION: &'static str = "image.import";
    type Entity = Self;

    fn id(&self) -> Uuid {
        self.id.uuid()
    }

    fn needs(&self) -> Vec<(&'static Table, Key)> {
        vec![(&IMAGES, self.id.into())]
    }

    fn decide(&self, _: &ControlPlane, known: &Known, now: Timestamp) -> Result<Decision> {
        if self.command_id.is_some() {
            return Err(Error::invalid("command_id", "what is brought in waits for nothing"));
        }
        not_in_the_future("created_at", self.created_at, now)?;
        not_in_the_future("updated_at", self.updated_at, now)?;
        not_in_the_future("native_timestamp", self.native_timestamp, now)?;
        if let Some(row) = known.row(&IMAGES, self.id) {
            let same = Self::from_row(row)? == *self;
            return if same { Ok(Decision::WasThere) } else { Err(already_there(Self::KIND)) };
        }
        let mut parts = Parts::default();
        parts.insert(self.to_row());
        Ok(Decision::Make(parts))
    }

    fn refused(&self, refusal: &Refusal) -> Option<(Option<String>, Error)> {
        refusal.names("images_node").then(|| (None, of_node(self.node_id)))
    }
}
