//! Durable launches by many callers at once: [`Bench`] does them through the whole control plane.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apportion::amount::{CpuMilli, GpuMilli, MemoryMib};
use apportion::plane::LaunchRequest;
use apportion::ports::{Family, Protocol};
use apportion::store::Store;

use crate::stores::{Failed, Fixture};

/// Every so many launches one is for an account that may have no more, where there are such launches.
pub const REFUSED_EVERY: usize = 10;

/// Something that callers can launch instances with.
pub trait Launcher: Clone + Send + Sync + 'static {
    /// Launches one instance, which takes a hundredth of a GPU, processor time, memory and a port, and is granted and
    /// logged: eleven writes, or none where the account is `full`. `nth` is another number each time.
    ///
    /// # Errors
    /// Also where one that is to be refused is not.
    fn launch(
        &self,
        caller: usize,
        nth: usize,
        full: bool,
    ) -> impl Future<Output = Result<(), Failed>> + Send;

    /// How many durable commits there were, where that is known.
    fn commits(&self) -> Option<u64>;
}

/// How many callers ask for how much.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many callers there are, each of which waits for its answer before it asks again.
    pub callers: usize,
    /// How many launches they ask for together.
    pub count: usize,
    /// Whether a tenth of them is for accounts that may have no more.
    pub some_refused: bool,
}

impl Load {
    /// Launches of which none is refused.
    pub const fn new(callers: usize, count: usize) -> Self {
        Self { callers, count, some_refused: false }
    }
}

/// What some launches cost.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// How many were asked for.
    pub launches: usize,
    /// How long that took.
    pub took: Duration,
    /// How many durable commits it took.
    pub commits: Option<u64>,
    /// For how long the cores of the machine worked meanwhile, taken together: callers, server and whatever else there was.
    /// Only on Linux.
    pub worked: Option<Duration>,
}

impl Figures {
    /// Answers in a second.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn per_second(&self) -> f64 {
        self.launches as f64 / self.took.as_secs_f64()
    }

    /// Durable commits for each answer.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn commits_each(&self) -> Option<f64> {
        self.commits.map(|commits| commits as f64 / self.launches as f64)
    }

    /// Milliseconds of processor time for each answer.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn worked_each(&self) -> Option<f64> {
        self.worked.map(|worked| worked.as_secs_f64() * 1e3 / self.launches as f64)
    }
}

/// Has callers launch all at once, and tells what that cost.
pub async fn run<L: Launcher>(
    launcher: &L,
    numbers: &Arc<AtomicUsize>,
    load: Load,
) -> Result<Figures, Failed> {
    let first = numbers.fetch_add(load.count, Ordering::Relaxed);
    let (end, next) = (first + load.count, Arc::new(AtomicUsize::new(first)));
    let (before, worked_before) = (launcher.commits(), worked());
    let began = now();
    let mut tasks = Vec::with_capacity(load.callers);
    for caller in 0..load.callers {
        let (launcher, next) = (launcher.clone(), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= end {
                    return Ok(());
                }
                let full = load.some_refused && nth % REFUSED_EVERY == 0;
                launcher.launch(caller, nth, full).await?;
            }
        }));
    }
    for task in tasks {
        let done: Result<(), Failed> = task.await?;
        done?;
    }
    let took = began.elapsed();
    let commits = launcher.commits().zip(before).map(|(after, before)| after - before);
    let worked = worked().zip(worked_before).map(|(after, before)| after.saturating_sub(before));
    Ok(Figures { launches: load.count, took, commits, worked })
}

/// Launches through the control plane.
#[derive(Clone, Debug)]
pub struct Bench {
    fixture: Arc<Fixture>,
    numbers: Arc<AtomicUsize>,
}

impl Bench {
    /// Accounts for so many callers, and nodes, on an empty store.
    pub async fn new(store: Arc<dyn Store>, callers: usize) -> Result<Self, Failed> {
        Ok(Self { fixture: Arc::new(Fixture::new(store, callers).await?), numbers: Arc::default() })
    }

    /// Does these launches.
    pub async fn run(&self, load: Load) -> Result<Figures, Failed> {
        run(self, &self.numbers, load).await
    }

    /// Fails where a counter is not its recount.
    pub async fn check(&self) -> Result<(), Failed> {
        let clean = self.fixture.plane.audit().await?.is_clean();
        if clean { Ok(()) } else { Err("the audit found a drift".into()) }
    }

    /// Decides a launch and commits nothing.
    pub async fn dry_run(&self) -> Result<(), Failed> {
        let request = LaunchRequest::new(self.fixture.accounts.of(0, false)?, "instance")
            .cpu(CpuMilli::from_u32(10))
            .gpu_share(GpuMilli::from_u32(10));
        self.fixture.plane.dry_run(&request).await?;
        Ok(())
    }

    /// Users, nodes and the control plane.
    pub fn fixture(&self) -> &Arc<Fixture> {
        &self.fixture
    }
}

impl Launcher for Bench {
    async fn launch(&self, caller: usize, nth: usize, full: bool) -> Result<(), Failed> {
        let request = LaunchRequest::new(self.fixture.accounts.of(caller, full)?, format!("instance-{nth}"))
            .cpu(CpuMilli::from_u32(10))
            .memory(MemoryMib::from_u32(10))
            .gpu_share(GpuMilli::from_u32(10))
            .ports(Family::Ipv4, Protocol::Tcp, 1);
        match self.fixture.plane.launch(request).await {
            Ok(_) if !full => Ok(()),
            Err(apportion::Error::QuotaExceeded { .. }) if full => Ok(()),
            Ok(_) => Err("a launch beyond the quota was carried out".into()),
            Err(error) => Err(error.into()),
        }
    }

    fn commits(&self) -> Option<u64> {
        self.fixture.plane.store().syncs()
    }
}

/// For how long the cores of this machine have worked since it was started, taken together.
fn worked() -> Option<Duration> {
    worked_by(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The same from what Linux tells in `/proc/stat` (proc(5)): hundredths of a second in user mode, nice, system, idle,
/// waiting for input, interrupts and soft interrupts.
fn worked_by(stat: &str) -> Option<Duration> {
    let first = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = first.split_whitespace().map_while(|time| time.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, interrupts, soft, ..] = times.as_slice() else { return None };
    Some(Duration::from_millis(10 * (user + nice + system + interrupts + soft)))
}

/// Wall-clock time, which is what is measured here.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures the time that passes")]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_work_but_where_they_wait() {
        let stat = "cpu  7302136 538332 1153578 3961164 57768 7 92782 10134 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(
            worked_by(stat),
            Some(Duration::from_millis(10 * (7_302_136 + 538_332 + 1_153_578 + 7 + 92_782)))
        );
        for stat in ["", "cpu0 1 2 3 4 5 6 7 8 9 10\n", "cpu  1 2 3\n", "cpu  a b c d e f g\n"] {
            assert_eq!(worked_by(stat), None, "{stat}");
        }
    }
}
