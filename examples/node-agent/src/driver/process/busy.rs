//! One operation on an instance at a time: [`Busy`].

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The instances on which something is being done.
#[derive(Debug, Default)]
pub(super) struct Busy {
    instances: Mutex<HashSet<Uuid>>,
    freed: Condvar,
}

/// Keeps others from an instance until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    busy: &'a Busy,
    instance: Uuid,
}

impl Busy {
    /// Waits until nothing else is being done on the instance.
    pub(super) fn wait(&self, instance: Uuid) -> Turn<'_> {
        let mut instances = lock(&self.instances);
        while !instances.insert(instance) {
            instances = self.freed.wait(instances).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { busy: self, instance }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.busy.instances).remove(&self.instance);
        self.busy.freed.notify_all();
    }
}

/// A lock that somebody who panicked held is a lock all the same: what it keeps is changed in single steps.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
