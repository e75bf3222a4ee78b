//! Saving an image of an instance.

use super::{ControlPlane, of_image};
use crate::entity::{
    COMMANDS, COMPUTE_NODES, Command, CommandId, CommandKind, ComputeNode, Entity as _, Entry, IMAGES,
    INSTANCES, Image, ImageId, ImageStatus, Instance, InstanceId, InstanceState, ManagedImage,
    NODE_LIFECYCLES, NodeId, NodeLifecycle, User,
};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::machine::ImageToSave;
use crate::plane::commands::NewCommand;
use crate::plane::decided::Decided;
use crate::store::{Batch, Row, StoreExt as _, Write};
use crate::time::Timestamp;

/// An image that is to be saved of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveImageRequest {
    /// The id of the image, where the caller chooses it so that the request can be repeated.
    pub id: Option<ImageId>,
    /// The instance.
    pub instance: InstanceId,
    /// The image's name and tag, at most 256 bytes.
    pub name: Option<String>,
    /// At most 4,096 bytes.
    pub description: Option<String>,
}

impl SaveImageRequest {
    /// An image of this instance.
    pub const fn of(instance: InstanceId) -> Self {
        Self { id: None, instance, name: None, description: None }
    }

    /// Chooses the id.
    pub const fn id(mut self, id: ImageId) -> Self {
        self.id = Some(id);
        self
    }

    /// Gives it a name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Describes it.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

/// The instance that an image is saved of.
struct Source {
    row: Row,
    instance: Instance,
    node: NodeId,
    key: String,
}

impl ControlPlane {
    /// Saves an image of an instance on its node: it is `fetching` until the node's agent has answered. Its instance may run or be
    /// stopped, and stays as it is.
    ///
    /// An instance waits for one command at a time, and so for this one: what is wanted of it meanwhile, that it is deleted too,
    /// is done when the image was saved, or could not be. A saved image has no URL. Whoever owns the instance and not the node has
    /// a grant of the image.
    ///
    /// The same request again, with its id, is answered with the image that is there. Its command has the id of the image, and
    /// tells why it could not be saved.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for an instance that is neither running nor stopped, that waits for another command, or of which
    /// no agent has told what it is on its machine, and for a node that is dead; `AlreadyExists` for another image of this id, or
    /// one that was deleted; `Invalid` for a text that is too long.
    #[tracing::instrument(skip_all)]
    pub async fn save_image(&self, request: SaveImageRequest) -> Result<Entry<Image>> {
        // One id for all attempts: an outcome that is unknown can be asked for again.
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let request = &request;
        self.decided("image.save", Image::KIND, || async move {
            let of_instance = (&INSTANCES, request.instance.into());
            let read =
                self.store.get_many(vec![of_instance, (&IMAGES, id.into()), (&COMMANDS, id.into())]).await?;
            let now = read.now;
            let mut rows = read.value.into_iter();
            let mut next = || rows.next().flatten();
            let (instance, image, command) = (next(), next(), next());
            if image.is_some() || command.is_some() {
                return saved_before(request, image, command).map(Decided::Done);
            }
            let row = instance.ok_or_else(|| Error::not_found(Instance::KIND, request.instance))?;
            let source = source(row)?;
            let image = saved_image(request, id, &source, now);
            let batch = self.save_batch(&source, &image, now).await?;
            Ok(Decided::Commit(Entry::new(image, 1), batch))
        })
        .await
    }

    /// The batch that wants an image and sends the command for it.
    async fn save_batch(&self, source: &Source, image: &Image, now: Timestamp) -> Result<Batch> {
        let (node, instance) = (source.node, &source.instance);
        let read =
            self.store.get_many(vec![(&NODE_LIFECYCLES, node.into()), (&COMPUTE_NODES, node.into())]).await?;
        let [Some(lifecycle), Some(profile)] = read.value.as_slice() else {
            return Err(Error::not_found(ComputeNode::KIND, node));
        };
        NodeLifecycle::from_row(lifecycle)?.state.must_live("saving an image on it")?;
        let command = CommandId::new(image.id.uuid());
        let mut batch = self.batch("image.save").with(Write::Insert(image.to_row()));
        // A node has one owner for ever, so this needs no guard.
        if profile.id::<User>("owner_id")? != instance.owner_id {
            batch.push(Write::Insert(self.grant_of_saved(source, image.id, now).to_row()));
        }
        let what = ImageToSave {
            image: image.id,
            instance: instance.id,
            key: source.key.clone(),
            name: image.name.clone(),
        };
        let save = NewCommand::of(node, CommandKind::SaveImage, image.id.uuid());
        self.queue(&mut batch, &save.payload(what.to_payload()?), command, now);
        // One that no agent speaks for waits for nothing, since it is deleted without one.
        batch.push(if instance.by_agent {
            let waits = vec![("command_id", command.into()), ("updated_at", now.into())];
            Write::update(&INSTANCES, instance.id, source.row.revision(), waits)
        } else {
            Write::guard(&INSTANCES, instance.id, source.row.revision())
        });
        batch.push(Write::guard(&NODE_LIFECYCLES, node, lifecycle.revision()));
        let told = format!("of instance {}", instance.id);
        batch.push(self.log(of_image("image.save", image.id, &told), now));
        Ok(batch)
    }

    fn grant_of_saved(&self, source: &Source, image: ImageId, now: Timestamp) -> ManagedImage {
        ManagedImage {
            id: Id::new(self.new_id()),
            user_id: source.instance.owner_id,
            node_id: source.node,
            image_id: image,
            granted_by: None,
            expires_at: None,
            created_at: now,
        }
    }
}

/// What an earlier call has made under this id, where it was the same; the id of an image that was deleted is not given again.
fn saved_before(
    request: &SaveImageRequest,
    image: Option<Row>,
    command: Option<Row>,
) -> Result<Entry<Image>> {
    let other = || Error::AlreadyExists { kind: Image::KIND, key: "id" };
    let (row, command) = image.zip(command).ok_or_else(other)?;
    let (image, command) = (Image::from_row(&row)?, Command::from_row(&command)?);
    let saves = command.kind == CommandKind::SaveImage
        && ImageToSave::parse(command.payload.as_deref().unwrap_or("")).is_ok_and(|what| {
            (what.image, what.instance, &what.name) == (image.id, request.instance, &request.name)
        });
    if saves && image.description == request.description {
        Ok(Entry::new(image, row.revision()))
    } else {
        Err(other())
    }
}

/// The instance, where an image of it can be saved now.
fn source(row: Row) -> Result<Source> {
    let instance = Instance::from_row(&row)?;
    let state = match instance.state {
        InstanceState::Running | InstanceState::Stopped if instance.command_id.is_some() => {
            "waiting for another command"
        }
        InstanceState::Running | InstanceState::Stopped => match (instance.node_id, &instance.key) {
            (Some(node), Some(key)) => {
                let key = key.clone();
                return Ok(Source { row, instance, node, key });
            }
            _ => "nothing that an agent has told of",
        },
        state => state.as_str(),
    };
    Err(Error::WrongState {
        kind: Instance::KIND,
        state,
        event: "saving an image of it",
        allowed: Vec::new(),
    })
}

fn saved_image(request: &SaveImageRequest, id: ImageId, source: &Source, now: Timestamp) -> Image {
    Image {
        id,
        node_id: source.node,
        name: request.name.clone(),
        status: ImageStatus::Fetching,
        command_id: Some(CommandId::new(id.uuid())),
        key: None,
        url: None,
        remote: None,
        size_mib: None,
        os_hint: None,
        description: request.description.clone(),
        published: false,
        native_timestamp: now,
        created_at: now,
        updated_at: now,
    }
}
