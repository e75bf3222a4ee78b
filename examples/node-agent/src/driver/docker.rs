//! The Docker driver: an instance is a container.
//!
//! A container has the id of its instance as a label, and in its name: Docker itself refuses to make a second one. Its processor time
//! and memory are held to; its storage is not, since most storage drivers of Docker cannot. GPUs need NVIDIA's container runtime.
//! The ports of an instance are those of the machine: a program listens on the number that it was given.

mod convert;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    InspectContainerOptions, ListContainersOptionsBuilder, ListImagesOptions, RemoveContainerOptionsBuilder,
    RemoveImageOptions, StartContainerOptions, StopContainerOptionsBuilder,
};
use futures_util::TryStreamExt;
use uuid::Uuid;

use super::{Driver, Error, Found, FoundState, ImageFound, Result, Spec};
use convert::{INSTANCE, Reference};

/// The repository of what is saved of instances; the tag is the id of the image. What somebody calls an image is no reference: it
/// would be that of another one.
const SAVED: &str = "apportion/saved";
/// How long `delete` waits for an instance to end by itself.
const DELETE_GRACE: Duration = Duration::from_secs(5);
/// How long Docker may take to save an image.
const SAVE: Duration = Duration::from_hours(1);
/// How long Docker may take to answer, over the time that it was given to stop something.
const ANSWER: Duration = Duration::from_secs(120);

/// Runs instances as Docker containers. See the [module](self).
#[derive(Clone, Debug)]
pub struct DockerDriver {
    docker: Docker,
}

impl DockerDriver {
    /// Connects to Docker where `DOCKER_HOST` says (a `unix://` socket), or at its usual socket, in the version that it speaks.
    pub async fn connect() -> Result<Self> {
        Self::negotiate(Docker::connect_with_unix_defaults().map_err(Error::failed)?).await
    }

    /// Connects to a socket.
    pub async fn connect_to(socket: &str) -> Result<Self> {
        let docker = Docker::connect_with_unix(socket, ANSWER.as_secs(), bollard::API_DEFAULT_VERSION);
        Self::negotiate(docker.map_err(Error::failed)?).await
    }

    async fn negotiate(docker: Docker) -> Result<Self> {
        Ok(Self { docker: docker.negotiate_version().await.map_err(Error::failed)? })
    }

    /// A container of ours; `None` where there is none.
    async fn ours(&self, key: &str) -> Result<Option<Found>> {
        if !convert::is_id(key) {
            return Ok(None);
        }
        match self.docker.inspect_container(key, None::<InspectContainerOptions>).await {
            Ok(container) => match convert::inspected(container) {
                found if found.instance.is_some() => Ok(Some(found)),
                _ => Err(Error::NotOurs { key: key.to_owned() }),
            },
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(refused(error, key)),
        }
    }

    async fn known(&self, key: &str) -> Result<Found> {
        self.ours(key).await?.ok_or_else(|| Error::NotFound { key: key.to_owned() })
    }

    async fn of_instance(&self, instance: Uuid) -> Result<Option<Found>> {
        let filters = [("label".to_owned(), vec![format!("{INSTANCE}={instance}")])].into();
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = self.docker.list_containers(Some(options)).await.map_err(Error::failed)?;
        Ok(containers.into_iter().map(convert::listed).find(|found| found.instance == Some(instance)))
    }

    /// Makes a container, or finds the one that somebody made at the same time.
    async fn make(&self, spec: &Spec) -> Result<Found> {
        let name = convert::container_name(spec.instance);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        match self.docker.create_container(Some(options), convert::body(spec)?).await {
            Ok(made) => self.known(&made.id).await,
            Err(error) if status(&error) == Some(409) => {
                self.of_instance(spec.instance).await?.ok_or_else(|| refused(error, &name))
            }
            Err(error) if status(&error) == Some(404) => {
                Err(Error::NoSuchImage { image: spec.image.clone().unwrap_or_default() })
            }
            Err(error) if status(&error) == Some(400) => {
                Err(Error::InvalidSpec { reason: error.to_string() })
            }
            Err(error) => Err(refused(error, &name)),
        }
    }

    /// An image by its reference; `None` where there is none.
    async fn image_of(&self, reference: &str) -> Result<Option<ImageFound>> {
        match self.docker.inspect_image(reference).await {
            Ok(image) => {
                let (key, bytes) = (image.id.unwrap_or_default(), image.size.unwrap_or(0));
                Ok(Some(convert::image(key, Some(reference.to_owned()), bytes)))
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(Error::failed(error)),
        }
    }

    async fn run(&self, key: &str) -> Result<Found> {
        // Docker answers 304, which is no error, where it runs already.
        let started = self.docker.start_container(key, None::<StartContainerOptions>).await;
        started.map_err(|error| refused(error, key))?;
        self.known(key).await
    }

    async fn halt(&self, key: &str, grace: Duration) -> Result<()> {
        let seconds = i32::try_from(grace.as_secs().max(u64::from(!grace.is_zero()))).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        // Docker answers when it has stopped, and so later than anything else.
        let docker = self.docker.clone().with_timeout(grace.saturating_add(ANSWER));
        docker.stop_container(key, Some(options)).await.map_err(|error| refused(error, key))
    }
}

#[async_trait]
impl Driver for DockerDriver {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn list(&self) -> Result<Vec<Found>> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let containers = self.docker.list_containers(Some(options)).await.map_err(Error::failed)?;
        let mut found = Vec::with_capacity(containers.len());
        for one in containers.into_iter().map(convert::listed) {
            if one.instance.is_some() {
                found.push(one);
                continue;
            }
            // What a foreign one was given is in no list.
            match self.docker.inspect_container(&one.key, None::<InspectContainerOptions>).await {
                Ok(container) => found.push(convert::inspected(container)),
                // It has gone meanwhile.
                Err(error) if status(&error) == Some(404) => {}
                Err(error) => return Err(Error::failed(error)),
            }
        }
        Ok(found)
    }

    async fn create(&self, spec: &Spec) -> Result<Found> {
        spec.check()?;
        let there = match self.of_instance(spec.instance).await? {
            Some(there) => there,
            None => self.make(spec).await?,
        };
        // Made and never started: the agent was killed in between.
        if there.state == FoundState::Other("created".to_owned()) {
            self.run(&there.key).await
        } else {
            Ok(there)
        }
    }

    async fn start(&self, key: &str) -> Result<Found> {
        self.known(key).await?;
        self.run(key).await
    }

    async fn stop(&self, key: &str, grace: Duration) -> Result<Found> {
        self.known(key).await?;
        self.halt(key, grace).await?;
        self.known(key).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        if self.ours(key).await?.is_none() {
            return Ok(());
        }
        // What cannot be stopped is removed by force.
        if let Err(Error::NotFound { .. }) = self.halt(key, DELETE_GRACE).await {
            return Ok(());
        }
        let options = RemoveContainerOptionsBuilder::default().v(true).force(true).build();
        match self.docker.remove_container(key, Some(options)).await {
            Err(error) if status(&error) == Some(404) => Ok(()),
            removed => removed.map_err(|error| refused(error, key)),
        }
    }

    async fn load_image(&self, url: &str) -> Result<ImageFound> {
        let none = || Error::NoSuchImage { image: url.to_owned() };
        let reference = Reference::new(url).ok_or_else(none)?;
        let mut options = CreateImageOptionsBuilder::default().from_image(reference.repository);
        if let Some(tag) = reference.tag {
            options = options.tag(tag);
        }
        let why = |error| if status(&error) == Some(404) { none() } else { Error::failed(error) };
        let pulled = self.docker.create_image(Some(options.build()), None, None);
        pulled.try_for_each(|_| std::future::ready(Ok(()))).await.map_err(why)?;
        let image = self.docker.inspect_image(&reference.full()).await.map_err(why)?;
        Ok(convert::image(image.id.unwrap_or_default(), Some(url.to_owned()), image.size.unwrap_or(0)))
    }

    async fn save_image(&self, key: &str, image: Uuid) -> Result<ImageFound> {
        let tag = image.to_string();
        let reference = format!("{SAVED}:{tag}");
        if let Some(there) = self.image_of(&reference).await? {
            return Ok(there);
        }
        self.known(key).await?;
        let options =
            CommitContainerOptionsBuilder::default().container(key).repo(SAVED).tag(&tag).pause(true);
        // Docker answers when all of it is written.
        let docker = self.docker.clone().with_timeout(SAVE);
        let saved = docker.commit_container(options.build(), convert::nobodys()).await;
        saved.map_err(|error| refused(error, key))?;
        self.image_of(&reference).await?.ok_or(Error::NoSuchImage { image: reference })
    }

    async fn delete_image(&self, key: &str) -> Result<()> {
        if Reference::new(key).is_none() {
            return Ok(());
        }
        match self.docker.remove_image(key, None::<RemoveImageOptions>, None).await {
            Err(error) if status(&error) == Some(404) => Ok(()),
            removed => removed.map(drop).map_err(|error| refused(error, key)),
        }
    }

    async fn images(&self) -> Result<Vec<ImageFound>> {
        let images = self.docker.list_images(None::<ListImagesOptions>).await.map_err(Error::failed)?;
        let found = |image: bollard::models::ImageSummary| {
            convert::image(image.id, image.repo_tags.into_iter().next(), image.size)
        };
        Ok(images.into_iter().map(found).collect())
    }
}

const fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What Docker's refusal to change something means.
fn refused(error: bollard::errors::Error, what: &str) -> Error {
    use bollard::errors::Error::DockerResponseServerError as Answer;
    match error {
        Answer { status_code: 404, .. } => Error::NotFound { key: what.to_owned() },
        Answer { status_code: 409, message } => Error::InTheWay { what: what.to_owned(), reason: message },
        error => Error::failed(error),
    }
}
