//! Sharing a node, an image or an instance with a user, and taking that back.

use uuid::Uuid;

use super::ControlPlane;
use super::decided::Decided;
use super::users::Happened;
use crate::entity::Entity as _;
use crate::entity::{
    COMPUTE_NODES, IMAGES, INSTANCES, ImageId, Instance, InstanceId, MANAGED_COMPUTE_NODES, MANAGED_IMAGES,
    MANAGED_INSTANCES, NODE_LIFECYCLES, NodeId, USER_ACCESS, UserId,
};
use crate::error::{Error, Result};
use crate::store::{
    Answer, Is, MAX_PAGE, NewRow, Query, Row, Scan, StoreError, StoreExt as _, Table, Test, Write,
};
use crate::time::Timestamp;

/// What can be granted to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shared {
    /// Seeing a node, and creating on it.
    Node(NodeId),
    /// Using, publishing and deleting an image.
    Image(ImageId),
    /// Seeing and operating an instance.
    Instance(InstanceId),
}

/// A grant of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The id of the [`ManagedComputeNode`](crate::entity::ManagedComputeNode),
    /// [`ManagedImage`](crate::entity::ManagedImage) or [`ManagedInstance`](crate::entity::ManagedInstance).
    pub id: Uuid,
    /// Who may use it.
    pub user: UserId,
    /// What.
    pub what: Shared,
    /// The node that it is, or is on.
    pub node: NodeId,
    /// Who granted it, where somebody did.
    pub granted_by: Option<UserId>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was granted.
    pub created_at: Timestamp,
}

impl Shared {
    /// The kind, as errors and the log call it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Node(_) => "compute_node",
            Self::Image(_) => "image",
            Self::Instance(_) => "instance",
        }
    }

    /// The id of the thing.
    pub const fn id(self) -> Uuid {
        match self {
            Self::Node(id) => id.uuid(),
            Self::Image(id) => id.uuid(),
            Self::Instance(id) => id.uuid(),
        }
    }

    /// The table of its grants, the key that makes one a user's only one, the order by thing, and the column of the thing.
    const fn grants(self) -> (&'static Table, &'static str, &'static str, &'static str) {
        match self {
            Self::Node(_) => (
                &MANAGED_COMPUTE_NODES,
                "managed_compute_nodes_user_node",
                "managed_compute_nodes_node",
                "node_id",
            ),
            Self::Image(_) => {
                (&MANAGED_IMAGES, "managed_images_user_image", "managed_images_image", "image_id")
            }
            Self::Instance(_) => (
                &MANAGED_INSTANCES,
                "managed_instances_user_instance",
                "managed_instances_instance",
                "instance_id",
            ),
        }
    }

    /// The table of the thing.
    const fn table(self) -> &'static Table {
        match self {
            Self::Node(_) => &COMPUTE_NODES,
            Self::Image(_) => &IMAGES,
            Self::Instance(_) => &INSTANCES,
        }
    }

    fn of_user(self, user: UserId) -> Scan {
        let (table, unique, _, _) = self.grants();
        Scan::of(table).by(unique).with(user).with(self.id())
    }
}

impl ControlPlane {
    /// Lets a user use something, until `expires_at` where that is given. A user has one grant of a thing: sharing it again
    /// changes when the grant ends.
    ///
    /// # Errors
    /// `NotFound` for a thing that is not there or is over, or a user who is not; `Invalid` for an end that is past;
    /// `WrongState` for the owner, who needs no grant.
    #[tracing::instrument(skip_all)]
    pub async fn share(&self, user: UserId, what: Shared, expires_at: Option<Timestamp>) -> Result<Grant> {
        self.decided("grant.share", "grant", || self.decide_share(user, what, expires_at)).await
    }

    async fn decide_share(
        &self,
        user: UserId,
        what: Shared,
        expires_at: Option<Timestamp>,
    ) -> Result<Decided<Grant>> {
        let queries = vec![
            Query::Get { table: what.table(), key: what.id().into() },
            Query::Get { table: &USER_ACCESS, key: user.into() },
            Query::Scan(what.of_user(user).limit(1)),
        ];
        let reads = self.store.read(queries).await?;
        let now = reads.now;
        let mut answers = reads.answers.into_iter();
        let thing = answers
            .next()
            .and_then(Answer::into_row)
            .ok_or_else(|| Error::not_found(what.kind(), what.id()))?;
        let access =
            answers.next().and_then(Answer::into_row).ok_or_else(|| Error::not_found("user", user))?;
        let kept = answers.next().and_then(Answer::into_row);
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Error::invalid("expires_at", "it is past"));
        }
        let (node, owner, guard) = self.shareable(what, &thing).await?;
        if owner == Some(user) {
            let kind = what.kind();
            return Err(Error::WrongState {
                kind,
                state: "owned",
                event: "sharing it with its owner",
                allowed: vec![],
            });
        }
        let (table, _, _, column) = what.grants();
        let mut batch = self.batch("grant.share");
        let grant = if let Some(kept) = kept {
            let kept = grant_of(what, &kept)?;
            if kept.1.expires_at == expires_at {
                return Ok(Decided::Done(kept.1));
            }
            batch.push(Write::update(table, kept.1.id, kept.0, vec![("expires_at", expires_at.into())]));
            Grant { expires_at, ..kept.1 }
        } else {
            let granted_by = self.caller.user();
            let grant =
                Grant { id: self.new_id(), user, what, node, granted_by, expires_at, created_at: now };
            let mut row = NewRow::new(table)
                .set("id", grant.id)
                .set("user_id", user)
                .set("node_id", node)
                .set("granted_by", granted_by.map(UserId::uuid))
                .set("expires_at", expires_at)
                .set("created_at", now);
            if column != "node_id" {
                row = row.set(column, what.id());
            }
            batch.push(Write::Insert(row));
            grant
        };
        batch.push(guard);
        batch.push(Write::guard(&USER_ACCESS, user, access.revision()));
        batch.push(self.log(shared("grant.share", what, &user.to_string()), now));
        Ok(Decided::Commit(grant, batch))
    }

    /// The node of a thing that can be shared, its owner, and the guard that it stays so.
    async fn shareable(&self, what: Shared, thing: &Row) -> Result<(NodeId, Option<UserId>, Write)> {
        match what {
            Shared::Node(node) => {
                let lifecycle = self.store.get(&NODE_LIFECYCLES, node).await?.value;
                let lifecycle = lifecycle.ok_or_else(|| Error::not_found("compute_node", node))?;
                let guard = Write::guard(&NODE_LIFECYCLES, node, lifecycle.revision());
                Ok((node, Some(thing.id("owner_id")?), guard))
            }
            Shared::Image(image) => {
                Ok((thing.id("node_id")?, None, Write::guard(&IMAGES, image, thing.revision())))
            }
            Shared::Instance(id) => {
                let instance = Instance::from_row(thing)?;
                let node = instance.node_id.ok_or_else(|| Error::not_found("instance", id))?;
                Ok((node, Some(instance.owner_id), Write::guard(&INSTANCES, id, thing.revision())))
            }
        }
    }

    /// Takes a grant back. What the user did with it stays; whatever they ask from now on is decided without it.
    ///
    /// # Errors
    /// `NotFound` where the user has no grant of it.
    #[tracing::instrument(skip_all)]
    pub async fn revoke(&self, user: UserId, what: Shared) -> Result<()> {
        self.decided("grant.revoke", "grant", || async move {
            let read = self.store.scan(what.of_user(user).limit(1)).await?;
            let grant = read.value.rows.first().ok_or_else(|| Error::not_found("grant", what.id()))?;
            let batch = self
                .batch("grant.revoke")
                .with(Write::delete(grant.table(), grant.key(), grant.revision()))
                .with(self.log(shared("grant.revoke", what, &user.to_string()), read.now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// The grants of a thing, those that have ended among them until they are purged; at most 1,000 of them.
    pub async fn grants_of(&self, what: Shared) -> Result<Vec<Grant>> {
        let (table, _, by_thing, _) = what.grants();
        let read = self.store.scan(Scan::of(table).by(by_thing).with(what.id()).limit(MAX_PAGE)).await?;
        let grants: std::result::Result<_, StoreError> =
            read.value.rows.iter().map(|row| grant_of(what, row).map(|(_, grant)| grant)).collect();
        Ok(grants?)
    }

    /// Deletes grants that have ended, at most so many of each kind, and answers how many. An ended grant allows nothing,
    /// whether or not it was deleted; any number of processes may do this.
    #[tracing::instrument(skip_all)]
    pub async fn purge_expired_grants(&self, limit: u32) -> Result<u64> {
        let mut purged = 0;
        for table in [&MANAGED_COMPUTE_NODES, &MANAGED_IMAGES, &MANAGED_INSTANCES] {
            purged += self.purge_grants(table, limit).await?;
        }
        Ok(purged)
    }

    async fn purge_grants(&self, table: &'static Table, limit: u32) -> Result<u64> {
        let (mut purged, mut after) = (0, None);
        loop {
            let now = self.store.read(Vec::new()).await?.now;
            let ended = Test::new("expires_at", Is::Le(now.into()));
            let scan = Scan::of(table).after(after).limit(limit.clamp(1, MAX_PAGE)).test(ended);
            let page = self.store.scan(scan).await?.value;
            for row in &page.rows {
                let batch = self
                    .batch("grant.purge")
                    .with(Write::delete(table, row.key(), row.revision()))
                    .with(self.log(ended_grant(row)?, now));
                match self.store.commit(batch).await {
                    Ok(_) => purged += 1,
                    // It was prolonged, or somebody else has purged it.
                    Err(StoreError::Refused(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            after = page.next;
            if after.is_none() || purged >= u64::from(limit) {
                return Ok(purged);
            }
        }
    }
}

fn shared<'h>(operation: &'static str, what: Shared, user: &'h str) -> Happened<'h> {
    Happened { operation, actor: None, kind: what.kind(), subject: what.id(), description: user }
}

fn ended_grant(row: &Row) -> Result<Happened<'static>> {
    let subject = row.id::<()>("id")?.uuid();
    Ok(Happened {
        operation: "grant.purge",
        actor: None,
        kind: "grant",
        subject,
        description: "it had ended",
    })
}

/// The revision of a grant, and the grant.
fn grant_of(what: Shared, row: &Row) -> std::result::Result<(i64, Grant), StoreError> {
    let grant = Grant {
        id: row.id::<()>("id")?.uuid(),
        user: row.id("user_id")?,
        what,
        node: row.id("node_id")?,
        granted_by: row.opt_id("granted_by")?,
        expires_at: row.opt_time("expires_at")?,
        created_at: row.time("created_at")?,
    };
    Ok((row.revision(), grant))
}
