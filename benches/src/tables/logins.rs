//! Logins, and the memory that they take together.

use apportion::identity::PasswordPolicy;
use benches::logins::Logins;
use benches::resident::resident_kib;
use benches::stores::{Failed, Stores};

use super::{Size, callers};

/// How many ask at once, each once.
const AT_ONCE: usize = 500;

/// Prints the table.
pub(crate) async fn logins(size: Size) -> Result<(), Failed> {
    let policy = PasswordPolicy::default();
    println!("\nlogins by password, in memory\n");
    println!(
        "argon2id with {} MiB, {} passes and {} lane; {} are hashed at the same time, and take {}; a hash for each of \
         {AT_ONCE} callers would take {}\n",
        policy.memory_kib / 1024,
        policy.passes,
        policy.lanes,
        policy.workers,
        of_hashes(&policy, policy.workers)?,
        of_hashes(&policy, AT_ONCE)?,
    );
    println!("{:<12} {:>9} {:>12} {:>12} {:>16}", "", "logins/s", "median", "longest", "memory, more by");
    let logins = Logins::new(Stores::memory()?, AT_ONCE).await?;
    // What the allocator keeps of what was freed counts, too. glibc's keeps several hashes for each thread, since blocks of
    // 19 MiB come from its arenas once one was freed; with MALLOC_MMAP_THRESHOLD_=1048576 it keeps none.
    let before = resident_kib();
    for (count, each) in [(1, size.logins), (4, size.logins), (AT_ONCE, 1)] {
        let cost = logins.run(count, each).await?;
        let more = cost.most_kib.zip(before).map(|(most, before)| most.saturating_sub(before));
        let more = more.map_or_else(|| "not known".to_owned(), |more| format!("{} MiB", more / 1024));
        let (median, longest) = (format!("{:.1?}", cost.median), format!("{:.1?}", cost.longest));
        println!("{:<12} {:>9.1} {median:>12} {longest:>12} {more:>16}", callers(count), cost.per_second());
    }
    Ok(())
}

/// The memory of so many hashes.
fn of_hashes(policy: &PasswordPolicy, count: usize) -> Result<String, Failed> {
    let kib = usize::try_from(policy.memory_kib)? * count;
    Ok(format!("{} MiB", kib / 1024))
}
