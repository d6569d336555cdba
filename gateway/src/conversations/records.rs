//! Conversation records for the workers: with their secrets opened, but in a cluster without the models' keys.

use bytes::Bytes;
use ports::rpc::{self, Call, Code, Fault};
use ports::subjects;
use readmodel::index::persistence_dir;
use serde_json::Value;
use types::SandboxId;
use types::calls::{RecordCall, WorkingCopy};
use types::conversation::Record;

use super::keys::leave_out_keys;
use super::sealing::Sealer;
use crate::App;

const BROKEN: &str = "A stored secret of this conversation cannot be opened: the server's secret key \
(OH_SECRET_KEY) is not the one it was sealed with. Give the server that key back as a previous one, or set the \
model and the secrets again.";

/// Answers workers until the server stops.
///
/// # Errors
/// `Unavailable` without a bus.
pub(crate) async fn serve(app: &App) -> ports::Result<()> {
    let answering = app.clone();
    let handler = move |call: Call<RecordCall>| {
        let app = answering.clone();
        async move { answer(&app, call).await.map(|body| (body, Bytes::new())) }
    };
    let serving = rpc::serve(app.ports.bus.clone(), subjects::ALL_RECORDS, Some("gateways"), handler).await?;
    app.tasks.spawn(app.drain.clone().run_until_cancelled_owned(serving));
    Ok(())
}

async fn answer(app: &App, call: Call<RecordCall>) -> Result<Value, Fault> {
    let sandbox = call.subject.strip_prefix("mh.rec.").and_then(SandboxId::parse);
    let sandbox = sandbox.ok_or_else(|| Fault::new(Code::BadRequest, "the subject names no sandbox"))?;
    match call.body {
        RecordCall::Open { conversation } => {
            let record = app.index.read(conversation).await?;
            let record = record.filter(|record| record.sandbox == sandbox);
            let record = record.ok_or_else(|| Fault::new(Code::NotFound, "no such conversation"))?;
            serde_json::to_value(working_copy(app, record)).map_err(Fault::internal)
        }
        RecordCall::SetTitle { conversation, title } => {
            app.index
                .update(conversation, |record| {
                    let wanted = record.sandbox == sandbox && record.title.is_none();
                    if wanted {
                        record.title = Some(title.clone());
                    }
                    wanted
                })
                .await?;
            Ok(Value::Null)
        }
    }
}

fn working_copy(app: &App, mut record: Record) -> WorkingCopy {
    let sealer = Sealer::new(&app.vault, record.id);
    let is_complete = sealer.open_object(&mut record.agent);
    let are_complete = sealer.open_sources(&mut record.secrets);
    if app.sandboxes.are_many() {
        leave_out_keys(&mut record.agent);
    }
    WorkingCopy {
        conversation: record.id,
        working_dir: record.workspace.working_dir,
        persistence_dir: persistence_dir(&app.config.conversations_path, record.id),
        agent: record.agent,
        max_iterations: record.max_iterations,
        stuck_detection: record.stuck_detection,
        confirmation_policy: record.confirmation_policy,
        security_analyzer: record.security_analyzer,
        secrets: record.secrets,
        autotitle: record.autotitle,
        title: record.title,
        broken_secret: (!is_complete || !are_complete).then(|| BROKEN.to_owned()),
    }
}
