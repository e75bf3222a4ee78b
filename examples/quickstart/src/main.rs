//! The shortest whole story: a user, a node with two GPUs, instances, a refusal that says why, and an audit.
//!
//! `cargo run -p quickstart` keeps everything in `quickstart.redb` in a temporary folder.

use std::error::Error;
use std::sync::Arc;

use apportion::ControlPlane;
use apportion::amount::{CpuMilli, GpuMilli, MemoryMib};
use apportion::entity::{InstanceFilter, Limits, PageRequest, TABLES};
use apportion::plane::{LaunchRequest, NewNode, NewUser};
use apportion::ports::{Family, PortRanges, Protocol};
use apportion::time::SystemClock;
use apportion_redb::RedbStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // One file holds everything; what was answered with `Ok` survives a power cut.
    let folder = tempfile::tempdir()?;
    let store = RedbStore::open(folder.path().join("quickstart.redb"), TABLES, Arc::new(SystemClock::new()))?;
    let cloud = ControlPlane::new(Arc::new(store));

    // Ada may have three instances and, among them, one and a half GPUs.
    let limits =
        Limits { instance_limit: 3, gpu_milli_limit: Some(GpuMilli::from_u32(1_500)), ..Limits::default() };
    let ada = cloud.create_user(NewUser::new("ada@example.org", "Ada").limits(limits)).await?;

    // Her machine has two GPUs, and ten ports that instances can be reached on.
    let machine = NewNode::new(ada.id, "rack-1")
        .cpu(CpuMilli::from_u32(32_000))
        .memory(MemoryMib::from_u32(131_072))
        .gpus(2, "A100")
        .ipv4_ports(PortRanges::tcp(63_000, 63_009)?);
    cloud.register_node(machine).await?;

    // A whole GPU for training, with a port for its dashboard; half of the other one for a notebook.
    let training = LaunchRequest::new(ada.id, "training").cpu(CpuMilli::from_u32(8_000)).gpus(1).ports(
        Family::Ipv4,
        Protocol::Tcp,
        1,
    );
    let training = cloud.launch(training).await?;
    let half = GpuMilli::from_u32(500);
    cloud
        .launch(LaunchRequest::new(ada.id, "notebook").cpu(CpuMilli::from_u32(2_000)).gpu_share(half))
        .await?;

    for instance in cloud
        .repositories()
        .instances()
        .list(InstanceFilter::default(), PageRequest::default())
        .await?
        .entries
    {
        println!(
            "{:<10} {:<8} {} x {}",
            instance.name, instance.state, instance.gpu_count, instance.gpu_milli
        );
    }

    // There is half a GPU left, but not for Ada: the refusal carries the arithmetic.
    match cloud.launch(LaunchRequest::new(ada.id, "greedy").gpu_share(half)).await {
        Ok(_) => return Err("the limit did not hold".into()),
        Err(refusal) => println!("refused: {refusal}"),
    }

    // Stopping keeps what an instance has; deleting gives it back, once, however often it is asked.
    cloud.stop(training.id).await?;
    cloud.delete(training.id).await?;
    cloud.delete(training.id).await?;

    let audit = cloud.audit().await?;
    println!("{} counters recounted, {} drifted", audit.counters, audit.drifts.len());
    Ok(())
}
