//! What the agent is told, done.

use apportion::entity::{Command, CommandKind, InstanceId};
use apportion::machine::{ImageToSave, InstanceRef, InstanceSpec, MadeInstance, SpecGpu};
use apportion::plane::{CommandLease, CommandOutcome, LoadedImage};
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval};

use super::Agent;
use super::found::cut;
use crate::control::{Refused, Result};
use crate::driver::{self, ImageFound, Spec};

/// What an application tells of an instance that it launches, in `LaunchRequest::payload`: what runs in it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    /// The program and its arguments, word by word.
    #[serde(default)]
    command: Vec<String>,
    /// Its environment.
    #[serde(default)]
    env: Vec<(String, String)>,
}

/// Why something was not done: for good, or for now.
enum NotDone {
    Never(String),
    Again(String),
}

impl Agent {
    /// Does what a command says and answers it, holding on to it meanwhile.
    pub(super) async fn work(&self, held: CommandLease) -> Result<()> {
        let mut hold = interval(self.settings.lease / 3);
        hold.set_missed_tick_behavior(MissedTickBehavior::Delay);
        hold.tick().await;
        let doing = self.execute(&held.command);
        tokio::pin!(doing);
        let outcome = loop {
            tokio::select! {
                outcome = &mut doing => break outcome,
                // Where somebody else has it by now, the answer is refused, and what was done is seen in the next report.
                _ = hold.tick() => self.control.extend(&held, self.settings.lease).await.or_else(forgiven)?,
            }
        };
        self.control.complete(&held, &outcome).await.or_else(forgiven)
    }

    async fn execute(&self, command: &Command) -> CommandOutcome {
        let payload = command.payload.as_deref().unwrap_or("{}");
        let done = match command.kind {
            CommandKind::CreateInstance => self.create(payload).await,
            CommandKind::StartInstance => self.start(payload).await,
            CommandKind::StopInstance => self.stop(payload).await,
            CommandKind::DeleteInstance => self.delete(payload).await,
            CommandKind::LoadImage => self.load_image(payload).await,
            CommandKind::DeleteImage => self.delete_image(payload).await,
            CommandKind::Ping => Ok(CommandOutcome::Done("pong".to_owned())),
            CommandKind::SaveImage => self.save_image(payload).await,
            kind => Err(NotDone::Never(format!("this agent does not know how to {kind}"))),
        };
        match done {
            Ok(outcome) => outcome,
            Err(NotDone::Never(why)) => CommandOutcome::Failed(cut(why, 4096)),
            Err(NotDone::Again(why)) => CommandOutcome::Again(cut(why, 4096)),
        }
    }

    async fn create(&self, payload: &str) -> Result<CommandOutcome, NotDone> {
        let told = InstanceSpec::parse(payload)?;
        let instance = told.instance;
        let spec = wanted(told)?;
        match self.driver.create(&spec).await {
            Ok(found) => Ok(CommandOutcome::made(&MadeInstance::new(found.key))?),
            Err(error) => match NotDone::from(error) {
                // To say that it cannot be made is to say that there is nothing of it.
                NotDone::Never(why) => {
                    self.remove(instance, None).await?;
                    Err(NotDone::Never(why))
                }
                again @ NotDone::Again(_) => Err(again),
            },
        }
    }

    async fn start(&self, payload: &str) -> Result<CommandOutcome, NotDone> {
        let what = InstanceRef::parse(payload)?;
        self.driver.start(&self.key_of(&what).await?).await?;
        Ok(CommandOutcome::Done(String::new()))
    }

    async fn stop(&self, payload: &str) -> Result<CommandOutcome, NotDone> {
        let what = InstanceRef::parse(payload)?;
        self.driver.stop(&self.key_of(&what).await?, self.settings.grace).await?;
        Ok(CommandOutcome::Done(String::new()))
    }

    async fn delete(&self, payload: &str) -> Result<CommandOutcome, NotDone> {
        let what = InstanceRef::parse(payload)?;
        self.remove(what.instance, what.key).await?;
        Ok(CommandOutcome::Done(String::new()))
    }

    /// Removes whatever there is of an instance: by its key, and whatever is marked as it where that is not known.
    async fn remove(&self, instance: InstanceId, key: Option<String>) -> Result<(), NotDone> {
        if let Some(key) = key {
            return Ok(self.driver.delete(&key).await?);
        }
        for found in self.driver.list().await? {
            if found.instance == Some(instance.uuid()) {
                self.driver.delete(&found.key).await?;
            }
        }
        Ok(())
    }

    async fn load_image(&self, payload: &str) -> Result<CommandOutcome, NotDone> {
        #[derive(Deserialize)]
        struct Load {
            url: String,
        }
        let load: Load = serde_json::from_str(payload).map_err(never)?;
        loaded(self.driver.load_image(&load.url).await?)
    }

    async fn save_image(&self, payload: &str) -> Result<CommandOutcome, NotDone> {
        let what = ImageToSave::parse(payload)?;
        loaded(self.driver.save_image(&what.key, what.image.uuid()).await?)
    }

    async fn delete_image(&self, payload: &str) -> Result<CommandOutcome, NotDone> {
        #[derive(Deserialize)]
        struct Delete {
            key: String,
        }
        let delete: Delete = serde_json::from_str(payload).map_err(never)?;
        self.driver.delete_image(&delete.key).await?;
        Ok(CommandOutcome::Done(String::new()))
    }

    /// The driver's key of an instance: as it is known, or as it is marked.
    async fn key_of(&self, what: &InstanceRef) -> Result<String, NotDone> {
        if let Some(key) = &what.key {
            return Ok(key.clone());
        }
        let found = self.driver.list().await?;
        let marked = found.into_iter().find(|found| found.instance == Some(what.instance.uuid()));
        marked.map(|found| found.key).ok_or_else(|| NotDone::Never("there is nothing of it".to_owned()))
    }
}

/// The answer that an image is there.
fn loaded(found: ImageFound) -> Result<CommandOutcome, NotDone> {
    let mut loaded = LoadedImage::new(found.key);
    loaded.size_mib = u32::try_from(found.size_mib.get()).ok();
    Ok(CommandOutcome::loaded(&loaded)?)
}

/// What the driver is to make.
fn wanted(told: InstanceSpec) -> Result<Spec, NotDone> {
    let program: Program = match &told.payload {
        Some(text) => serde_json::from_str(text).map_err(never)?,
        None => Program::default(),
    };
    let image = told.image.as_ref().and_then(|image| image.key.clone().or_else(|| image.url.clone()));
    Ok(Spec {
        instance: told.instance.uuid(),
        name: told.name,
        image: image.or(told.base_image),
        command: program.command,
        cpu_milli: told.cpu_milli,
        memory_mib: told.memory_mib,
        storage_mib: told.storage_mib,
        gpus: told.gpus.iter().map(gpu).collect(),
        ports: told.ports.iter().map(|port| (port.family, port.protocol, port.port)).collect(),
        network_mode: told.network_mode,
        env: program.env,
        ssh_key: told.ssh_key,
    })
}

/// What a GPU is called for those who use it: what its driver calls it, or its number.
fn gpu(gpu: &SpecGpu) -> String {
    match &gpu.key {
        Some(key) => key.strip_prefix("index-").unwrap_or(key).to_owned(),
        None => gpu.slot.to_string(),
    }
}

/// What the control plane refuses of one command ends that command, and not the agent.
fn forgiven(refused: Refused) -> Result<()> {
    match refused {
        Refused::Denied { code, message } => {
            eprintln!("an answer was refused: {code}: {message}");
            Ok(())
        }
        other => Err(other),
    }
}

fn never(error: impl std::fmt::Display) -> NotDone {
    NotDone::Never(error.to_string())
}

impl From<apportion::Error> for NotDone {
    fn from(error: apportion::Error) -> Self {
        Self::Never(error.to_string())
    }
}

impl From<driver::Error> for NotDone {
    fn from(error: driver::Error) -> Self {
        use driver::Error::{CannotStart, InvalidSpec, NoSuchImage, NotFound, NotOurs};
        let text = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        match error {
            NotFound { .. }
            | NotOurs { .. }
            | InvalidSpec { .. }
            | NoSuchImage { .. }
            | CannotStart { .. } => Self::Never(text),
            _ => Self::Again(text),
        }
    }
}
