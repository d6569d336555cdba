//! A test's own corner of something that runs instances.

use std::time::Duration;

use manyhands_supervisor::{Driver, Found, Instance, InstanceState, Launch, StartError};
use tokio::time::timeout;
use types::placement::Credentials;
use types::{Epoch, SandboxId};

pub const PATIENCE: Duration = Duration::from_secs(30);

pub trait Place: Sized {
    type Driver: Driver + 'static;

    /// Whose workers run `script`, in their sandbox' folder.
    async fn begin(script: &str) -> Self;

    fn driver(&self) -> &Self::Driver;

    /// Another supervisor's, which knows nothing of the first.
    async fn another(&self) -> Self::Driver;

    /// One of another cluster that has the same name; the first one's mark is none of its own.
    async fn marked(&self, mark: &str) -> Self::Driver;

    /// Another cluster in the same place.
    async fn beside(&self) -> Self;

    /// How many volumes of sandboxes' files there are.
    async fn volumes(&self) -> usize;

    /// Everything that the cluster has made.
    async fn remove_all(&self) -> ports::Result<()>;

    async fn try_out(&self) -> Result<(), StartError>;

    /// Starts an instance and waits until its worker knows what it is to do.
    async fn run(&self, launch: &Launch) {
        start(self.driver(), launch).await;
    }

    async fn states(&self) -> Vec<InstanceState> {
        states(self.driver()).await
    }

    async fn until(&self, condition: impl AsyncFn() -> bool) {
        let waiting = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap();
    }

    /// Waits until it has written `text`.
    async fn log_with(&self, instance: &Instance, text: &str) -> String {
        self.until(async || self.driver().log(instance).await.contains(text)).await;
        self.driver().log(instance).await
    }
}

pub async fn states(driver: &impl Driver) -> Vec<InstanceState> {
    driver.list().await.unwrap().into_iter().map(|found| found.state).collect()
}

/// As a supervisor does: what runs untold is started once more.
pub async fn start(driver: &impl Driver, launch: &Launch) {
    driver.start(launch).await.unwrap();
    let mut last = None;
    let telling = async {
        loop {
            let found = driver.find(&launch.instance.sandbox).await.unwrap();
            let own = found.into_iter().find(|found| found.instance == launch.instance);
            match own.map(|Found { state, .. }| state) {
                Some(InstanceState::Untold) => match driver.start(launch).await {
                    Ok(()) => {}
                    Err(StartError::Unavailable(why)) => last = Some(why),
                    Err(error) => panic!("{error}"),
                },
                Some(InstanceState::Pending(_)) => {}
                _ => return,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let told = timeout(PATIENCE, telling).await;
    assert!(told.is_ok(), "it does not run: {last:?}");
}

pub fn launch(sandbox: &str, epoch: u64) -> Launch {
    let credentials = Credentials {
        jwt: "canary-jwt".to_owned(),
        seed: "canary-seed".to_owned(),
        inbox_prefix: format!("_INBOX_{sandbox}_{epoch}"),
    };
    let instance = Instance { sandbox: SandboxId::parse(sandbox).unwrap(), epoch: Epoch(epoch) };
    Launch { instance, credentials: Some(credentials) }
}
