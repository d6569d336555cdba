//! `manyhands doctor`: checks what the server needs, one line each, and says what to do.

#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "kubernetes")]
mod pods;
mod single;

use std::process::ExitCode;

use crate::serve::Reach;
use crate::settings::{Settings, Source};

pub enum Finding {
    Fine(String),
    Doubtful(String),
    Broken(String),
}

/// Of a server of one process: prints the findings. The exit status is 1 if one of them keeps the server from
/// working.
///
/// # Errors
/// When the checks themselves cannot run.
pub fn run(reach: &Reach, settings: &Settings, source: &Source) -> anyhow::Result<ExitCode> {
    Ok(report(single::findings(reach, settings, source)?))
}

/// Of the part of a cluster that is to run here, as far as can be seen from here.
///
/// # Errors
/// When the checks themselves cannot run.
#[cfg(feature = "cluster")]
pub fn run_in_cluster(settings: Settings, source: &Source) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(report(runtime.block_on(cluster::findings(settings, source))?))
}

fn report(findings: Vec<(&str, Finding)>) -> ExitCode {
    let mut broken = 0;
    for (what, finding) in findings {
        let (mark, text) = match finding {
            Finding::Fine(text) => ("ok  ", text),
            Finding::Doubtful(text) => ("warn", text),
            Finding::Broken(text) => {
                broken += 1;
                ("FAIL", text)
            }
        };
        println!("{mark} {what:<8} {text}");
    }
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
