//! What is found in folders, together with what is installed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use types::calls::{ExtensionAnswer, ExtensionCall, SkillSources, SkillsFound};
use types::extensions::{Contents, ExtensionKind, Offered, Plugin, Skill, SkillKind, SubAgent};
use types::secrets::MASK;
use types::{SandboxId, TenantId};

use super::{Extensions, GLANCE, built_in, hooks, strange};
use crate::Refusal;

/// Names of addresses that an agent is told of.
const FOR_AGENTS: &str = "WORKER_";

/// The file of the public catalogue that names its skills, where nobody says another.
const DEFAULT_CATALOGUE: &str = "marketplaces/default.json";

/// What a launch waits for a worker.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Which skills somebody wants to see.
#[derive(Default)]
pub struct SkillsWanted {
    pub sources: SkillSources,
    pub exposed: Vec<Exposed>,
}

/// An address under which a program of the sandbox is reached.
pub struct Exposed {
    pub name: String,
    pub url: String,
    pub port: i64,
}

/// Skills, and how many each source had.
pub struct SkillsAnswer {
    pub skills: Vec<Skill>,
    pub sandbox: usize,
    pub marketplaces: usize,
    pub base: usize,
    pub organizations: usize,
    pub project: usize,
}

impl Extensions {
    /// # Errors
    /// Those of the worker, where there is something to look for, and of the store.
    pub async fn skills(&self, tenant: &TenantId, wanted: SkillsWanted) -> Result<SkillsAnswer, Refusal> {
        let SkillsWanted { sources, exposed } = wanted;
        let looks = sources.user
            || sources.public
            || !sources.marketplaces.is_empty()
            || !sources.organizations.is_empty()
            || sources.project_dir.is_some();
        let with_installed = sources.user;
        let mut found = SkillsFound::default();
        if looks {
            let sandbox = self.at(tenant, sources.project_dir.as_deref()).await?;
            found = match self.ask(&sandbox, &ExtensionCall::Skills(sources)).await?.0 {
                ExtensionAnswer::Skills(found) => found,
                _ => return Err(strange()),
            };
        }
        if with_installed {
            self.add_installed_skills(tenant, &mut found.user).await?;
        }
        let sandbox = hosts(&exposed);
        let base = merged([found.public, found.user]);
        Ok(SkillsAnswer {
            sandbox: sandbox.len(),
            marketplaces: found.marketplaces.len(),
            base: base.len(),
            organizations: found.organizations.len(),
            project: found.project.len(),
            skills: merged([sandbox, found.marketplaces, base, found.organizations, found.project]),
        })
    }

    /// The skills that a new conversation may have wherever it is, each with whether it is a public one. A worker is asked only
    /// if it is awake.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn catalogue(&self, tenant: &TenantId) -> Result<Vec<(Skill, bool)>, Refusal> {
        self.seen_in(GLANCE, tenant, everywhere()).await
    }

    /// Those of them that are at hand, for who is to go on at once: nothing is fetched for it, and a worker that does not answer
    /// soon has none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn at_hand(&self, tenant: &TenantId) -> Result<Vec<(Skill, bool)>, Refusal> {
        self.seen_in(AT_ONCE, tenant, SkillSources { only_kept: true, ..everywhere() }).await
    }

    async fn seen_in(
        &self,
        patience: Duration,
        tenant: &TenantId,
        sources: SkillSources,
    ) -> Result<Vec<(Skill, bool)>, Refusal> {
        let sandbox = self.ground.workers.placement().seen_at(tenant, "").await?;
        let mut found = match self.glance_for(patience, &sandbox, &ExtensionCall::Skills(sources)).await {
            Ok(ExtensionAnswer::Skills(found)) => found,
            _ => SkillsFound::default(),
        };
        self.add_installed_skills(tenant, &mut found.user).await?;
        let of_user: HashSet<String> = found.user.iter().map(|skill| skill.name.clone()).collect();
        let all = merged([found.public, found.user]);
        let told = |skill: Skill| {
            let is_public = !of_user.contains(&skill.name);
            (skill, is_public)
        };
        Ok(all.into_iter().map(told).collect())
    }

    /// What the public catalogue offers. A worker is asked only if it is awake.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn offered(&self, tenant: &TenantId) -> Result<Vec<Offered>, Refusal> {
        let sandbox = self.ground.workers.placement().seen_at(tenant, "").await?;
        match self.glance(&sandbox, &ExtensionCall::Catalogue {}).await {
            Ok(ExtensionAnswer::Catalogue(offered)) => Ok(offered),
            _ => Ok(Vec::new()),
        }
    }

    /// Whether the public catalogue was fetched anew.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sync(&self, tenant: &TenantId) -> Result<bool, Refusal> {
        let sandbox = self.at(tenant, None).await?;
        match self.ask(&sandbox, &ExtensionCall::Sync {}).await {
            Ok((ExtensionAnswer::Synced(done), _)) => Ok(done),
            _ => Ok(false),
        }
    }

    /// # Errors
    /// As [`Extensions::skills`].
    pub async fn plugins(
        &self,
        tenant: &TenantId,
        user: bool,
        project_dir: Option<String>,
    ) -> Result<Vec<Plugin>, Refusal> {
        let mut plugins = Vec::new();
        if user || project_dir.is_some() {
            let sandbox = self.at(tenant, project_dir.as_deref()).await?;
            plugins = match self.ask(&sandbox, &ExtensionCall::Plugins { project_dir, user }).await?.0 {
                ExtensionAnswer::Plugins(plugins) => plugins,
                _ => return Err(strange()),
            };
        }
        if !user {
            return Ok(plugins);
        }
        let known: HashSet<String> = plugins.iter().map(|plugin| plugin.name.clone()).collect();
        for one in self.installed(tenant, ExtensionKind::Plugin).await? {
            if !one.enabled || known.contains(&one.name) {
                continue;
            }
            if let Some(Contents::Plugin { skills, files }) = self.contents(tenant, &one).await? {
                let (name, version, description) = (one.name, one.version, one.description);
                plugins.push(Plugin { name, version, description, path: one.install_path, skills, files });
            }
        }
        Ok(plugins)
    }

    /// The hooks of a project; `None` where it has none.
    ///
    /// # Errors
    /// Those of the worker.
    pub async fn hooks(&self, tenant: &TenantId, project_dir: &str) -> Result<Option<Value>, Refusal> {
        let sandbox = self.at(tenant, Some(project_dir)).await?;
        let call = ExtensionCall::Hooks { project_dir: project_dir.to_owned() };
        match self.ask(&sandbox, &call).await?.0 {
            ExtensionAnswer::Hooks(written) => Ok(written.and_then(hooks::any)),
            _ => Err(strange()),
        }
    }

    /// The sub-agents of a project, of the user and of the server: the first of a name counts.
    ///
    /// # Errors
    /// As [`Extensions::skills`].
    pub async fn sub_agents(
        &self,
        tenant: &TenantId,
        user: bool,
        project_dir: Option<String>,
        built_in: bool,
    ) -> Result<Vec<SubAgent>, Refusal> {
        let mut found = Vec::new();
        if user || project_dir.is_some() {
            let sandbox = self.at(tenant, project_dir.as_deref()).await?;
            found = match self.ask(&sandbox, &ExtensionCall::SubAgents { project_dir, user }).await?.0 {
                ExtensionAnswer::SubAgents(found) => found,
                _ => return Err(strange()),
            };
        }
        if built_in {
            found.extend(built_in::all());
        }
        let mut known = HashSet::new();
        let is_first = |agent: &SubAgent| known.insert(agent.name.clone());
        Ok(found.into_iter().filter_map(shown).filter(is_first).collect())
    }

    /// Those whose names are not there yet.
    async fn add_installed_skills(&self, tenant: &TenantId, skills: &mut Vec<Skill>) -> Result<(), Refusal> {
        let known: HashSet<String> = skills.iter().map(|skill| skill.name.clone()).collect();
        for one in self.installed(tenant, ExtensionKind::Skill).await?.iter().filter(|one| one.enabled) {
            if known.contains(&one.name) {
                continue;
            }
            if let Some(Contents::Skill(skill)) = self.contents(tenant, one).await? {
                skills.push(skill);
            }
        }
        Ok(())
    }

    /// The sandbox of a project, or the tenant's own.
    async fn at(&self, tenant: &TenantId, project_dir: Option<&str>) -> Result<SandboxId, Refusal> {
        Ok(self.ground.workers.placement().at(tenant, project_dir.unwrap_or_default()).await?)
    }
}

/// Wherever skills are found that belong to no project.
fn everywhere() -> SkillSources {
    let marketplace_path = Some(DEFAULT_CATALOGUE.to_owned());
    SkillSources { user: true, public: true, marketplace_path, ..SkillSources::default() }
}

/// A later one takes the place of an earlier one of its name. How many there are says a worker, which is not trusted.
fn merged<const LISTS: usize>(lists: [Vec<Skill>; LISTS]) -> Vec<Skill> {
    let mut all: Vec<Skill> = Vec::new();
    let mut places = HashMap::new();
    for skill in lists.into_iter().flatten() {
        let place = *places.entry(skill.name.clone()).or_insert(all.len());
        match all.get_mut(place) {
            Some(known) => *known = skill,
            None => all.push(skill),
        }
    }
    all
}

/// What tells an agent under which addresses its programs are reached.
fn hosts(exposed: &[Exposed]) -> Vec<Skill> {
    let for_agents = exposed.iter().filter(|exposed| exposed.name.starts_with(FOR_AGENTS));
    let lines: Vec<String> =
        for_agents.map(|Exposed { url, port, .. }| format!("* {url} (port {port})")).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let content = format!(
        "The user has access to the following hosts for accessing a web application, each of which has a corresponding \
         port:\n{}",
        lines.join("\n")
    );
    vec![Skill {
        name: "work_hosts".to_owned(),
        kind: SkillKind::Repo,
        content,
        triggers: Vec::new(),
        source: None,
        description: None,
        is_agentskills_format: false,
        disable_model_invocation: false,
    }]
}

/// With its hooks and servers complete and their secrets masked; `None` where those do not fit.
fn shown(mut agent: SubAgent) -> Option<SubAgent> {
    if let Some(written) = agent.hooks.take() {
        agent.hooks = Some(hooks::whole(written)?);
    }
    if let Some(Value::Object(servers)) = &mut agent.mcp_config {
        for server in servers.values_mut() {
            *server = forms::mcp_server().fill(server.take()).ok()?;
            forms::mcp_server().map_secrets(server, &mut |_, _| MASK.into());
        }
    }
    Some(agent)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn skill(name: String, content: &str) -> Skill {
        Skill {
            name,
            kind: SkillKind::Repo,
            content: content.to_owned(),
            triggers: Vec::new(),
            source: None,
            description: None,
            is_agentskills_format: false,
            disable_model_invocation: false,
        }
    }

    #[test]
    fn a_later_skill_takes_the_place_of_an_earlier_one_of_its_name() {
        let list =
            |names: &[&str], content| names.iter().map(|name| skill((*name).to_owned(), content)).collect();
        let all = merged([list(&["a", "b", "a"], "first"), list(&["c", "b"], "second")]);
        let named: Vec<_> = all.iter().map(|skill| (skill.name.as_str(), skill.content.as_str())).collect();
        assert_eq!(named, [("a", "first"), ("b", "second"), ("c", "second")]);
    }

    #[test]
    fn as_many_skills_as_a_worker_can_name_keep_nobody_waiting() {
        let list = || (0..100_000).map(|number| skill(number.to_string(), "")).collect();
        let begun = Instant::now();
        assert_eq!(merged([list(), list()]).len(), 100_000);
        // Each compared with each takes minutes.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
