# What a hostile agent tries in its terminal: attacks.sh HOST_PORT. Prints a line for each attempt: its name, and
# whether it succeeded. What begins with "can_" is to succeed: it shows that the attempts are no empty ones.
worker=$(grep -lx 'worker' /proc/[0-9]*/comm | head -n 1 | tr -dc 0-9)
door=$(awk '$4 == "0A" { split($2, a, ":"); print a[2]; exit }' /proc/net/tcp)
door=$((16#${door:-0}))
cat > nats.py <<'END'
import socket, sys
kind, address, wanted = sys.argv[1:]
server = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
server.settimeout(5)
server.connect(address if kind == "unix" else ("127.0.0.1", int(address)))
said = server.recv(65536)
if wanted == "PONG":
    server.sendall(b'CONNECT {"verbose":false,"user":"worker","pass":"x"}\r\nPING\r\nSUB > 1\r\nPING\r\n')
    while (piece := server.recv(65536)):
        said += piece
        if b"PONG" in said or b"-ERR" in said:
            break
sys.exit(0 if wanted.encode() in said else 1)
END
connects() { echo "python3 -c 'import socket; socket.create_connection((\"$1\", $2), 3)'"; }
try() { if timeout 30 bash -c "$2" >/dev/null 2>&1 </dev/null; then echo "$1 yes"; else echo "$1 no"; fi; }

try can_see_the_worker "test -d /proc/${worker:-0}"
try can_read_own_environment "cat /proc/self/environ"
try can_use_memory "python3 -c 'b\"x\" * (100 << 20)'"
try reach_the_door "python3 nats.py tcp $door INFO"

try metadata "$(connects 169.254.169.254 80)"
try host_gateway "$(connects 172.17.0.1 "$1")"
try internet "$(connects 1.1.1.1 53)"
try network_card "ls /sys/class/net | grep -v '^lo$'"
try docker_socket "find / -xdev -name 'docker*.sock' 2>/dev/null | grep ."
try nats_without_credentials "python3 nats.py tcp $door PONG"
try nats_by_the_socket "python3 nats.py unix /door/nats.sock PONG"
try worker_memory "head -c 1 /proc/$worker/mem; dd if=/proc/$worker/mem bs=1 count=1 skip=4194304 | grep -q ."
try worker_environment "cat /proc/$worker/environ"
try worker_maps "cat /proc/$worker/maps"
try worker_files "ls /proc/$worker/fd"
try worker_open_file "for file in /proc/$worker/fd/*; do name=\$(readlink \$file); test -f \$file && ! test -r \$name && head -c 1 \$file | grep -q . && exit 0; done; exit 1"
try worker_secret "grep -aE 'eyJ|S[A-Z2-7]{50}|KEY|SECRET|TOKEN|JWT|SEED' /proc/$worker/environ"
try worker_root "ls /proc/$worker/root/"
try worker_trace "python3 -c 'import ctypes, sys; sys.exit(0 if ctypes.CDLL(None).ptrace(16, $worker, 0, 0) == 0 else 1)'"
try worker_end "kill -KILL $worker"
try worker_pause "kill -STOP $worker"
try worker_state "touch /workspace/.manyhands/x"
try worker_program "echo x >> /manyhands/worker"
try door_file "touch /door/x"
try become_root "python3 -c 'import os; os.setuid(0)'"
try setuid_program "find / -xdev -perm -4000 -exec {} -c id \; | grep uid=0"
try user_namespace "unshare -Ur true"
try namespace_root "unshare -Ur bash -c 'kill -STOP $worker || head -c 1 /proc/$worker/mem || cat /etc/shadow || touch /workspace/.manyhands/x'"
try mount "mount -t tmpfs none /tmp"
try device "mknod /tmp/device b 254 0"
try device_content "mknod /tmp/disk b 254 0; head -c 1 /tmp/disk | grep -q ."
try system_files "touch /usr/x || touch /etc/x || touch /x"
try shadow "cat /etc/shadow"
try kernel "echo x > /proc/sys/kernel/core_pattern || echo h > /proc/sysrq-trigger"
try processes_limit "echo max > /sys/fs/cgroup/pids/pids.max || echo max > /sys/fs/cgroup/pids.max"
try disk_fill "head -c 600M /dev/zero > /tmp/fill"
rm -f /tmp/fill
try memory_bomb "python3 -c 'b\"x\" * (3 << 30)'"
