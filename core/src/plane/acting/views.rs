//! What a caller may see: one by its id, a page, or how many there are. What may not be seen is as if it were not there.

use std::collections::BTreeSet;

use super::merged::{Place, Places, is_live};
use super::rights::Known;
use super::{Acting, Thing};
use crate::access::{Operation, Reach, reach};
use crate::entity::{
    COMPUTE_NODES, ComputeNode, ComputeNodeFilter, Entity, Entry, GPUS, Gpu, GpuFilter, GpuId, IMAGES,
    INSTANCES, Image, ImageFilter, ImageId, Instance, InstanceFilter, InstanceId, LOGS, ListPage, Log,
    LogFilter, MANAGED_COMPUTE_NODES, MANAGED_IMAGES, MANAGED_INSTANCES, NodeId, PageRequest, PortMap,
    PortMapFilter, PortMapId, USERS, User, UserFilter, UserId,
};
use crate::error::{Error, Result};
use crate::plane::refusals::Refusal;
use crate::store::{Count, MAX_EXAMINED, Scan, StoreExt as _, Table, Test};

/// What of a kind a caller may see.
pub(super) enum View {
    /// All of it: what passes these tests.
    All(&'static Table, Vec<Test>),
    /// What is in these places.
    Some(Places),
}

impl Acting {
    /// A node.
    pub async fn node(&self, node: NodeId) -> Result<Entry<ComputeNode>> {
        self.one(Operation::ReadNode, Thing::Node(node), node).await
    }

    /// A GPU.
    pub async fn gpu(&self, gpu: GpuId) -> Result<Entry<Gpu>> {
        self.one(Operation::ReadGpu, Thing::Gpu(gpu), gpu).await
    }

    /// An image.
    pub async fn image(&self, image: ImageId) -> Result<Entry<Image>> {
        self.one(Operation::ReadImage, Thing::Image(image), image).await
    }

    /// An instance.
    pub async fn instance(&self, instance: InstanceId) -> Result<Entry<Instance>> {
        self.one(Operation::ReadInstance, Thing::Instance(instance), instance).await
    }

    /// A port.
    pub async fn port(&self, port: PortMapId) -> Result<Entry<PortMap>> {
        self.one(Operation::ReadPort, Thing::Port(port), port).await
    }

    pub(super) async fn one<E: Entity>(
        &self,
        operation: Operation,
        thing: Thing,
        id: impl Into<uuid::Uuid>,
    ) -> Result<Entry<E>> {
        let id = id.into();
        self.run(operation, thing, |plane| async move {
            plane.repositories().get_entry::<E>(id).await?.ok_or_else(|| thing.not_found())
        })
        .await
    }

    /// The nodes that the caller may see: their own, and those granted to them. In the order of ids.
    pub async fn list_nodes(
        &self,
        filter: ComputeNodeFilter,
        page: PageRequest,
    ) -> Result<ListPage<ComputeNode>> {
        self.list(self.nodes_seen(filter).await?, page).await
    }

    /// How many those are.
    pub async fn count_nodes(&self, filter: ComputeNodeFilter) -> Result<Count> {
        self.count(self.nodes_seen(filter).await?).await
    }

    /// The GPUs that the caller may see: those of the nodes that they may see.
    pub async fn list_gpus(&self, filter: GpuFilter, page: PageRequest) -> Result<ListPage<Gpu>> {
        self.list(self.gpus_seen(filter).await?, page).await
    }

    /// How many those are.
    pub async fn count_gpus(&self, filter: GpuFilter) -> Result<Count> {
        self.count(self.gpus_seen(filter).await?).await
    }

    /// The images that the caller may see: those on their nodes, those granted to them, and what is published on nodes granted
    /// to them.
    pub async fn list_images(&self, filter: ImageFilter, page: PageRequest) -> Result<ListPage<Image>> {
        self.list(self.images_seen(filter).await?, page).await
    }

    /// How many those are.
    pub async fn count_images(&self, filter: ImageFilter) -> Result<Count> {
        self.count(self.images_seen(filter).await?).await
    }

    /// The instances that the caller may see: their own, those on their nodes, and those granted to them.
    pub async fn list_instances(
        &self,
        filter: InstanceFilter,
        page: PageRequest,
    ) -> Result<ListPage<Instance>> {
        self.list(self.instances_seen(filter).await?, page).await
    }

    /// How many those are.
    pub async fn count_instances(&self, filter: InstanceFilter) -> Result<Count> {
        self.count(self.instances_seen(filter).await?).await
    }

    /// The ports of an instance that the caller may see.
    pub async fn ports_of(&self, instance: InstanceId) -> Result<Vec<PortMap>> {
        let asked = [
            (Operation::ReadInstance, Thing::Instance(instance)),
            (Operation::ReadPort, Thing::Instance(instance)),
        ];
        self.run_all(&asked, |plane| async move { plane.repositories().instances().ports(instance).await })
            .await
    }

    /// The ports of a node that the caller may see: their own nodes' all, and otherwise those of their instances and of those
    /// granted to them. In the order of family, protocol and port.
    pub async fn list_ports(&self, node: NodeId, page: PageRequest) -> Result<ListPage<PortMap>> {
        let seen = self.with_ports_seen(node).await?;
        let filter = PortMapFilter { node_id: Some(node), ..PortMapFilter::default() };
        let mut listed = self.plane.repositories().port_maps().list(filter, page).await?;
        if let Some(seen) = seen {
            listed.entries.retain(|port| port.instance_id.is_some_and(|instance| seen.contains(&instance)));
        }
        Ok(listed)
    }

    /// The users that the caller may see: themselves, or all.
    pub async fn list_users(&self, filter: UserFilter, page: PageRequest) -> Result<ListPage<User>> {
        self.list(self.users_seen(filter).await?, page).await
    }

    /// How many those are.
    pub async fn count_users(&self, filter: UserFilter) -> Result<Count> {
        self.count(self.users_seen(filter).await?).await
    }

    /// The lines of the audit trail that the caller may see: what they did and what was done to them, or all. In the order of
    /// ids reversed, which is about the newest first.
    pub async fn list_logs(&self, filter: LogFilter, page: PageRequest) -> Result<ListPage<Log>> {
        self.list(self.logs_seen(filter).await?, page).await
    }

    /// How many those are.
    pub async fn count_logs(&self, filter: LogFilter) -> Result<Count> {
        self.count(self.logs_seen(filter).await?).await
    }

    pub(super) async fn list<E: Entity>(&self, view: View, page: PageRequest) -> Result<ListPage<E>> {
        let places = match view {
            View::Some(places) => places,
            View::All(table, tests) => all(table, tests),
        };
        self.plane.merged(&places, &page).await
    }

    pub(super) async fn count(&self, view: View) -> Result<Count> {
        match view {
            View::Some(places) => self.plane.merged_count(&places).await,
            View::All(table, tests) => {
                let mut scan = Scan::of(table).examine(MAX_EXAMINED);
                scan.tests = tests;
                Ok(self.plane.store.count(scan).await?.value)
            }
        }
    }

    /// What the caller may see of a kind. Who may see nothing of any kind is refused, and that is noted.
    pub(super) async fn reach(&self, operation: Operation) -> Result<(Known, Reach)> {
        let known = self.known().await?;
        let reach = reach(&known.rights, operation.action(), operation.kind());
        if reach == Reach::Nothing {
            let operation = operation.as_str();
            self.plane.note_refusal(Refusal { operation, subject: None, user: self.caller().user() }).await;
            return Err(Error::Denied { action: operation });
        }
        Ok((known, reach))
    }

    async fn nodes_seen(&self, filter: ComputeNodeFilter) -> Result<View> {
        let (known, reach) = self.reach(Operation::ReadNode).await?;
        let tests = filter.owner_id.map(|owner| Test::eq("owner_id", owner)).into_iter().collect();
        let (false, Some(user)) = (reach == Reach::Any, known.rights.user) else {
            return Ok(View::All(&COMPUTE_NODES, tests));
        };
        let granted = Scan::of(&MANAGED_COMPUTE_NODES).by("managed_compute_nodes_user_node").with(user);
        let mut places = vec![Place::Grants(granted, "node_id")];
        if reach == Reach::Own {
            places.push(Place::Rows(Scan::of(&COMPUTE_NODES).by("compute_nodes_owner").with(user)));
        }
        Ok(View::Some(Places::of(&COMPUTE_NODES, places, tests)))
    }

    async fn gpus_seen(&self, filter: GpuFilter) -> Result<View> {
        let (known, reach) = self.reach(Operation::ReadGpu).await?;
        let node = filter.node_id.map(|node| Test::eq("node_id", node));
        let health = filter.health.map(|health| Test::eq("health", health.as_str()));
        let tests = node.into_iter().chain(health).collect();
        let (false, Some(user)) = (reach == Reach::Any, known.rights.user) else {
            return Ok(View::All(&GPUS, tests));
        };
        let mut nodes = self.granted_nodes(user, &known).await?;
        if reach == Reach::Own {
            nodes.extend(self.own_nodes(user).await?);
        }
        let of = |node: &NodeId| Place::Few(Scan::of(&GPUS).by("gpus_node").with(*node));
        Ok(View::Some(Places::of(&GPUS, nodes.iter().map(of).collect(), tests)))
    }

    async fn images_seen(&self, filter: ImageFilter) -> Result<View> {
        let (known, reach) = self.reach(Operation::ReadImage).await?;
        let node = filter.node_id.map(|node| Test::eq("node_id", node));
        let published = filter.published.map(|published| Test::eq("published", published));
        let tests = node.into_iter().chain(published).collect();
        let (false, Some(user)) = (reach == Reach::Any, known.rights.user) else {
            return Ok(View::All(&IMAGES, tests));
        };
        let granted = Scan::of(&MANAGED_IMAGES).by("managed_images_user_image").with(user);
        let mut places = vec![Place::Grants(granted, "image_id")];
        let on = |node: NodeId| Scan::of(&IMAGES).by("images_node").with(node);
        for node in self.granted_nodes(user, &known).await? {
            places.push(Place::Rows(on(node).test(Test::eq("published", true))));
        }
        if reach == Reach::Own {
            places.extend(self.own_nodes(user).await?.into_iter().map(|node| Place::Rows(on(node))));
        }
        Ok(View::Some(Places::of(&IMAGES, places, tests)))
    }

    async fn instances_seen(&self, filter: InstanceFilter) -> Result<View> {
        let (known, reach) = self.reach(Operation::ReadInstance).await?;
        let tests = filter.tests();
        let (false, Some(user)) = (reach == Reach::Any, known.rights.user) else {
            return Ok(View::All(&INSTANCES, tests));
        };
        let granted = Scan::of(&MANAGED_INSTANCES).by("managed_instances_user_instance").with(user);
        let mut places = vec![Place::Grants(granted, "instance_id")];
        if reach == Reach::Own {
            places.push(Place::Rows(Scan::of(&INSTANCES).by("instances_owner").with(user)));
            let on = |node: NodeId| Place::Rows(Scan::of(&INSTANCES).by("instances_node").with(node));
            places.extend(self.own_nodes(user).await?.into_iter().map(on));
        }
        Ok(View::Some(Places::of(&INSTANCES, places, tests)))
    }

    /// The instances on a node whose ports the caller may see; none where that is all of the node's.
    async fn with_ports_seen(&self, node: NodeId) -> Result<Option<BTreeSet<InstanceId>>> {
        let (known, reach) = self.reach(Operation::ReadPort).await?;
        let row = self.plane.store.get(&COMPUTE_NODES, node).await?.value;
        let owner = row.map(|row| row.id::<User>("owner_id")).transpose()?;
        let (false, Some(user)) = (reach == Reach::Any, known.rights.user) else { return Ok(None) };
        let mut seen = BTreeSet::new();
        if reach == Reach::Own {
            if owner == Some(user) {
                return Ok(None);
            }
            let own = Scan::of(&INSTANCES).by("instances_node").with(node).test(Test::eq("owner_id", user));
            for row in self.plane.store.scan_all(own).await? {
                seen.insert(row.id("id")?);
            }
        }
        let granted = Scan::of(&MANAGED_INSTANCES).by("managed_instances_user_instance").with(user);
        for grant in self.plane.store.scan_all(granted.test(Test::eq("node_id", node))).await? {
            if is_live(&grant, known.now)? {
                seen.insert(grant.id("instance_id")?);
            }
        }
        Ok(Some(seen))
    }

    async fn users_seen(&self, filter: UserFilter) -> Result<View> {
        let (known, reach) = self.reach(Operation::ReadUser).await?;
        let permission = filter.permission.map(|permission| Test::eq("permission", permission.as_str()));
        let activated = filter.activated.map(|activated| Test::eq("activated", activated));
        let tests = permission.into_iter().chain(activated).collect();
        let (false, Some(user)) = (reach == Reach::Any, known.rights.user) else {
            return Ok(View::All(&USERS, tests));
        };
        let places = Places::of(&USERS, Vec::new(), tests);
        Ok(View::Some(if reach == Reach::Own { places.and(user.uuid()) } else { places }))
    }

    /// What of a kind is the caller's own, by the order of its owners, or all of it.
    pub(super) async fn owned_seen(
        &self,
        operation: Operation,
        (by_owner, table): (&'static str, &'static Table),
        owner: Option<UserId>,
    ) -> Result<View> {
        let (known, reach) = self.reach(operation).await?;
        let of = |owner: UserId| Place::Rows(Scan::of(table).by(by_owner).with(owner));
        let (false, Some(user)) = (reach == Reach::Any, known.rights.user) else {
            return Ok(match owner {
                Some(owner) => View::Some(Places::of(table, vec![of(owner)], Vec::new())),
                None => View::All(table, Vec::new()),
            });
        };
        let own = reach == Reach::Own && owner.is_none_or(|owner| owner == user);
        let places = own.then(|| of(user)).into_iter().collect();
        Ok(View::Some(Places::of(table, places, Vec::new())))
    }

    async fn logs_seen(&self, filter: LogFilter) -> Result<View> {
        let (known, reach) = self.reach(Operation::ReadLog).await?;
        let tests = filter.tests();
        let (false, Some(user)) = (reach == Reach::Any, known.rights.user) else {
            return Ok(View::Some(all(&LOGS, tests).newest_first()));
        };
        let mut places = Vec::new();
        if reach == Reach::Own {
            places.push(Place::Rows(Scan::of(&LOGS).by("logs_subject").with(user)));
            places.push(Place::Rows(Scan::of(&LOGS).by("logs_actor").with(user)));
        }
        Ok(View::Some(Places::of(&LOGS, places, tests).newest_first()))
    }

    pub(super) async fn own_nodes(&self, user: UserId) -> Result<Vec<NodeId>> {
        let own = Scan::of(&COMPUTE_NODES).by("compute_nodes_owner").with(user);
        let rows = self.plane.store.scan_all(own).await?;
        let nodes: std::result::Result<_, _> = rows.iter().map(|row| row.id("id")).collect();
        Ok(nodes?)
    }

    pub(super) async fn granted_nodes(&self, user: UserId, known: &Known) -> Result<Vec<NodeId>> {
        let granted = Scan::of(&MANAGED_COMPUTE_NODES).by("managed_compute_nodes_user_node").with(user);
        let mut nodes = Vec::new();
        for grant in self.plane.store.scan_all(granted).await? {
            if is_live(&grant, known.now)? {
                nodes.push(grant.id("node_id")?);
            }
        }
        Ok(nodes)
    }
}

fn all(table: &'static Table, tests: Vec<Test>) -> Places {
    Places::of(table, vec![Place::Rows(Scan::of(table))], tests)
}
