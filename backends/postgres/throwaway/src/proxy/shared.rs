//! What the proxy's handle and its connections have in common.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::fault::{Fault, What, When};

/// Whether bytes go through a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    Paused(Duration),
    Stalled,
    Closed { reset: bool },
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    fired: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    frozen: bool,
    armed: Vec<Fault>,
    accepted: u64,
    /// By the order in which they came.
    open: BTreeMap<u64, watch::Sender<Mode>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), fired: watch::Sender::new(0) }
    }
}

impl Shared {
    pub(crate) fn connect(self: &Arc<Self>) -> Connection {
        let mut state = self.state();
        let id = state.accepted;
        state.accepted += 1;
        let mode = watch::Sender::new(if state.frozen { Mode::Stalled } else { Mode::Open });
        state.open.insert(id, mode.clone());
        Connection { id, mode, shared: self.clone() }
    }

    pub(crate) fn arm(&self, mut fault: Fault) {
        if fault.when != When::Now {
            return self.state().armed.push(fault);
        }
        let mode = match fault.what {
            What::Cut => Mode::Closed { reset: false },
            What::Reset => Mode::Closed { reset: true },
            What::Stall => Mode::Stalled,
            What::Delay(pause) => Mode::Paused(pause),
        };
        let mut met = 0;
        for connection in self.state().open.values() {
            if fault.times == 0 {
                break;
            }
            fault.times -= 1;
            met += 1;
            change(connection, mode);
        }
        self.fired.send_modify(|fired| *fired += met);
    }

    pub(crate) fn disarm(&self) {
        self.state().armed.clear();
    }

    pub(crate) fn stall_all(&self) {
        let mut state = self.state();
        state.frozen = true;
        state.open.values().for_each(|connection| change(connection, Mode::Stalled));
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.frozen = false;
        state.open.values().for_each(|connection| change(connection, Mode::Open));
    }

    pub(crate) fn connections(&self) -> u64 {
        self.state().accepted
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.state().open.len()
    }

    pub(crate) fn fired(&self) -> u64 {
        *self.fired.borrow()
    }

    pub(crate) async fn wait_until_fired(&self, times: u64) {
        // It fails only when the sender is gone, and that is part of this value.
        let _ = self.fired.subscribe().wait_for(|fired| *fired >= times).await;
    }

    /// The first fault whose moment this is; it has one time less from now on.
    fn fire(&self, is_now: impl Fn(&When) -> bool) -> Option<What> {
        let mut state = self.state();
        let fault = state.armed.iter_mut().find(|fault| fault.times > 0 && is_now(&fault.when))?;
        fault.times -= 1;
        let what = fault.what;
        state.armed.retain(|fault| fault.times > 0);
        drop(state);
        self.fired.send_modify(|fired| *fired += 1);
        Some(what)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is closed stays closed.
fn change(connection: &watch::Sender<Mode>, mode: Mode) {
    connection.send_if_modified(|old| {
        let closed = matches!(old, Mode::Closed { .. });
        if !closed {
            *old = mode;
        }
        !closed
    });
}

/// One connection, for as long as it is open.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u64,
    mode: watch::Sender<Mode>,
    shared: Arc<Shared>,
}

impl Connection {
    /// A statement is about to be handed to the server.
    pub(crate) fn before(&self, text: &str, commits: bool) -> Option<What> {
        let lower = text.to_lowercase();
        self.shared.fire(|when| match when {
            When::BeforeCommit => commits,
            When::OnStatement(part) => lower.contains(&part.to_lowercase()),
            _ => false,
        })
    }

    pub(crate) fn at_commit(&self) -> Option<What> {
        self.shared.fire(|when| *when == When::AtCommit)
    }

    pub(crate) fn after_commit(&self) -> Option<What> {
        self.shared.fire(|when| *when == When::AfterCommit)
    }

    pub(crate) fn stall(&self) {
        change(&self.mode, Mode::Stalled);
    }

    /// Waits until bytes may go through.
    pub(crate) async fn opened(&self) {
        // It fails only when the sender is gone, and that is part of this value.
        let _ = self.mode.subscribe().wait_for(|mode| *mode == Mode::Open).await;
    }

    /// Waits until it is to be closed, and says whether by a reset. Meanwhile it ends its pauses.
    pub(crate) async fn closed(&self) -> bool {
        let mut modes = self.mode.subscribe();
        loop {
            let mode = *modes.borrow_and_update();
            match mode {
                Mode::Closed { reset } => return reset,
                Mode::Paused(pause) => {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => self.resume(),
                        _ = modes.changed() => {}
                    }
                }
                Mode::Open | Mode::Stalled => {
                    let _ = modes.changed().await;
                }
            }
        }
    }

    fn resume(&self) {
        self.mode.send_if_modified(|mode| {
            let paused = matches!(mode, Mode::Paused(_));
            if paused {
                *mode = Mode::Open;
            }
            paused
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.state().open.remove(&self.id);
    }
}
