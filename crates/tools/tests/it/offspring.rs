//! What a shell has started ends with it, whatever it says of itself, and costs little to find.

use std::time::Duration;

use manyhands_tools::{Catalogue, ToolContext, ToolSet};
use serde_json::json;
use tempfile::TempDir;
use testing::process::is_alive;
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::Toolbox as _;

struct Bench {
    set: ToolSet,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let context = ToolContext::new(folder.path(), folder.path());
        let spec = ToolSpec { name: "terminal".to_owned(), params: serde_json::Map::new() };
        Self { set: ToolSet::new(&Catalogue::standard(), &[spec], &[], &context).unwrap(), folder }
    }

    async fn run(&self, command: &str) {
        let arguments = json!({"command": command, "timeout": 60});
        let action = self.set.parse("terminal", arguments.as_object().unwrap()).unwrap().action;
        self.set.run("terminal", &action, CancellationToken::new()).await.unwrap();
    }

    /// What a program has written into this file, once it is whole.
    async fn line(&self, file: &str) -> String {
        let file = self.folder.path().join(file);
        for _ in 0..2_000 {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if text.ends_with('\n') {
                return text.trim().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} is not written", file.display());
    }
}

/// The most memory that this process has had, in MiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_ends_with_its_shell_whatever_its_name_is_and_without_an_environment() {
    let bench = Bench::new();
    let program = r#"program="$(printf './\377 ) \376')"; cp "$(command -v bash)" "$program""#;
    bench.run(&format!("{program}; (trap '' HUP TERM; exec env -i \"$program\" -c 'echo $$ > pid; while :; do read -t 9 < <(:); done') &")).await;
    let pid = bench.line("pid").await;
    assert!(is_alive(&pid));
    bench.set.close().await;
    assert!(!is_alive(&pid));
}

/// Such a program needs no right for that: it names a part of its own memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_calls_its_memory_its_environment_costs_no_memory() {
    const SCRIPT: &str = r"
import ctypes, os, struct, time
size, libc = 1 << 29, ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
base = libc.mmap(None, size, 1, 0x4022, -1, 0)
fields = open('/proc/self/stat').read().rsplit(') ', 1)[1].split()
of = lambda number: int(fields[number - 3])
memory = struct.pack('<12QII', of(26), of(27), of(45), of(46), of(47), of(47), of(28), of(48), of(49),
    base, base + size - 1, 0, 0, 0xffffffff)
buffer = ctypes.create_string_buffer(memory)
done = libc.prctl(35, 14, ctypes.c_ulong(ctypes.addressof(buffer)), ctypes.c_ulong(len(memory)), 0)
print(os.getpid() if done == 0 else 'impossible', file=open('pid.new', 'w'))
os.rename('pid.new', 'pid')
time.sleep(300)
";
    let bench = Bench::new();
    bench.run(&format!("python3 - <<'END' >/dev/null 2>&1 &\n{SCRIPT}\nEND")).await;
    let pid = bench.line("pid").await;
    if pid == "impossible" {
        // A kernel that lets no program do so needs no bound.
        return bench.set.close().await;
    }
    let before = peak();
    bench.set.close().await;
    let grown = peak() - before;
    assert!(grown < 100, "{grown} MiB to look at one environment");
    assert!(!is_alive(&pid));
}

/// Each of them is an open file while it is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_processes_leaves_the_server_its_files() {
    let bench = Bench::new();
    bench.run("for i in {1..600}; do sleep 300 & done; echo $! > last").await;
    let last = bench.line("last").await;
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (before, mut most) = (open_files(), 0);
    let mut closing = Box::pin(bench.set.close());
    while tokio::time::timeout(Duration::from_millis(1), &mut closing).await.is_err() {
        most = most.max(open_files());
    }
    assert!(!is_alive(&last));
    assert!(most < before + 400, "{most} files were open at once");
}
