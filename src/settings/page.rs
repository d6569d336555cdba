//! The page of settings: what `manyhands settings` prints, and `docs/SETTINGS.md` is.

use super::source::variable_of;
use super::table::{Kind, SECTIONS, Section, Setting};

const HEAD: &str = "# Settings

This page is what `manyhands settings` prints. It is made from `src/settings/table.rs`.

A setting is an environment variable, or the same name without `OH_` and in lower case in a JSON file. The file is the
one that `OPENHANDS_AGENT_SERVER_CONFIG_PATH` names, which has to be there, else
`workspace/openhands_agent_server_config.json`, which need not. The environment wins, and a list in it replaces the whole list of
the file.

- A list is given as `OH_…_0`, `OH_…_1` and so on, or as one JSON array in `OH_…`. A gap in the numbers is an error: it
  would otherwise drop what follows it.
- An empty value is an unset one, for every setting. `OH_…_IS_NONE=1` unsets what the file says.
- A value that cannot be meant ends the start with exit status 64 and a sentence, and so does a name that is nearly one of
  those below. Other names that begin with `OH_` are passed over.

Where to listen is said on the command line: `--host` (by default what `OH_HOST` says) and `--port` (`8000`; `0` takes a free
one). Further options of the server that this one replaces are taken, too: `--check-browser` says
whether agents can have a browser, and `--reload`, `--import-modules` and `--extra-python-path` say why they have no effect.
";

const TAIL: &str = "
## Without `OH_`

| variable | default | what it does |
| --- | --- | --- |
| `SESSION_API_KEY` | none | The older name of one session key. |
| `LOG_LEVEL` | info | How much is logged on standard error. `DEBUG=1` is the same as `debug`. |
| `LOG_JSON` | text | With `1` or `true` each line of the log is JSON, and so it is where `CI` or `GITHUB_ACTIONS` is set to that. |
| `DOCKER_HOST` | `unix:///var/run/docker.sock` | The container engine of the supervisor. |
| `DOCKER_HOST_ADDR` | none | The name of this machine as containers on it see it. Its web pages may call the API. |
| `EXTENSIONS_REF` | main | Which branch, tag or commit of the public catalogue of skills (`https://github.com/OpenHands/extensions`) a server of one process uses. |
| `EXTENSIONS_PATH` | none | A folder that is used in the place of that catalogue; nothing is fetched then. |
| `OTEL_EXPORTER_OTLP_ENDPOINT` and others of `OTEL_…` | none: no traces | Where spans are sent (OTLP over HTTP), as the OpenTelemetry specification names it. |
| `OPENHANDS_BUILD_GIT_SHA`, `OPENHANDS_BUILD_GIT_REF` | unknown | Clients are told them in `/server_info`. |

Those of the client in the same program (`LLM_MODEL`, `MANYHANDS_URL` and so on) are in [client.md](client.md).
";

/// All settings, as Markdown.
pub fn page() -> String {
    let sections: String = SECTIONS.iter().map(section).collect();
    format!("{HEAD}{sections}{TAIL}")
}

fn section(section: &Section) -> String {
    let rows: String = section.settings.iter().map(row).collect();
    let says = if section.says.is_empty() { String::new() } else { format!("{}\n\n", section.says) };
    let head = "| variable | value | default | what it does |\n| --- | --- | --- | --- |\n";
    format!("\n## {}\n\n{says}{head}{rows}", section.title)
}

fn row(setting: &Setting) -> String {
    let name = variable_of(setting.field);
    format!("| `{name}` | {} | {} | {} |\n", value(setting), setting.default, setting.says)
}

fn value(setting: &Setting) -> String {
    match setting.kind {
        Kind::Text => "text".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Name => "name".to_owned(),
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::List => "list".to_owned(),
        Kind::Objects(_) => "list of objects".to_owned(),
        Kind::Whole { least, most } => format!("{least} to {most}"),
        Kind::Amount { least, most } => format!("{least} to {most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_say_of_the_settings_what_the_table_says() {
        let written = include_str!("../../docs/SETTINGS.md");
        assert!(written == page(), "CONTRIBUTING.md has the command that brings it up to date");
    }
}
