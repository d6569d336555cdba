//! Options of the server that this one replaces. They are taken, so that what starts the one also starts the other; those that
//! can come to nothing here say why, in one line each.

use std::process::ExitCode;

use crate::catalogue;

/// The tool that is a browser.
const BROWSER: &str = "browser_tool_set";

const RELOAD: &str = "--reload has no effect: this program has no sources that could change while it runs";
const MODULES: &str = "--import-modules has no effect: no Python runs here, and tools of this server are no modules; \
                       clients give conversations tools of their own as `client_tools`";
const PYTHON_PATH: &str =
    "--extra-python-path has no effect: no Python runs here that would look for modules";

#[derive(clap::Args, Clone)]
pub struct PeerFlags {
    /// Has no effect here: there are no sources that could change
    #[arg(long)]
    reload: bool,
    /// Say whether agents can have a browser, and end (status 0 if they can)
    #[arg(long)]
    check_browser: bool,
    /// Has no effect here: no Python runs
    #[arg(long, value_name = "MODULES")]
    import_modules: Option<String>,
    /// Has no effect here: no Python runs
    #[arg(long, value_name = "PATHS")]
    extra_python_path: Option<String>,
}

impl PeerFlags {
    /// The exit status, where only a question was asked; the answer is printed.
    pub fn answered(&self) -> Option<ExitCode> {
        if !self.check_browser {
            return None;
        }
        let has_browser =
            catalogue::tools().iter().any(|tool| tool.name == BROWSER && tool.usable == Some(true));
        let (says, status) = match has_browser {
            true => ("Browser check passed: agents can have a browser", ExitCode::SUCCESS),
            false => ("Browser check failed: this server has no browser for agents", ExitCode::FAILURE),
        };
        println!("{says}");
        Some(status)
    }

    /// Says on standard error what was given in vain, and why.
    pub fn explain(&self) {
        let given = [
            (self.reload, RELOAD),
            (self.import_modules.is_some(), MODULES),
            (self.extra_python_path.is_some(), PYTHON_PATH),
        ];
        for (_, why) in given.iter().filter(|(is_given, _)| *is_given) {
            eprintln!("manyhands: {why}");
        }
    }
}
