//! `manyhands`: the one binary. Each subcommand has a file of its own.

mod banner;
mod catalogue;
mod client;
#[cfg(feature = "cluster")]
mod cluster;
mod deferred;
mod descriptors;
mod doctor;
mod environment;
mod first_process;
mod in_process;
mod moving;
mod observe;
mod peer_flags;
mod probe;
mod runtime;
mod serve;
mod serving;
mod settings;
mod signals;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use environment::StandardInput;
use settings::Settings;

/// Exit status for unusable settings, of sysexits.h.
const EX_USAGE: u8 = 64;

const EXAMPLES: &str = "Examples:
  manyhands                        start a server on http://127.0.0.1:8000
  manyhands run \"Look around\"      see an agent work, without a server (LLM_MODEL and LLM_API_KEY name its model)
  manyhands conversations          list what agents have worked on
  manyhands acp                    be the agent of an editor
  manyhands doctor                 check this machine
  manyhands help run               more about one of them";

/// A server for coding agents: conversations, their events, and the workspaces they work in.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole server in this process (what happens without a subcommand).
    Serve(serve::Options),
    Run(client::RunOptions),
    Conversations(client::ConversationsOptions),
    Acp(client::AcpOptions),
    /// Checks what a server that is started in this folder needs, and says what to do; it makes nothing.
    Doctor(serve::Reach),
    /// Prints all settings: what each may be, and what it does.
    Settings,
    /// Asks a server whether it is well, for health checks.
    Probe(probe::Options),
    /// Takes over what another agent server has kept in its folders.
    Import(moving::ImportOptions),
    /// Writes what is kept here into folders that such a server reads.
    Export(moving::ExportOptions),
    /// Prints completions for a shell
    Completions {
        shell: client::Shell,
    },
    /// Prints the manual page
    Man,
    #[cfg(feature = "cluster")]
    Try(client::TryOptions),
    /// Runs a cluster's edge; any number of them serve the same conversations.
    #[cfg(feature = "cluster")]
    Gateway(serve::Options),
    /// Starts and stops a cluster's workers.
    #[cfg(feature = "cluster")]
    Supervisor,
    /// Ends a cluster's workers, once its supervisors are stopped and before the rest is taken down.
    #[cfg(feature = "cluster")]
    End,
    /// Lets workers without a network reach NATS.
    #[cfg(feature = "cluster")]
    Door(cluster::door::Options),
    /// Runs one sandbox's worker; the supervisor starts it.
    #[cfg(feature = "cluster")]
    Worker(cluster::worker::Options),
    /// Puts this program where the container of a sandbox starts it as its worker.
    #[cfg(feature = "cluster")]
    Install(cluster::install::Options),
    /// Makes the keys of a cluster, once.
    #[cfg(feature = "cluster")]
    Init(cluster::init::Options),
    /// Takes keys and credentials of a cluster back.
    #[cfg(feature = "cluster")]
    Revoke(cluster::revoke::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start(arguments.command.unwrap_or(Command::Serve(arguments.serve))).unwrap_or_else(|error| {
        eprintln!("manyhands: {error:#}");
        match error.is::<BadSettings>() || error.is::<settings::Invalid>() {
            true => ExitCode::from(EX_USAGE),
            false if error.is::<client::Usage>() => ExitCode::from(client::EX_USAGE),
            false => ExitCode::FAILURE,
        }
    })
}

fn start(command: Command) -> anyhow::Result<ExitCode> {
    let ended = match command {
        Command::Serve(_) => first_process::stand_before_server()?,
        // A pod has no other init.
        #[cfg(feature = "cluster")]
        Command::Worker(_) => first_process::stand_before_server()?,
        _ => None,
    };
    ended.map_or_else(|| run(command), Ok)
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(options) => {
            if let Some(status) = options.peer.answered() {
                return Ok(status);
            }
            let told = Told::unchosen()?;
            // Not before: the process may have started itself anew.
            options.peer.explain();
            match told.settings.init.has_waited {
                true => deferred::run(options, told.settings, told.source, told.own),
                false => serve::run(options, told.chosen().settings),
            }
        }
        Command::Run(options) => client::run(options, Told::for_client()?),
        Command::Conversations(options) => client::conversations(options, Told::for_client()?),
        Command::Acp(options) => client::acp(options, Told::for_client()?),
        Command::Completions { shell } => client::completions(shell, Arguments::command()),
        Command::Man => client::manual(Arguments::command()),
        Command::Doctor(reach) => Told::by_environment()?.diagnose(&reach),
        Command::Settings => {
            print!("{}", settings::page());
            Ok(ExitCode::SUCCESS)
        }
        Command::Probe(options) => probe::run(&options),
        Command::Import(options) => {
            let (settings, to) = Told::by_environment()?.store()?;
            moving::import(&options, settings, to)
        }
        Command::Export(options) => {
            let (settings, from) = Told::by_environment()?.store()?;
            moving::export(&options, settings, from)
        }
        #[cfg(feature = "cluster")]
        Command::Try(options) => client::try_server(options, Told::for_client()?),
        #[cfg(feature = "cluster")]
        Command::Gateway(options) => {
            if let Some(status) = options.peer.answered() {
                return Ok(status);
            }
            let told = Told::by_environment()?;
            options.peer.explain();
            let cluster = told.in_cluster("gateway")?;
            cluster::gateway::run(&options, told.settings, &cluster)
        }
        #[cfg(feature = "cluster")]
        Command::Supervisor => {
            let told = Told::by_environment()?;
            cluster::supervisor::run(&told.settings, &told.in_cluster("supervisor")?)
        }
        #[cfg(feature = "cluster")]
        Command::End => {
            let told = Told::by_environment()?;
            cluster::supervisor::end(&told.settings, &told.in_cluster("supervisor")?)
        }
        #[cfg(feature = "cluster")]
        Command::Door(options) => {
            let told = Told::by_environment()?;
            cluster::door::run(&options, &told.settings, &told.in_cluster("door")?)
        }
        #[cfg(feature = "cluster")]
        Command::Worker(options) => cluster::worker::run(&options),
        #[cfg(feature = "cluster")]
        Command::Install(options) => cluster::install::run(&options),
        #[cfg(feature = "cluster")]
        Command::Init(options) => {
            let told = Told::by_environment()?;
            let cluster = told.means_cluster.then(|| told.in_cluster("operator"));
            cluster::init::run(&options, &told.source, &told.settings, cluster.transpose()?.as_ref())
        }
        #[cfg(feature = "cluster")]
        Command::Revoke(options) => {
            let told = Told::by_environment()?;
            cluster::revoke::run(&options, &told.source, &told.in_cluster("operator")?)
        }
    }
}

/// What the environment and the config file say.
struct Told {
    settings: Settings,
    source: settings::Source,
    /// What is stored is in a cluster.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "it is refused"))]
    means_cluster: bool,
    /// The whole environment.
    own: Environment,
}

type Environment = BTreeMap<OsString, OsString>;
type Load = fn(BTreeMap<String, String>) -> anyhow::Result<settings::Source>;

impl Told {
    fn by_environment() -> anyhow::Result<Self> {
        Ok(Self::unchosen()?.chosen())
    }

    /// Of whoever is at the terminal: standard input is theirs.
    fn for_client() -> anyhow::Result<client::Told> {
        let Self { settings, source, .. } = Self::with(StandardInput::Read, settings::load_named)?.chosen();
        Ok(client::Told { settings, source })
    }

    /// Before it is chosen what programs of agents inherit.
    fn unchosen() -> anyhow::Result<Self> {
        Self::with(StandardInput::Unused, settings::load)
    }

    fn with(input: StandardInput, load: Load) -> anyhow::Result<Self> {
        let variables = environment::take(input).context(BadSettings)?;
        let own = environment::whole(&variables);
        let source = load(variables).context(BadSettings)?;
        let means_cluster =
            settings::means_cluster(&source, cfg!(feature = "cluster")).context(BadSettings)?;
        let settings = Settings::from_source(&source).context(BadSettings)?;
        settings.check_waiting().context(BadSettings)?;
        Ok(Self { settings, source, means_cluster, own })
    }

    fn chosen(mut self) -> Self {
        child_environment::choose(&self.settings.inherited, std::mem::take(&mut self.own));
        self
    }

    #[cfg(feature = "cluster")]
    fn in_cluster(&self, role: &str) -> anyhow::Result<cluster::settings::Cluster> {
        if self.settings.init.has_waited {
            let what = "cannot be used in a cluster: its parts are told their settings when they are started";
            return Err(settings::Invalid::new("deferred_init", what)).context(BadSettings);
        }
        cluster::settings::Cluster::from_source(&self.source, role).context(BadSettings)
    }

    /// Where what is kept is: on NATS, where that is set.
    fn store(self) -> anyhow::Result<(Settings, moving::Where)> {
        #[cfg(feature = "cluster")]
        if self.means_cluster {
            let cluster = self.in_cluster("gateway")?;
            return Ok((self.settings, moving::Where::Cluster(Box::new(cluster))));
        }
        Ok((self.settings, moving::Where::Files))
    }

    fn diagnose(self, reach: &serve::Reach) -> anyhow::Result<ExitCode> {
        #[cfg(feature = "cluster")]
        if self.means_cluster {
            return doctor::run_in_cluster(self.settings, &self.source);
        }
        doctor::run(reach, &self.settings, &self.source)
    }
}

#[derive(Debug)]
struct BadSettings;

impl std::fmt::Display for BadSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the settings cannot be used")
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, CommandFactory};

    #[test]
    fn the_command_line_is_well_defined() {
        Arguments::command().debug_assert();
    }
}
