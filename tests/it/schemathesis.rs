//! What the document says of the API is so, tried by [schemathesis](https://schemathesis.io) with thousands of requests made of it:
//! no failure of the server's own, and no answer that is not described. `schemathesis/` has what is installed, and how it is set up.
//!
//! Commands and paths are made up, too. So the server has a home of its own, and runs as nobody where the tests run as root: what
//! it is told to write elsewhere cannot be written.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use testing::may_skip;
use testing::server::Start;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis");
const KEY: &str = "session-key";

/// The path of the program. Without it: why not.
fn program() -> Result<String, String> {
    let output = Command::new(format!("{FOLDER}/environment.sh")).output().unwrap();
    let (path, says) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(path.trim().to_owned()) } else { Err(says.into_owned()) }
}

/// The same requests each time; with `MANYHANDS_API_SECONDS` others, for about so long.
fn tried(program: &str, url: &str, home: &Path, work: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(["--config-file", &format!("{FOLDER}/schemathesis.toml")]);
    command.args(["run", &format!("{url}/openapi.json")]);
    command.args(["--header", &format!("X-Session-API-Key: {KEY}")]);
    match env::var("MANYHANDS_API_SECONDS") {
        Ok(seconds) => command.args(["--max-time", &seconds]),
        Err(_) => command.args(["--phases", "coverage", "--seed", "1", "--generation-deterministic"]),
    };
    command.env("MANYHANDS_API_HOME", home).current_dir(work).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn every_answer_is_one_that_the_document_describes() {
    let program = match program() {
        Ok(program) => program,
        Err(why) => return may_skip("schemathesis", &why),
    };
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands")).with_key(KEY).as_nobody();
    let home = start.folder().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, Permissions::from_mode(0o777)).unwrap();
    let server = start.with("HOME", &home.to_string_lossy()).start_alone();
    let work = tempfile::tempdir().unwrap();
    let output = tried(&program, &server.url, &home, work.path());
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");
    println!("{told}");
}
