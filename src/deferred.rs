//! A server that is started without its settings: it waits until they are told, and then begins as any other. What it answers
//! until then is in [`gateway::dormant`].

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use child_environment::{Rule, Verdict, is_variable};
use gateway::dormant::{Asked, InitRequest, Waiting};
use secrecy::SecretString;
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use crate::descriptors::Descriptors;
use crate::serve::{self, Options, Prepared};
use crate::settings::{Settings, Source};
use crate::signals::stop_on_signal;
use crate::{Environment, banner, observe, serving};

/// What the server was started with.
struct Boot {
    /// What is told later does not say so.
    may_be_open: bool,
    source: Source,
    own: Environment,
    files: Descriptors,
    bound: SocketAddr,
}

/// The settings that a call has told, and the environment that goes with them.
struct Told {
    settings: Settings,
    own: Environment,
}

/// Why a call is not followed.
enum Refusal {
    /// It cannot be meant.
    Unfit(String),
    /// What it says cannot be done here.
    Failed(anyhow::Error),
}

/// Serves until SIGTERM or SIGINT; `boot` is what `source` says.
///
/// # Errors
/// What kept the server from starting, or from stopping in order.
pub fn run(options: Options, boot: Settings, source: Source, own: Environment) -> anyhow::Result<ExitCode> {
    let _traces = observe::start("manyhands", &boot)?;
    serve::to_its_end(wait(options, boot, source, own))
}

async fn wait(options: Options, boot: Settings, source: Source, own: Environment) -> anyhow::Result<()> {
    let files = Descriptors::raise();
    let address = serving::address(&options.reach, &boot).await?;
    ensure!(
        options.static_dir.is_none() && !options.ticket,
        "--static-dir and --ticket go with a server that has its settings from the start"
    );
    let stop = stop_on_signal()?;
    let checked = serving::checked(until_told(&boot, files)?)?;
    let may_be_open = serving::may_be_open(&options.reach, &boot);
    drop(boot);
    let listener = serve::listen(address).await?;
    let bound = listener.local_addr()?;
    let mut waiting = Waiting::on(listener, checked, &stop);
    banner::of_waiting(bound);
    let boot = Boot { may_be_open, source, own, files, bound };
    let Some((asked, prepared, own)) = told(&mut waiting, &boot, &stop).await else {
        waiting.close().await;
        return Ok(());
    };
    // They hold keys, and nobody needs them any more.
    drop(boot);
    serve_told(waiting, asked, prepared, own, &stop).await
}

/// The first call by whose settings a server can start. `None`: it is to stop.
async fn told(
    waiting: &mut Waiting,
    boot: &Boot,
    stop: &CancellationToken,
) -> Option<(Asked, Prepared, Environment)> {
    while let Some(asked) = next(waiting, stop).await {
        match prepare(boot, asked.request()).await {
            Ok((prepared, own)) => return Some((asked, prepared, own)),
            Err(Refusal::Unfit(why)) => asked.refuse(why),
            Err(Refusal::Failed(error)) => asked.fail(format!("{error:#}")),
        }
    }
    None
}

async fn prepare(boot: &Boot, request: &InitRequest) -> Result<(Prepared, Environment), Refusal> {
    let Told { settings, own } = tell(&boot.source, &boot.own, request)?;
    serving::check_reach(boot.bound.ip(), boot.may_be_open, settings.is_open())
        .map_err(|error| Refusal::Unfit(error.to_string()))?;
    let prepared = Prepared::of(settings, boot.files).await.map_err(Refusal::Failed)?;
    Ok((prepared, own))
}

/// From here on there is no way back: what programs inherit is chosen once.
async fn serve_told(
    waiting: Waiting,
    asked: Asked,
    prepared: Prepared,
    own: Environment,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    child_environment::choose(&prepared.settings().inherited, own);
    match prepared.start(stop).await {
        Ok(running) => {
            let listener = waiting.end(asked).await.context("waiting for settings has panicked")?;
            tracing::info!("the settings are told, serving");
            running.serve(listener).await
        }
        Err(error) => {
            asked.give_up(format!("{error:#}"));
            waiting.close().await;
            Err(error)
        }
    }
}

async fn next(waiting: &mut Waiting, stop: &CancellationToken) -> Option<Asked> {
    stop.run_until_cancelled(waiting.asked()).await.flatten()
}

/// Who has the key is no stranger: what guards a server without keys against pages is not needed. Without one it is: tokens count
/// only when there are settings.
fn until_told(boot: &Settings, files: Descriptors) -> anyhow::Result<gateway::Config> {
    let workspace_path = std::path::absolute(&boot.workspace_path)?;
    // Nothing is signed or sealed until then.
    let no_key = SecretString::from("");
    let mut config = serving::gateway(no_key, boot, Metrics::of_gateway(), files, workspace_path, true);
    config.site.bearer = None;
    if let Some(keys) = &boot.init.key {
        config.keys = keys.clone();
    }
    Ok(config)
}

/// What is told lies over what the server was started with.
fn tell(source: &Source, own: &Environment, request: &InitRequest) -> Result<Told, Refusal> {
    let (mut source, mut own) = (source.clone(), own.clone());
    let mut passed = Vec::new();
    for (name, value) in request.env.iter().flatten() {
        if !is_variable(name) || value.contains('\0') {
            return Err(Refusal::Unfit(
                "env must hold names of variables, and values without NUL".to_owned(),
            ));
        }
        // What is meant for the server is a setting, and no program's.
        source.set_variable(name, value);
        if Rule::default().judge(name.as_ref(), value.as_ref()) != Verdict::OfTheServer {
            own.insert(name.into(), value.into());
            passed.push(name.clone());
        }
    }
    if request.session_api_keys.is_some() {
        source.unset_variable("SESSION_API_KEY");
    }
    for (field, value) in settings_in(request) {
        source.set(field, &value);
    }
    let unfit = |error: &dyn std::fmt::Display| Refusal::Unfit(error.to_string());
    let mut settings = Settings::from_source(&source).map_err(|error| unfit(&error))?;
    passed.extend_from_slice(settings.inherited.further());
    settings.inherited = Rule::new(&passed).map_err(|error| unfit(&error))?;
    // Also where what is told says otherwise.
    settings.init.has_waited = true;
    Ok(Told { settings, own })
}

/// By their fields, as the environment would have them. A blank secret key is none.
fn settings_in(request: &InitRequest) -> impl Iterator<Item = (&'static str, String)> {
    let list = |items: &Option<Vec<String>>| items.as_ref().map(|items| serde_json::json!(items).to_string());
    let secret_key = request.secret_key.clone().filter(|key| !key.trim().is_empty());
    [
        ("session_api_keys", list(&request.session_api_keys)),
        ("secret_key", secret_key),
        ("previous_secret_keys", list(&request.previous_secret_keys)),
        ("conversations_path", request.conversations_path.clone()),
        ("bash_events_dir", request.bash_events_dir.clone()),
        ("conversation_worktree_root", request.conversation_worktree_root.clone()),
        ("webhooks", request.webhooks.as_ref().map(|hooks| serde_json::json!(hooks).to_string())),
        ("web_url", request.web_url.clone()),
        ("allow_cors_origins", list(&request.allow_cors_origins)),
        ("max_concurrent_runs", request.max_concurrent_runs.map(|runs| runs.to_string())),
    ]
    .into_iter()
    .filter_map(|(field, value)| Some((field, value?)))
}
