"""Answers names of services and of StatefulSets' pods for the cluster of the tests, and asks this machine's server for all others:
dns.py CONFIG ADDRESS."""

import json
import re
import socket
import socketserver
import ssl
import struct
import sys
import time
import urllib.request

ZONE = "cluster.local"
ADDRESS_RECORD = 1
NO_SUCH_NAME = 3


class Cluster:
    """What services there are, at most a second old."""

    def __init__(self, path):
        config = json.load(open(path))
        cluster = config["clusters"][0]["cluster"]
        self.server = cluster["server"]
        self.token = config["users"][0]["user"]["token"]
        self.context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.context)
        )
        self.names, self.since = {}, 0.0

    def items(self, plural):
        request = urllib.request.Request(f"{self.server}/api/v1/{plural}", headers={"Authorization": f"Bearer {self.token}"})
        with self.opener.open(request, timeout=5) as answer:
            return json.load(answer)["items"]

    def refresh(self):
        names = {}
        headless = set()
        for service in self.items("services"):
            name = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.{ZONE}"
            address = service["spec"].get("clusterIP")
            names[name] = [address] if address and address != "None" else []
            if address == "None":
                headless.add(name)
        for endpoints in self.items("endpoints"):
            name = f"{endpoints['metadata']['name']}.{endpoints['metadata']['namespace']}.svc.{ZONE}"
            if name not in headless:
                continue
            for subset in endpoints.get("subsets") or []:
                for address in subset.get("addresses") or []:
                    names[name].append(address["ip"])
                    if address.get("hostname"):
                        names[f"{address['hostname']}.{name}"] = [address["ip"]]
        self.names, self.since = names, time.monotonic()

    def addresses(self, name):
        if time.monotonic() - self.since > 1:
            self.refresh()
        return self.names.get(name)


def question(packet):
    """The name that is asked for, its type, and where the question ends."""
    at, parts = 12, []
    while packet[at]:
        parts.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii", "replace"))
        at += 1 + packet[at]
    return ".".join(parts).lower(), struct.unpack("!H", packet[at + 1 : at + 3])[0], at + 5


def answer(packet):
    name, kind, end = question(packet)
    if not name.endswith("." + ZONE):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
            upstream.settimeout(4)
            upstream.sendto(packet, (UPSTREAM, 53))
            return upstream.recv(65535)
    found = CLUSTER.addresses(name)
    shown = [socket.inet_aton(address) for address in found or [] if kind == ADDRESS_RECORD]
    code = NO_SUCH_NAME if found is None else 0
    # An answer, authoritative, with recursion.
    header = packet[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(shown), 0, 0)
    records = [struct.pack("!HHHIH", 0xC00C, ADDRESS_RECORD, 1, 1, 4) + address for address in shown]
    return header + packet[12:end] + b"".join(records)


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        packet, server = self.request
        try:
            server.sendto(answer(packet), self.client_address)
        except (OSError, IndexError, struct.error) as error:
            print(f"no answer: {error}", file=sys.stderr, flush=True)


class Server(socketserver.ThreadingUDPServer):
    daemon_threads = True


CLUSTER = Cluster(sys.argv[1])
UPSTREAM = re.search(r"^nameserver\s+([\d.]+)", open("/etc/resolv.conf").read(), re.M).group(1)
Server((sys.argv[2], 53), Handler).serve_forever()
