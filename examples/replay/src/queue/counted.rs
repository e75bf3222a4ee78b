//! Choosing who runs before anybody is placed.

use apportion::queue::{Job, QueuePolicy, Settings};
use apportion::time::Timestamp;
use uuid::Uuid;

use super::course::{Course, ask, idle, place};
use super::{Gangs, QueueReplayError};

impl Course<'_> {
    /// Chooses who runs by the least remaining time and the number of GPUs alone, and places those who did not run yet,
    /// one after the other. Who was chosen and finds no place waits; nobody else gets the GPUs.
    pub(super) fn choose_and_place(&mut self, now: Timestamp) -> Result<(), QueueReplayError> {
        let chosen = self.chosen(now)?;
        let others = self.queue.iter_running().map(|run| run.job.id).filter(|id| !chosen.contains(id));
        for id in others.collect::<Vec<_>>() {
            self.stop(id, now)?;
        }
        let waiting: Vec<Uuid> = self.queue.iter_pending().map(|job| job.id).collect();
        let mut aside: Vec<Job> = waiting.into_iter().filter_map(|id| self.queue.withdraw(id)).collect();
        for id in chosen {
            let Some(at) = aside.iter().position(|job| job.id == id) else { continue };
            self.queue.submit(aside.swap_remove(at))?;
            for grant in self.queue.tick(now).grants {
                self.queue.start(grant.job, grant.placements, now)?;
            }
            aside.extend(self.queue.withdraw(id));
        }
        for job in aside {
            self.queue.submit(job)?;
        }
        Ok(())
    }

    /// Those who would run were nobody running yet and all nodes one, in the order in which they are chosen.
    fn chosen(&self, now: Timestamp) -> Result<Vec<Uuid>, QueueReplayError> {
        let mut all = idle(self.setup, Settings::new(QueuePolicy::ShortestRemaining))?;
        let running = self.queue.iter_running().map(|run| (&run.job, now.since(run.started)));
        let waiting = self.queue.iter_pending().map(|job| (job, std::time::Duration::ZERO));
        for (job, long) in running.chain(waiting) {
            let gpus = self.jobs.get(place(job.id)).map_or(0, |row| row.gpus);
            all.submit(Job { ask: ask(gpus, Gangs::Any)?, done: job.done + long, ..job.clone() })?;
        }
        Ok(all.tick(now).grants.into_iter().map(|grant| grant.job).collect())
    }
}
