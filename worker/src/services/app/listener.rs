//! Who listens on a port, as the kernel tells it: somebody else may have taken it before the program that it was meant for.

use std::fs;

use rustix::process::Pid;
use tools::offspring::{Mark, marked};

/// As the table of sockets writes it.
const LISTENS: &str = "0A";

/// Whether it is a process of this group, or one with this mark. Looks at all processes, and blocks.
pub(super) fn is_of(group: u32, mark: &Mark, port: u16) -> bool {
    let sockets = listening(port);
    let with_mark = marked(mark.name, |value| value == mark.value).map(|process| process.pid());
    members(group).chain(with_mark).any(|process| has_any(process, &sockets))
}

/// The sockets that listen on a port, as the links to them are written.
fn listening(port: u16) -> Vec<String> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let end = format!(":{port:04X}");
    let socket = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let inode = fields.nth(5)?;
        (local.ends_with(&end) && state == LISTENS).then(|| format!("socket:[{inode}]"))
    };
    tables.iter().flat_map(|table| table.lines().filter_map(socket)).collect()
}

fn members(group: u32) -> impl Iterator<Item = Pid> {
    let all = fs::read_dir("/proc").into_iter().flatten();
    let pids = all.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?));
    pids.filter(move |pid| group_of(*pid) == Some(group))
}

/// The third field behind the name, which may hold anything.
fn group_of(process: Pid) -> Option<u32> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(2)?.parse().ok()
}

fn has_any(process: Pid, sockets: &[String]) -> bool {
    let open = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten();
    let mut targets = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}
