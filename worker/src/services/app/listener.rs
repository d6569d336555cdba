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

/// Where one listens who is reached at 127.0.0.1, in the newer form: that itself, all addresses, and all newer ones. Another one
/// may listen on the same port elsewhere on loopback. Where several of them have a listener, the first of these is called; who
/// listens at all newer addresses may have said that he means no other.
const REACHED: [[u8; 16]; 3] = [
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
    [0; 16],
];

/// The sockets that listen on a port where it is reached, as the links to them are written.
fn listening(port: u16) -> Vec<String> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let port = format!("{port:04X}");
    let socket = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let inode = fields.nth(5)?;
        let (address, at) = local.rsplit_once(':')?;
        let is_meant = at == port && state == LISTENS;
        is_meant.then(|| Some((place(address)?, format!("socket:[{inode}]"))))?
    };
    let all: Vec<_> = tables.iter().flat_map(|table| table.lines().filter_map(socket)).collect();
    let first = all.iter().map(|(place, _)| *place).min();
    all.into_iter().filter(|(place, _)| Some(*place) == first).map(|(_, socket)| socket).collect()
}

/// Among those that are reached. The table writes words of four bytes, each as this machine has numbers.
fn place(address: &str) -> Option<usize> {
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let words: Vec<_> = (0..address.len()).step_by(8).map(word).collect::<Option<_>>()?;
    let whole = match words.as_slice() {
        [four] => [[0; 4], [0; 4], [0, 0, 0xff, 0xff], *four].concat(),
        six => six.concat(),
    };
    REACHED.iter().position(|reached| reached == whole.as_slice())
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

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::os::fd::AsRawFd;

    use rustix::net::sockopt::set_ipv6_v6only;
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

    use super::*;

    #[test]
    fn only_who_is_reached_at_the_address_that_is_called_is_found_on_its_port() {
        let (group, mark) = (group_of(rustix::process::getpid()).unwrap(), Mark::unique("LISTENER_TEST"));
        for (address, is_found) in [
            ("127.0.0.1", true),
            ("0.0.0.0", true),
            ("127.0.0.2", false),
            ("[::]", true),
            ("[::ffff:127.0.0.1]", true),
            ("[::1]", false),
        ] {
            // Machines without the newer addresses have nobody there.
            let Ok(listener) = TcpListener::bind(format!("{address}:0")) else { continue };
            let port = listener.local_addr().unwrap().port();
            assert_eq!(is_of(group, &mark, port), is_found, "{address}");
        }
    }

    #[test]
    fn who_listens_at_newer_addresses_alone_is_not_who_is_reached() {
        let Ok(newer) = socket(AddressFamily::INET6, SocketType::STREAM, None) else { return };
        set_ipv6_v6only(&newer, true).unwrap();
        // Machines without the newer addresses have nobody there.
        let Ok(()) = bind(&newer, &"[::]:0".parse::<SocketAddr>().unwrap()) else { return };
        listen(&newer, 1).unwrap();
        let newer = TcpListener::from(newer);
        let port = newer.local_addr().unwrap().port();
        assert_eq!(listening(port), [link_of(&newer)]);
        let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert_eq!(listening(port), [link_of(&stranger)]);
    }

    fn link_of(socket: &TcpListener) -> String {
        let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        link.into_os_string().into_string().unwrap()
    }
}
