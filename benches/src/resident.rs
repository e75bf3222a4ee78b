//! How much memory this process holds: [`resident_kib`], and [`Watch`] for the most of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often it is looked at: a hash of the default cost takes many times as long.
const EVERY: Duration = Duration::from_millis(1);

/// How many KiB are resident now (`VmRSS`). Not known where there is no `/proc`.
pub fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Looks at the resident memory again and again until it is asked for the most.
///
/// The kernel's own high-water mark (`VmHWM`) is that of the whole life of the process, in which other things were
/// measured before.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look.
    pub fn start() -> Self {
        let (over, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, seen) = (Arc::clone(&over), Arc::clone(&most));
        let look = move || {
            while !ended.load(Ordering::Relaxed) {
                seen.fetch_max(resident_kib().unwrap_or(0), Ordering::Relaxed);
                thread::sleep(EVERY);
            }
        };
        Self { over, most, thread: Some(thread::spawn(look)) }
    }

    /// The most KiB that were resident meanwhile. Not known where there is no `/proc`.
    pub fn most_kib(mut self) -> Option<u64> {
        self.end();
        Some(self.most.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has seen what it has seen.
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}
