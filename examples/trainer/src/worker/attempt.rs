//! An attempt of a run, from when it was taken until its GPUs are free again.

use std::sync::Arc;
use std::time::Duration;

use apportion::entity::{RunCause, StatusTold};
use apportion::plane::{ClaimedRun, LeaseStanding, NewStatus, RunLease};
use futures_util::StreamExt as _;
use tokio::process::ChildStdout;
use tokio::sync::oneshot::Receiver;
use tokio::time::{Instant, timeout_at};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::kept::{Kept, Record};
use super::program::Program;
use super::{Error, Settings, Storage};
use crate::control::{Refused, Remote};
use crate::train::{INVALID, Progress};

/// The longest line of a program that is understood.
const MAX_LINE: usize = 64 << 10;
/// How often something that may be said again is tried where the control plane is not reached.
const TRIES: u32 = 5;

/// A run that was taken, and what is needed to carry it out.
pub(super) struct Attempt {
    pub(super) control: Arc<Remote>,
    /// A connection of its own, so that nothing else that is asked holds up a renewal.
    pub(super) renewals: Remote,
    pub(super) settings: Arc<Settings>,
    pub(super) kept: Kept,
    pub(super) claimed: ClaimedRun,
    /// A moment before it was taken.
    pub(super) claimed_at: Instant,
}

/// Why an attempt is over.
enum Over {
    /// It is complete, and that was heard.
    Completed,
    /// It has failed.
    Failed(RunCause, String),
    /// It was ended for no fault of its own, and is the worker's still: another one begins the run anew, which has not failed.
    GivenBack(String),
    /// It is the worker's no longer, or is to stop: nothing more is said of it, except that nothing of it runs.
    Stopped(String),
}

impl Attempt {
    fn held(&self) -> &RunLease {
        &self.claimed.lease
    }

    /// Carries the attempt out, or stops it as soon as `stopped` says so.
    pub(super) async fn run(self, stopped: Receiver<()>) {
        let over = match self.begin() {
            Ok((mut program, told)) => {
                let over = tokio::select! {
                    over = self.work(&mut program, told) => over,
                    over = self.keep() => over,
                    _ = stopped => Over::GivenBack("the worker was stopped".to_owned()),
                };
                self.end(&mut program).await;
                over
            }
            Err(error) => Over::Failed(RunCause::Crashed, told(&error)),
        };
        self.let_go(over).await;
    }

    fn begin(&self) -> Result<(Program, ChildStdout), Error> {
        let (run, attempt) = (self.held().run.to_string(), self.held().attempt.to_string());
        let folder = self.settings.state.join("runs").join(run).join(attempt);
        let (program, told) = Program::start(&self.settings.program, &folder, &self.claimed)?;
        self.kept.keep(&Record { lease: *self.held(), process: program.process.clone() })?;
        self.say("begins");
        Ok((program, told))
    }

    /// Ends whatever is left of the program. Before that, nobody is told that the GPUs are free.
    async fn end(&self, program: &mut Program) {
        while let Err(error) = program.end(self.settings.grace).await {
            self.say(&format!("its GPUs stay held: {error}"));
            tokio::time::sleep(self.settings.grace.max(self.settings.poll)).await;
        }
        self.kept.forget(self.held().lease);
    }

    /// Follows the program to its end, and puts away what it has learned.
    async fn work(&self, program: &mut Program, told: ChildStdout) -> Over {
        match self.followed(program, told).await {
            Ok(over) => over,
            Err(Error::Refused(Refused::Over { reason })) => Over::Stopped(reason),
            Err(error) => Over::Failed(RunCause::Crashed, self::told(&error)),
        }
    }

    async fn followed(&self, program: &mut Program, told: ChildStdout) -> Result<Over, Error> {
        let held = self.held();
        if self.is_spread() {
            return Ok(Over::Failed(RunCause::Invalid, "this worker runs on one node only".to_owned()));
        }
        self.sure(|| self.control.begin(held)).await?;
        let code = {
            let (told, code) = tokio::join!(self.pass_on(told), program.ends());
            told?;
            code.map_err(Error::file(&program.output))?
        };
        if code != Some(0) {
            let cause = if code == Some(INVALID.into()) { RunCause::Invalid } else { RunCause::Crashed };
            let how = code.map_or("it was killed".to_owned(), |code| format!("it ended with {code}"));
            return Ok(Over::Failed(cause, format!("{how}: {}", program.complaint())));
        }
        let key = self.sure(|| self.control.uploading(held)).await?;
        let (storage, output) = (Storage::new(&self.settings.storage), program.output.clone());
        let put = tokio::task::spawn_blocking(move || storage.put(&key, &output)).await;
        let artifact = put.map_err(|source| Error::Task { source })??;
        self.sure(|| self.control.complete(held, artifact.clone())).await?;
        Ok(Over::Completed)
    }

    /// Whether it has GPUs on several nodes, which is another worker's trade.
    fn is_spread(&self) -> bool {
        let mut nodes = self.claimed.gpus.iter().map(|gpu| gpu.node);
        let first = nodes.next();
        nodes.any(|node| Some(node) != first)
    }

    /// Passes on what the program tells. Each line has a number, so that one that is told twice counts once.
    async fn pass_on(&self, told: ChildStdout) -> Result<(), Error> {
        let mut lines = FramedRead::new(told, LinesCodec::new_with_max_length(MAX_LINE));
        let mut number = 0_u64;
        while let Some(line) = lines.next().await {
            let line = match line {
                Ok(line) => line,
                Err(LinesCodecError::MaxLineLengthExceeded) => continue,
                // The program learns of it when it writes.
                Err(LinesCodecError::Io(_)) => break,
            };
            // Anything else that it prints is its own matter.
            let Ok(progress) = serde_json::from_str::<Progress>(&line) else { continue };
            number += 1;
            let Progress { status, done, total, metrics, note } = progress;
            let message = NewStatus::of(status)
                .message_id(format!("{}/{number}", self.held().attempt))
                .told(StatusTold { done, total, metrics, note });
            match self.sure(|| self.control.tell(self.held(), message.clone())).await {
                // What makes no sense as a status is no reason to end a training.
                Ok(_) | Err(Refused::Denied { .. }) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(())
    }

    /// Holds on to the lease, until the program is to stop: because the control plane says so, or because it was not reached for so
    /// long that there is only time to end before the lease is over.
    async fn keep(&self) -> Over {
        let lease = self.settings.lease;
        // By the worker's own clock, from before it asked: the control plane cannot be further.
        let mut asked = self.claimed_at;
        let mut pause = lease / 4;
        loop {
            tokio::time::sleep(pause).await;
            let (now, latest) = (Instant::now(), asked + lease * 3 / 4);
            match timeout_at(latest, self.renewals.renew(self.held(), lease)).await {
                Ok(Ok(LeaseStanding::Held(_))) => (asked, pause) = (now, lease / 4),
                Ok(Ok(LeaseStanding::Stop(why))) => return Over::Stopped(why),
                Ok(Err(Refused::Unreachable { .. })) if Instant::now() < latest => pause = lease / 16,
                Ok(Err(Refused::Unreachable { reason })) => return Over::GivenBack(reason),
                Ok(Err(refused)) => return Over::Stopped(refused.to_string()),
                Err(_) => {
                    return Over::GivenBack("the control plane was not reached for too long".to_owned());
                }
            }
        }
    }

    /// Says how it ended. Nothing of it runs any more.
    async fn let_go(&self, over: Over) {
        let held = self.held();
        let heard = match over {
            Over::Completed => {
                self.say("is complete");
                Ok(())
            }
            Over::Failed(cause, info) => {
                self.say(&format!("failed: {info}"));
                let info = Some(info);
                self.sure(|| self.control.fail(held, cause, info.clone())).await
            }
            Over::GivenBack(why) => {
                self.say(&format!("is given back: {why}"));
                self.sure(|| self.control.give_back(held, &why)).await
            }
            Over::Stopped(why) => {
                self.say(&format!("was stopped: {why}"));
                self.sure(|| self.control.release(held)).await
            }
        };
        // Of what is the worker's no longer there is one thing left to say: that nothing of it runs.
        let heard = match heard {
            Err(Refused::Over { .. }) => self.sure(|| self.control.release(held)).await,
            heard => heard,
        };
        // What was not heard is told by the next report of what runs here.
        if let Err(refused) = heard {
            self.say(&format!("its end was not heard: {refused}"));
        }
    }

    /// Says something again where it is not known whether it was heard.
    async fn sure<T, F>(&self, say: impl Fn() -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, Refused>>,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            match say().await {
                Err(Refused::Unreachable { .. }) if tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(100) * tries).await;
                }
                answer => return answer,
            }
        }
    }

    fn say(&self, what: &str) {
        println!("{}: run {}, attempt {}, {what}", self.settings.name, self.held().run, self.held().attempt);
    }
}

/// An error with all its causes, in a line.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
