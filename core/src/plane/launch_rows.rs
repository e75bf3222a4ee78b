//! What a launch is decided on: [`LaunchRows`], read in one round trip.

use super::LaunchRequest;
use crate::entity::{
    AccessState, DesiredState, Entity as _, Entry, IMAGES, INSTANCES, Image, ImageStatus, Instance,
    InstanceId, InstanceName, InstanceState, NodeId, QUOTAS, Quota, USER_ACCESS, UserAccess,
};
use crate::error::{Error, Result};
use crate::machine::ImageSpec;
use crate::sched::Demand;
use crate::store::{Answer, Query, Row};
use crate::time::Timestamp;

/// The rows that a launch is decided on.
#[derive(Debug, Default)]
pub(super) struct LaunchRows {
    pub(super) access: Option<Row>,
    quota: Option<Row>,
    existing: Option<Row>,
    pub(super) image: Option<Row>,
}

/// How much of an account earlier decisions of the same window use, before they are committed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tentative {
    instances: i64,
    gpu_milli: i64,
    cpu_milli: i64,
    memory_mib: i64,
    storage_mib: i64,
}

impl Tentative {
    /// Counts an instance that is launched, or with `times` of -1 one that is deleted.
    pub(super) fn count(&mut self, instance: &Instance, times: i64) {
        self.instances += times;
        self.gpu_milli += times * instance.gpu_milli_total();
        self.cpu_milli += times * instance.cpu_milli.get();
        self.memory_mib += times * instance.memory_mib.get();
        self.storage_mib += times * instance.storage_mib.get();
    }
}

/// A launch that passed every check but capacity.
#[derive(Debug)]
pub(super) enum Described {
    Done(Box<Entry<Instance>>),
    New(Box<Instance>, Demand),
}

/// A limit of an account by its name, where there is one; how much is used, and how much more is asked.
pub(super) type Asked = (&'static str, Option<i64>, i64, i64);

/// Refuses what is asked beyond a limit.
pub(super) const fn within((limit_name, limit, used, asked): Asked) -> Result<()> {
    match limit {
        Some(limit) if asked > 0 && used + asked > limit => {
            Err(Error::QuotaExceeded { limit_name, limit, used, asked })
        }
        _ => Ok(()),
    }
}

/// What a launch reads in one round trip.
pub(super) fn launch_queries(request: &LaunchRequest) -> Vec<Query> {
    let mut queries = vec![
        Query::Get { table: &USER_ACCESS, key: request.owner.into() },
        Query::Get { table: &QUOTAS, key: request.owner.into() },
    ];
    queries.extend(request.id.map(|id| Query::Get { table: &INSTANCES, key: id.into() }));
    queries.extend(request.image.map(|id| Query::Get { table: &IMAGES, key: id.into() }));
    queries
}

impl LaunchRows {
    /// The rows, from the answers to [`launch_queries`].
    pub(super) fn from_answers(request: &LaunchRequest, answers: Vec<Answer>) -> Self {
        let mut rows = answers.into_iter().map(|answer| match answer {
            Answer::Row(row) => row,
            _ => None,
        });
        let mut next = || rows.next().flatten();
        let (access, quota) = (next(), next());
        let existing = if request.id.is_some() { next() } else { None };
        let image = if request.image.is_some() { next() } else { None };
        Self { access, quota, existing, image }
    }

    /// Checks everything about a launch but where it goes, and describes the instance. Its node is not chosen yet.
    pub(super) fn describe(
        &self,
        request: &LaunchRequest,
        id: InstanceId,
        tentative: Tentative,
        now: Timestamp,
    ) -> Result<Described> {
        request.check()?;
        let name = InstanceName::try_from(request.name.clone())?;
        let demand = request.demand()?;
        let fingerprint = request.fingerprint()?;
        if let Some(row) = &self.existing {
            let found = Instance::from_row(row)?;
            if found.request_fingerprint == fingerprint {
                return Ok(Described::Done(Box::new(Entry::new(found, row.revision()))));
            }
            return Err(Error::AlreadyExists { kind: "instance", key: "id" });
        }
        self.check_owner(request, &demand, tentative)?;
        let (ssh_key_name, ssh_key) = request.checked_ssh_key()?.unzip();
        let instance = Instance {
            id,
            owner_id: request.owner,
            live_name: Some(name.clone()),
            name,
            node_id: None,
            last_node_id: NodeId::new(uuid::Uuid::nil()),
            image_id: request.image,
            key: None,
            state: InstanceState::Running,
            desired: DesiredState::Running,
            by_agent: false,
            command_id: None,
            status_info: None,
            ipv4: None,
            ipv6: None,
            local_ipv4: None,
            local_ipv6: None,
            cpu_milli: request.cpu,
            memory_mib: request.memory,
            storage_mib: request.storage,
            total_storage_mib: None,
            gpu_count: request.gpus,
            gpu_milli: request.gpu_milli,
            gpu_models: (!request.gpu_models.is_empty()).then(|| request.gpu_models.clone()),
            description: request.description.clone(),
            network_mode: request.network_mode,
            ssh_key_name,
            ssh_key,
            base_image: request.base_image.clone(),
            request_fingerprint: fingerprint,
            created_at: now,
            updated_at: now,
        };
        Ok(Described::New(Box::new(instance), demand))
    }

    /// Whether the owner is there, active, and within the limits. The store judges the limits again at the commit.
    fn check_owner(&self, request: &LaunchRequest, demand: &Demand, tentative: Tentative) -> Result<()> {
        let (Some(access), Some(quota)) = (&self.access, &self.quota) else {
            return Err(Error::not_found("user", request.owner));
        };
        if UserAccess::from_row(access)?.state != AccessState::Active {
            return Err(Error::Denied { action: "launch an instance while suspended" });
        }
        let quota = Quota::from_row(quota)?;
        // In the order of the ceilings, so that the store would name the same one.
        let limits = [
            (
                "instance_limit",
                Some(i64::from(quota.instance_limit)),
                i64::from(quota.instances) + tentative.instances,
                1,
            ),
            (
                "gpu_milli_limit",
                quota.gpu_milli_limit.map(i64::from),
                quota.gpu_milli.get() + tentative.gpu_milli,
                demand.gpu_milli_total(),
            ),
            (
                "cpu_milli_limit",
                quota.cpu_milli_limit.map(i64::from),
                quota.cpu_milli.get() + tentative.cpu_milli,
                request.cpu.get(),
            ),
            (
                "memory_mib_limit",
                quota.memory_mib_limit.map(i64::from),
                quota.memory_mib.get() + tentative.memory_mib,
                request.memory.get(),
            ),
            (
                "storage_mib_limit",
                quota.storage_mib_limit.map(i64::from),
                quota.storage_mib.get() + tentative.storage_mib,
                request.storage.get(),
            ),
        ];
        limits.into_iter().try_for_each(within)
    }

    /// What the agent of the node is told of the image.
    pub(super) fn image_spec(&self) -> Result<Option<ImageSpec>> {
        let Some(row) = &self.image else { return Ok(None) };
        let image = Image::from_row(row)?;
        Ok(Some(ImageSpec { id: image.id, key: image.key, url: image.url }))
    }

    /// The only node that will do, by request or by image.
    pub(super) fn pinned(&self, request: &LaunchRequest) -> Result<Option<NodeId>> {
        let Some(id) = request.image else {
            return Ok(request.node);
        };
        let image = self.image.as_ref().ok_or_else(|| Error::not_found("image", id))?;
        let image = Image::from_row(image)?;
        if image.status != ImageStatus::Ready {
            let state = image.status.as_str();
            return Err(Error::WrongState {
                kind: "image",
                state,
                event: "starting from it",
                allowed: Vec::new(),
            });
        }
        if request.node.is_some_and(|node| node != image.node_id) {
            return Err(Error::invalid("image", "it is on another node than the one asked for"));
        }
        Ok(Some(image.node_id))
    }
}
