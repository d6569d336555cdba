//! What the handlers are given. Each of them names the handles that it uses, as `State`; only the router knows all.

use std::sync::Arc;

use axum::extract::FromRef;
use control::acp::AcpModels;
use control::apps::Apps;
use control::catalogue::Catalogue;
use control::commands::Commands;
use control::conversations::Conversations;
use control::extensions::Extensions;
use control::launch::Launch;
use control::logins::Logins;
use control::mcp::McpServers;
use control::placement::{Creation, Workers};
use control::repositories::Repositories;
use control::setup::Setups;
use control::shelf::SecretHealth;
use control::tenant_secrets::TenantSecrets;
use control::workspaces::Workspaces;
use control::{Activity, Control, Rooms, Tasks};
use ports::Ports;
use readmodel::index::Index;
use telemetry::metrics::Metrics;

use crate::auth::Auth;
use crate::changes::Streams;
use crate::config::{Config, Init, Limits};
use crate::extract::JsonLimit;
use crate::feeds::Hub;
use crate::front::Front;
use crate::gate::Gate;
use crate::git::Git;
use crate::handles::{About, Editor, Facade, Files, Marketplaces, Showing, Sockets};
use crate::idempotency::{Idempotency, Met};
use crate::ingress::Ingress;
use crate::offer::{Offer, Offered};
use crate::readiness::Readiness;
use crate::reading::Reading;
use crate::ticket::Ticket;
use crate::ui::Ui;

/// All handles. Cheap to clone.
#[derive(Clone)]
pub struct App(pub(crate) Arc<Handles>);

pub(crate) struct Handles {
    pub about: About,
    pub commands: Commands,
    pub conversations: Conversations,
    pub editor: Editor,
    pub facade: Facade,
    pub files: Files,
    pub gate: Gate,
    pub git: Git,
    pub json_limit: JsonLimit,
    pub idempotency: Idempotency,
    pub ingress: Ingress,
    pub init: Init,
    pub limits: Limits,
    pub marketplaces: Marketplaces,
    pub metrics: Metrics,
    pub offer: Offer,
    pub readiness: Readiness,
    pub secret_health: SecretHealth,
    pub reading: Reading,
    pub rooms: Rooms,
    pub showing: Showing,
    pub sockets: Sockets,
    pub streams: Streams,
    pub tasks: Tasks,
    pub workers: Workers,
    pub activity: Activity,
    pub ticket: Ticket,
    pub ui: Ui,
}

impl App {
    pub(crate) fn new(config: Config, ports: &Ports, control: Control, gate: Gate) -> Self {
        let Control {
            tasks,
            index,
            history,
            conversations_path,
            workers,
            conversations,
            commands,
            rooms,
            activity,
            settled,
        } = control;
        let streams = Streams::new(&config);
        let runtimes = workers.placement().runtimes();
        let offer = Offer::new(Offered {
            tools: config.tools,
            workspace_path: config.workspace_path,
            has_containers: runtimes.has_containers,
        });
        // Where no program runs there is nothing to show.
        let runs_programs = workers.placement().creation() == Creation::Complete;
        let public_url = config.site.app_backend_public_url.as_deref().filter(|_| runs_programs);
        let ingress = Ingress::new(public_url);
        let is_encrypted = ingress.public().is_some_and(|public| public.origin.scheme == "https");
        if is_encrypted && !gate.front.trust_forwarded_headers {
            tracing::warn!(
                "no request arrives at the https origin of programs: X-Forwarded-Proto is not believed"
            );
        }
        let json_limit = JsonLimit(config.limits.json_bytes);
        let reading = Reading {
            index,
            history,
            log: ports.log.clone(),
            placement: workers.placement().clone(),
            conversations_path,
        };
        Self(Arc::new(Handles {
            about: About::new(&config.site, offer.clone(), runtimes, ingress.clone()),
            editor: Editor { config: config.editor, workers: workers.clone() },
            facade: Facade {
                conversations: conversations.clone(),
                launch: rooms.launch.clone(),
                offer: offer.clone(),
                reading: reading.clone(),
                setups: rooms.setups.clone(),
                tasks: tasks.clone(),
            },
            files: Files { workers: workers.clone(), activity: activity.clone(), tasks: tasks.clone() },
            git: Git::new(workers.clone(), activity.clone()),
            idempotency: Idempotency {
                kv: ports.kv.clone(),
                met: Met::default(),
                tasks: tasks.clone(),
                json_limit,
            },
            secret_health: rooms.shelves.health().clone(),
            readiness: Readiness::once(settled, ports.kv.clone()),
            sockets: Sockets {
                hub: Hub::new(ports, &tasks, config.limits.sockets_per_conversation),
                tasks: tasks.clone(),
                metrics: config.metrics.http.clone(),
                ping_every: config.limits.ping_every,
            },
            streams,
            metrics: config.metrics,
            marketplaces: Marketplaces(config.site.marketplaces.into()),
            showing: Showing { plain: config.site.plaintext_secrets },
            init: config.init,
            limits: config.limits,
            activity,
            commands,
            conversations,
            json_limit,
            ingress,
            offer,
            reading,
            rooms,
            tasks,
            ui: Ui::new(config.site.ui, &gate.auth, &gate.front.root_path),
            ticket: config.site.ticket,
            workers,
            gate,
        }))
    }
}

macro_rules! handles {
    ( $($handle:ident = $field:ident $(. $part:ident)*),* $(,)? ) => {
        $(impl FromRef<App> for $handle {
            fn from_ref(app: &App) -> Self {
                app.0.$field $(. $part)* .clone()
            }
        })*
    };
}

handles! {
    About = about,
    AcpModels = rooms.acp,
    Activity = activity,
    Apps = rooms.apps,
    Auth = gate.auth,
    Catalogue = rooms.catalogue,
    Commands = commands,
    Conversations = conversations,
    Editor = editor,
    Extensions = rooms.extensions,
    Facade = facade,
    Files = files,
    Front = gate.front,
    Gate = gate,
    Git = git,
    Index = reading.index,
    Idempotency = idempotency,
    Ingress = ingress,
    Init = init,
    JsonLimit = json_limit,
    Launch = rooms.launch,
    Logins = rooms.logins,
    Marketplaces = marketplaces,
    McpServers = rooms.mcp,
    Metrics = metrics,
    Offer = offer,
    Readiness = readiness,
    Reading = reading,
    Repositories = rooms.repositories,
    SecretHealth = secret_health,
    Setups = rooms.setups,
    Showing = showing,
    Sockets = sockets,
    Streams = streams,
    Tasks = tasks,
    TenantSecrets = rooms.secrets,
    Ticket = ticket,
    Ui = ui,
    Workers = workers,
    Workspaces = rooms.workspaces,
}
