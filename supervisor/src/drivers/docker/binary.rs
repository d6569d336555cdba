//! The worker's program, in a volume that all workers see and none can write to, so that any image can be a sandbox.
//!
//! Each program has a volume of its own, named by its contents: a newer one comes beside the one that still runs, which goes
//! once no container has it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bollard::{Docker, body_try_stream};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::labels::{self, Labels};
use super::{Config, error};
use crate::StartError;
use crate::drivers::inside::{PROGRAM, PROGRAM_FOLDER};

const NAME: &str = "worker";

const PIECE: usize = 256 * 1024;

pub struct WorkerBinary {
    path: PathBuf,
    cluster: String,
    labels: Labels,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The volume that has it, once that is certain.
    installed: Option<String>,
    /// Whether an older program's volume was still used when that was looked at last.
    has_older: bool,
}

struct Program {
    volume: String,
    bytes: u64,
}

impl WorkerBinary {
    pub fn new(config: &Config) -> Self {
        let (path, cluster) = (config.binary.clone(), config.cluster.clone());
        Self { path, cluster, labels: labels::of_program(config), state: Mutex::default() }
    }

    /// Puts the program into its volume unless it is there, and answers the volume's name. `image` is any that is there: a
    /// container of it is made for the copy, and never started.
    ///
    /// # Errors
    /// As [`crate::Driver::start`].
    pub async fn install(&self, docker: &Docker, image: &str) -> Result<String, StartError> {
        let mut state = self.state.lock().await;
        if let Some(volume) = &state.installed {
            return Ok(volume.clone());
        }
        let (path, cluster) = (self.path.clone(), self.cluster.clone());
        let program = spawn_blocking(move || Program::read(&path, &cluster)).await;
        let program = program.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
        self.make_helper(docker, &program.volume, image).await?;
        let copied = self.copy(docker, &program).await;
        let removed = remove(docker, &program.volume).await;
        copied?;
        removed?;
        state.has_older = self.remove_all_but(docker, &program.volume).await;
        Ok(state.installed.insert(program.volume).clone())
    }

    /// Makes the next start look again.
    pub async fn forget(&self) {
        self.state.lock().await.installed = None;
    }

    /// To be called when a container has gone: it may have been the last one with an older program.
    pub async fn tidy(&self, docker: &Docker) {
        let mut state = self.state.lock().await;
        let State { installed: Some(current), has_older: true } = &*state else { return };
        state.has_older = self.remove_all_but(docker, current).await;
    }

    /// Of a cluster that is taken down.
    ///
    /// # Errors
    /// `Unavailable` while a container has one.
    pub async fn remove(&self, docker: &Docker) -> ports::Result<()> {
        self.forget().await;
        match self.remove_all_but(docker, "").await {
            true => Err(ports::Error::Unavailable("a container still has the workers' program".to_owned())),
            false => Ok(()),
        }
    }

    /// Whether some are left: the engine removes none that a container has.
    async fn remove_all_but(&self, docker: &Docker, current: &str) -> bool {
        let labels = self.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let options = ListVolumesOptionsBuilder::default().filters(&[("label", labels)].into()).build();
        let found = docker.list_volumes(Some(options)).await.ok().and_then(|found| found.volumes);
        let mut are_left = false;
        for volume in found.unwrap_or_default().into_iter().filter(|volume| volume.name != current) {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            are_left |= docker.remove_volume(&volume.name, Some(options)).await.is_err();
        }
        are_left
    }

    /// It is called as the volume is.
    async fn make_helper(&self, docker: &Docker, volume: &str, image: &str) -> Result<(), StartError> {
        let request = VolumeCreateRequest {
            name: Some(volume.to_owned()),
            labels: Some(self.labels.clone()),
            ..VolumeCreateRequest::default()
        };
        docker.create_volume(request).await.map_err(|error| error::start(error, image))?;
        // One may be left of a supervisor that was killed.
        remove(docker, volume).await?;
        let mount = Mount {
            typ: Some(MountType::VOLUME),
            source: Some(volume.to_owned()),
            target: Some(PROGRAM_FOLDER.to_owned()),
            ..Mount::default()
        };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec!["true".to_owned()]),
            labels: Some(labels::of_container(self.labels.clone())),
            network_disabled: Some(true),
            host_config: Some(HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(volume).build();
        docker
            .create_container(Some(options), body)
            .await
            .map(drop)
            .map_err(|error| error::start(error, image))
    }

    async fn copy(&self, docker: &Docker, program: &Program) -> Result<(), StartError> {
        let options = ContainerArchiveInfoOptionsBuilder::default().path(PROGRAM).build();
        let there = docker.get_container_archive_info(&program.volume, Some(options)).await;
        if there.is_ok_and(|file| u64::try_from(file.size) == Ok(program.bytes)) {
            return Ok(());
        }
        let archive = archive(&self.path, program).map_err(|error| unreadable(&error))?;
        let options = UploadToContainerOptionsBuilder::default().path(PROGRAM_FOLDER).build();
        let copied =
            docker.upload_to_container(&program.volume, Some(options), body_try_stream(archive)).await;
        copied.map_err(|error| error::start(error, ""))
    }
}

impl Program {
    fn read(path: &Path, cluster: &str) -> io::Result<Self> {
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        let mut file = BufReader::with_capacity(PIECE, File::open(path)?);
        while let piece @ [_, ..] = file.fill_buf()? {
            let length = piece.len();
            hash.update(piece);
            bytes += length as u64;
            file.consume(length);
        }
        let mut digest = types::hex(&hash.finalize());
        digest.truncate(16);
        Ok(Self { volume: format!("mh-{cluster}-bin-{digest}"), bytes })
    }
}

/// A tar archive that holds the program, read as it is sent.
fn archive(path: &Path, program: &Program) -> io::Result<impl Stream<Item = io::Result<Bytes>> + use<>> {
    let mut header = tar::Header::new_gnu();
    header.set_path(NAME)?;
    header.set_size(program.bytes);
    header.set_mode(0o555);
    header.set_cksum();
    let padding = usize::try_from(program.bytes.next_multiple_of(512) - program.bytes).unwrap_or_default();
    // Two empty blocks end an archive.
    let end = vec![0; padding + 1024];
    let begin = header.as_bytes().to_vec();
    let whole =
        io::Cursor::new(begin).chain(File::open(path)?.take(program.bytes)).chain(io::Cursor::new(end));
    Ok(stream::try_unfold(whole, |mut whole| async move {
        let read = spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            let count = whole.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            Ok::<_, io::Error>((count > 0).then(|| (Bytes::from(piece), whole)))
        });
        read.await.map_err(io::Error::other)?
    }))
}

async fn remove(docker: &Docker, helper: &str) -> Result<(), StartError> {
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    let removed = docker.remove_container(helper, Some(options)).await;
    error::gone(removed).map_err(|error| StartError::Unavailable(error.to_string()))
}

fn unreadable(error: &dyn std::error::Error) -> StartError {
    tracing::error!(%error, "the worker's program cannot be read");
    StartError::Failed("The worker's program cannot be read.".to_owned())
}
