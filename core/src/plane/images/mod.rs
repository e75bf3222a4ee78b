//! Images of a node: fetched by its agent, saved of an instance, published, and deleted.
//!
//! Each is wanted in the batch that sends the command for it; `effect.rs` is what becomes of an image by the answer.

mod effect;
mod save;

pub use effect::LoadedImage;
pub use save::SaveImageRequest;

use super::ControlPlane;
use super::commands::NewCommand;
use super::decided::Decided;
use super::users::Happened;
use crate::entity::{
    CommandId, CommandKind, ComputeNode, Entity as _, Entry, IMAGES, INSTANCES, Image, ImageEvent, ImageId,
    ImageStatus, MANAGED_COMPUTE_NODES, MANAGED_IMAGES, ManagedImage, NODE_LIFECYCLES, NodeId, NodeLifecycle,
    UserId,
};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Answer, Batch, MAX_PAGE, Query, Row, Scan, StoreExt as _, Value, Write};
use crate::time::Timestamp;

/// An image to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewImage {
    /// The node.
    pub node: NodeId,
    /// Where it is pulled from, at most 1,024 bytes. A node has one image of a URL.
    pub url: String,
    /// Its name and tag, at most 256 bytes.
    pub name: Option<String>,
    /// At most 4,096 bytes.
    pub description: Option<String>,
    /// Who fetches it: where they have a grant of the node, they get one of the image.
    pub user: Option<UserId>,
}

impl NewImage {
    /// The image of this URL.
    pub fn new(node: NodeId, url: impl Into<String>) -> Self {
        Self { node, url: url.into(), name: None, description: None, user: None }
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

    /// Says who fetches it.
    pub const fn by(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }
}

impl ControlPlane {
    /// Fetches an image to a node, or fetches it again: it is `fetching` until the node's agent has answered. While it is being
    /// fetched, asking again fetches nothing. What was published stays so.
    ///
    /// Who fetches it with a grant of the node ([`NewImage::by`]) gets a grant of the image, so that they see it and can start from
    /// it: of one that is published they need none.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for a node that is dead; `Invalid` for a URL that is empty or too long.
    #[tracing::instrument(skip_all)]
    pub async fn fetch_image(&self, request: NewImage) -> Result<Entry<Image>> {
        check_url(&request.url)?;
        let request = &request;
        self.decided("image.fetch", Image::KIND, || async move {
            let of_url =
                Scan::of(&IMAGES).by("images_node_url").with(request.node).with(request.url.as_str());
            let queries = vec![
                Query::Get { table: &NODE_LIFECYCLES, key: request.node.into() },
                Query::Scan(of_url.limit(1)),
            ];
            let reads = self.store.read(queries).await?;
            let now = reads.now;
            let mut rows = reads.answers.into_iter().map(Answer::into_row);
            let lifecycle = rows.next().flatten();
            let lifecycle = lifecycle.ok_or_else(|| Error::not_found(ComputeNode::KIND, request.node))?;
            NodeLifecycle::from_row(&lifecycle)?.state.must_live("fetching an image to it")?;
            let mut batch = self.batch("image.fetch");
            let command: CommandId = self.new_id().into();
            let image = if let Some(row) = rows.next().flatten() {
                let mut image = Image::from_row(&row)?;
                if image.is_being_fetched() {
                    let image = Entry::new(image, row.revision());
                    // Before the grant: where it is gone meanwhile, that is seen first.
                    batch.push(Write::guard(&IMAGES, image.id, image.revision));
                    if !self.grant_of_fetched(&mut batch, request, &image, now).await? {
                        return Ok(Decided::Done(image));
                    }
                    batch.push(self.log(of_image("image.fetch", image.id, &cut(&request.url)), now));
                    return Ok(Decided::Commit(image, batch));
                }
                (image.status, image.updated_at) = (image.status.on(ImageEvent::Fetch)?, now);
                image.command_id = Some(command);
                batch.push(Write::update(&IMAGES, image.id, row.revision(), image.plain()));
                self.grant_of_fetched(&mut batch, request, &image, now).await?;
                Entry::new(image, row.revision() + 1)
            } else {
                let image = Image { command_id: Some(command), ..self.new_image(request, now) };
                batch.push(Write::Insert(image.to_row()));
                self.grant_of_fetched(&mut batch, request, &image, now).await?;
                Entry::new(image, 1)
            };
            let url = serde_json::json!({ "url": request.url }).to_string();
            let load = NewCommand::of(request.node, CommandKind::LoadImage, image.id.uuid()).payload(url);
            self.queue(&mut batch, &load, command, now);
            batch.push(Write::guard(&NODE_LIFECYCLES, request.node, lifecycle.revision()));
            batch.push(self.log(of_image("image.fetch", image.id, &cut(&request.url)), now));
            Ok(Decided::Commit(image, batch))
        })
        .await
    }

    /// Adds the grant of an image for who fetches it with a grant of the node, where they need one and have none; says whether.
    async fn grant_of_fetched(
        &self,
        batch: &mut Batch,
        request: &NewImage,
        image: &Image,
        now: Timestamp,
    ) -> Result<bool> {
        let Some(user) = request.user.filter(|_| !image.published) else { return Ok(false) };
        let of_user = |table, unique: &'static str| Scan::of(table).by(unique).with(user);
        let scans = vec![
            of_user(&MANAGED_COMPUTE_NODES, "managed_compute_nodes_user_node").with(image.node_id).limit(1),
            of_user(&MANAGED_IMAGES, "managed_images_user_image").with(image.id).limit(1),
        ];
        let mut pages = self.store.scan_many(scans).await?.value.into_iter().map(|page| page.rows);
        let mut next = || pages.next().unwrap_or_default().pop();
        let (Some(of_node), of_image) = (next(), next()) else { return Ok(false) };
        let lives = |grant: &Row| Ok::<_, Error>(grant.opt_time("expires_at")?.is_none_or(|end| end > now));
        if !lives(&of_node)? {
            return Ok(false);
        }
        batch.push(match of_image {
            Some(kept) if lives(&kept)? => return Ok(false),
            Some(ended) => {
                let set = vec![("expires_at", Value::Null)];
                Write::update(&MANAGED_IMAGES, ended.key(), ended.revision(), set)
            }
            None => {
                let grant = ManagedImage {
                    id: Id::new(self.new_id()),
                    user_id: user,
                    node_id: image.node_id,
                    image_id: image.id,
                    granted_by: None,
                    expires_at: None,
                    created_at: now,
                };
                Write::Insert(grant.to_row())
            }
        });
        batch.push(Write::guard(&MANAGED_COMPUTE_NODES, of_node.key(), of_node.revision()));
        Ok(true)
    }

    fn new_image(&self, request: &NewImage, now: Timestamp) -> Image {
        Image {
            id: self.new_id().into(),
            node_id: request.node,
            name: request.name.clone(),
            status: ImageStatus::Fetching,
            command_id: None,
            key: None,
            url: Some(request.url.clone()),
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

    /// Lets everybody who may create on the node see the image, and start from it.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for one that is not ready.
    pub async fn publish_image(&self, image: ImageId) -> Result<Entry<Image>> {
        self.turn_published("image.publish", image, true).await
    }

    /// Lets only those see it who own the node or have a grant of the image.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn unpublish_image(&self, image: ImageId) -> Result<Entry<Image>> {
        self.turn_published("image.unpublish", image, false).await
    }

    async fn turn_published(&self, operation: &'static str, id: ImageId, to: bool) -> Result<Entry<Image>> {
        self.decided(operation, Image::KIND, || async move {
            let (row, mut image, now) = self.image_of(id).await?;
            if image.published == to {
                return Ok(Decided::Done(Entry::new(image, row.revision())));
            }
            if to && image.status != ImageStatus::Ready {
                return Err(wrong_state(&image, "publishing it"));
            }
            (image.published, image.updated_at) = (to, now);
            let batch = self
                .batch(operation)
                .with(Write::update(&IMAGES, id, row.revision(), image.plain()))
                .with(self.log(of_image(operation, id, ""), now));
            Ok(Decided::Commit(Entry::new(image, row.revision() + 1), batch))
        })
        .await
    }

    /// Deletes an image with its grants, and has the node's agent remove it.
    ///
    /// # Errors
    /// `NotFound`; `StillUsed` while a live instance was made from it; `WrongState` while it is being fetched, or saved.
    #[tracing::instrument(skip(self))]
    pub async fn delete_image(&self, id: ImageId) -> Result<()> {
        self.decided("image.delete", Image::KIND, || async move {
            let (row, image, now) = self.image_of(id).await?;
            if image.is_being_fetched() {
                return Err(wrong_state(&image, "deleting it"));
            }
            let scans = vec![
                Scan::of(&INSTANCES).by("instances_image").with(id).limit(1),
                Scan::of(&MANAGED_IMAGES).by("managed_images_image").with(id).limit(MAX_PAGE),
            ];
            let mut pages = self.store.scan_many(scans).await?.value.into_iter().map(|page| page.rows);
            if pages.next().is_some_and(|instances| !instances.is_empty()) {
                return Err(Error::StillUsed { kind: Image::KIND, by: INSTANCES.name });
            }
            let mut batch = self.batch("image.delete");
            for grant in pages.next().unwrap_or_default() {
                batch.push(Write::delete(&MANAGED_IMAGES, grant.key(), grant.revision()));
            }
            batch.push(Write::delete(&IMAGES, id, row.revision()));
            if let Some(key) = &image.key {
                let key = serde_json::json!({ "key": key }).to_string();
                let remove = NewCommand::of(image.node_id, CommandKind::DeleteImage, id.uuid()).payload(key);
                self.queue(&mut batch, &remove, self.new_id().into(), now);
            }
            batch.push(self.log(of_image("image.delete", id, image.name.as_deref().unwrap_or("")), now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    async fn image_of(&self, id: ImageId) -> Result<(Row, Image, Timestamp)> {
        let read = self.store.get(&IMAGES, id).await?;
        let row = read.value.ok_or_else(|| Error::not_found(Image::KIND, id))?;
        let image = Image::from_row(&row)?;
        Ok((row, image, read.now))
    }
}

fn wrong_state(image: &Image, event: &'static str) -> Error {
    Error::WrongState { kind: Image::KIND, state: image.status.as_str(), event, allowed: Vec::new() }
}

fn of_image<'h>(operation: &'static str, image: ImageId, description: &'h str) -> Happened<'h> {
    Happened { operation, actor: None, kind: Image::KIND, subject: image.uuid(), description }
}

/// The beginning of a URL, for the log.
fn cut(url: &str) -> String {
    url.chars().take(256).collect()
}

/// Refuses what is no URL before it is looked for.
fn check_url(url: &str) -> Result<()> {
    if url.trim().is_empty() || url.len() > 1024 || url.contains('\0') {
        return Err(Error::invalid("url", "1 to 1024 bytes without NUL are expected"));
    }
    Ok(())
}
