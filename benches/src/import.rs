//! What it costs to bring in a cloud that exists elsewhere: [`Import`].

use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use apportion::entity::{
    ComputeNode, DisplayName, Email, GpuId, InstanceName, NodeId, NodeName, User, UserId,
};
use apportion::id::{IdSource as _, TimeOrderedIds};
use apportion::plane::{
    Imported, ImportedGpu, ImportedInstance, ImportedNode, ImportedPort, ImportedUser, NotImported,
};
use apportion::ports::{Family, Protocol};
use apportion::store::Store;
use apportion::time::{SystemClock, Timestamp};

use crate::launches::now;
use crate::stores::Failed;

/// How many items one call brings in, as a script would that reads pages from elsewhere.
const AT_ONCE: usize = 1_000;
/// How many instances a node has, and how many an account.
const ON_NODE: usize = 100;
const OF_USER: usize = 50;
/// How many GPUs a node has.
const GPUS: u32 = 8;

/// A cloud that exists elsewhere, and an empty store.
#[derive(Debug)]
pub struct Import {
    plane: ControlPlane,
    users: Vec<ImportedUser>,
    nodes: Vec<ImportedNode>,
    instances: Vec<ImportedInstance>,
}

/// How long it took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// Users and nodes with their GPUs.
    pub before: Duration,
    /// Instances.
    pub instances: Duration,
    /// The same instances again, which are there.
    pub again: Duration,
}

impl Import {
    /// So many instances, each with a port and a tenth of a GPU; a hundred on a node, fifty of an account, spread over both.
    pub fn new(store: Arc<dyn Store>, instances: usize) -> Result<Self, Failed> {
        let ids = TimeOrderedIds::new(Arc::new(SystemClock::new()));
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        let mut users = Vec::new();
        for number in 0..instances.div_ceil(OF_USER).max(1) {
            let email = Email::new(format!("user-{number}@example.org"))?;
            let name = DisplayName::new(format!("User {number}"))?;
            users.push(ImportedUser::new(User::new(ids.next_id().into(), email, name, at)));
        }
        let mut nodes = Vec::new();
        for (number, user) in (0..instances.div_ceil(ON_NODE).max(1)).zip(users.iter().cycle()) {
            let name = NodeName::new(format!("node-{number}"))?;
            let mut profile = ComputeNode::new(ids.next_id().into(), user.user.id, name, at);
            profile.gpu_model = Some("A100".into());
            let mut node = ImportedNode::new(profile);
            for slot in 0..GPUS {
                node = node.gpu(ImportedGpu::new(ids.next_id().into(), slot, "A100", at));
            }
            nodes.push(node);
        }
        let mut all = Self { plane: ControlPlane::new(store), users, nodes, instances: Vec::new() };
        for number in 0..instances {
            let made = at.plus(Duration::from_secs(u64::try_from(number)?));
            let instance = all.instance(number, ids.next_id().into(), made)?;
            all.instances.push(instance);
        }
        Ok(all)
    }

    fn instance(
        &self,
        number: usize,
        id: apportion::entity::InstanceId,
        at: Timestamp,
    ) -> Result<ImportedInstance, Failed> {
        // Neighbours are of other accounts and on other nodes, as instances are that were made one after the other.
        let (turn, place) = (number / self.nodes.len().max(1), number % self.nodes.len().max(1));
        let (node, gpu) = self.node(place, turn)?;
        let owner = self.owner(number)?;
        let port = u16::try_from(20_000 + turn)?;
        let mut instance =
            ImportedInstance::new(id, owner, node, InstanceName::new(format!("i-{number}"))?, at)
                .holds(CpuMilli::from_u32(500), MemoryMib::from_u32(512), StorageMib::from_u32(1_024))
                .key(format!("container-{number}"))
                .port(ImportedPort::new(Family::Ipv4, Protocol::Tcp, port, at));
        if let Some(gpu) = gpu {
            instance = instance.gpus([gpu], GpuMilli::from_u32(100));
        }
        Ok(instance)
    }

    /// A node, and the GPU of which its next instance gets a tenth, while there is some left.
    fn node(&self, place: usize, turn: usize) -> Result<(NodeId, Option<GpuId>), Failed> {
        let node = self.nodes.get(place).ok_or("there is no node")?;
        Ok((node.profile.id, node.gpus.get(turn / 10).map(|gpu| gpu.id)))
    }

    fn owner(&self, number: usize) -> Result<UserId, Failed> {
        Ok(self.users.get(number % self.users.len().max(1)).ok_or("there is no user")?.user.id)
    }

    /// Brings in all of it, and the instances once more.
    pub async fn run(&self) -> Result<Took, Failed> {
        let began = now();
        for some in self.users.chunks(AT_ONCE) {
            all(self.plane.import_users(some).await, Imported::New)?;
        }
        for some in self.nodes.chunks(AT_ONCE) {
            all(self.plane.import_nodes(some).await, Imported::New)?;
        }
        let before = began.elapsed();
        let instances = self.instances(Imported::New).await?;
        let again = self.instances(Imported::WasThere).await?;
        let audit = self.plane.audit().await?;
        if !audit.is_clean() {
            return Err(format!("the audit found {} drifts", audit.drifts.len()).into());
        }
        Ok(Took { before, instances, again })
    }

    async fn instances(&self, expected: Imported) -> Result<Duration, Failed> {
        let began = now();
        for some in self.instances.chunks(AT_ONCE) {
            all(self.plane.import_instances(some).await, expected)?;
        }
        Ok(began.elapsed())
    }
}

fn all(answers: Vec<Result<Imported, NotImported>>, expected: Imported) -> Result<(), Failed> {
    for answer in answers {
        if answer? != expected {
            return Err(format!("an item was expected to be {expected:?}").into());
        }
    }
    Ok(())
}
