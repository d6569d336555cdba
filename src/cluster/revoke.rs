//! `manyhands revoke`: takes keys and credentials back before they end, and tells NATS.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use credentials::{Part, Revocation, UPDATE_SUBJECT, Who};

use super::init::Shown;
use super::settings::Cluster;
use crate::settings::Source;

#[derive(clap::Args)]
pub struct Options {
    /// Where the keys are, those of the operator among them
    #[arg(long, default_value = "keys")]
    dir: PathBuf,
    /// `gateway`, `supervisor` or `workers`: the key, for which there will be another; or a file with credentials
    /// that leaked, or with their token alone
    #[arg(required = true)]
    who: Vec<String>,
    #[cfg(feature = "kubernetes")]
    #[command(flatten)]
    place: super::secrets::Place,
}

/// Writes down what is taken back, makes new keys, and has NATS close the connections of the old ones.
///
/// # Errors
/// The keys or files cannot be used; or NATS could not be told, which the same command again makes up for.
pub fn run(options: &Options, source: &Source, cluster: &Cluster) -> anyhow::Result<ExitCode> {
    #[cfg(not(feature = "kubernetes"))]
    let _ = source;
    let who: Vec<_> = options.who.iter().map(|text| named(text)).collect();
    #[cfg(feature = "kubernetes")]
    if let Some(release) = options.place.release() {
        return options.place.with_folder(release, source, |dir, keep| {
            take_back(&Shown::secrets(dir, release), cluster, &who, keep)
        });
    }
    take_back(&Shown::folder(&options.dir), cluster, &who, &mut || Ok(()))
}

/// `keep` brings what is in the folder to where it is kept: before NATS is told of it, and after.
fn take_back(
    shown: &Shown<'_>,
    cluster: &Cluster,
    who: &[Who],
    keep: &mut dyn FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let revocation = credentials::revoke(shown.dir, who)?;
    keep()?;
    for path in &revocation.files {
        println!("wrote {}", shown.name(path));
    }
    tell(shown.dir, cluster, &revocation).context(
        "all is written down, but NATS does not know of it: give the same command again when it can be reached",
    )?;
    println!("NATS lets in no more what was taken back, and has closed its connections.");
    for part in &revocation.renewed {
        println!("{}", advice(*part));
    }
    revocation.sent()?;
    keep()?;
    Ok(ExitCode::SUCCESS)
}

fn named(text: &str) -> Who {
    match text {
        "gateway" => Who::Part(Part::Gateway),
        "supervisor" => Who::Part(Part::Supervisor),
        "workers" => Who::Part(Part::Workers),
        file => Who::Credentials(file.into()),
    }
}

/// Tells NATS of the account as it is now.
///
/// # Errors
/// As [`run`].
pub fn tell_of_account(dir: &Path, cluster: &Cluster) -> anyhow::Result<()> {
    tell(dir, cluster, &credentials::revoke(dir, &[])?)
}

fn tell(dir: &Path, cluster: &Cluster, revocation: &Revocation) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(send(dir, cluster, revocation))
}

async fn send(dir: &Path, cluster: &Cluster, revocation: &Revocation) -> anyhow::Result<()> {
    let keys = credentials::Keys::load(&credentials::folder::operator_path(dir))?;
    let connection = super::connect_with(Some(keys.system_credentials()?), cluster, "revoke").await?;
    let answer = connection.request(UPDATE_SUBJECT, revocation.token.clone().into()).await?;
    credentials::accepted(&answer)?;
    connection.drain().await;
    Ok(())
}

fn advice(part: Part) -> &'static str {
    match part {
        Part::Gateway => {
            "Restart all gateways: gateway/credentials.json has the new key. Copy it to where they run elsewhere."
        }
        Part::Supervisor => {
            "Restart all supervisors: supervisor/credentials.json has the new key. Copy it to where they run elsewhere."
        }
        Part::Workers => {
            "Supervisors sign workers with the new key in supervisor/minter.json from now on; copy it to where they \
             run elsewhere. Workers of the old one are replaced within 20 seconds."
        }
    }
}
