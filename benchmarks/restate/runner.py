"""One run of Restate: server, app and client; prints one JSON line. Runs in the peer's own environment.

It runs in a network namespace that has nothing but loopback, since the server calls home at start
whatever its settings say.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import psutil

HERE = Path(__file__).parent
INSIDE = "SAGA_BENCH_NAMESPACE"
READY_S_MAX = 60.0


def loopback_only() -> None:
    """Start again in a namespace with loopback alone; inside it, bring loopback up."""
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        # Processes of its own as well: whatever was started ends with this one, however it ends.
        flags = ["-n", "--pid", "--fork", "--kill-child", "--mount-proc"]
        flags += [] if os.geteuid() == 0 else ["-r"]
        os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])
    with socket.socket() as any_socket:  # SIOCSIFFLAGS with IFF_UP | IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


def free_port() -> int:
    """Pick a port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens."""
    until_s = time.monotonic() + READY_S_MAX
    while time.monotonic() < until_s:
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.03)
    raise SystemExit(f"nothing listens on port {port}")


def start_server(binary: str, folder: Path, ports: dict[str, int]) -> subprocess.Popen[bytes]:
    """Start the server with its defaults: 24 partitions, fsync."""
    lines = [
        'node-name = "n1"',
        "disable-telemetry = true",
        'bind-ip = "127.0.0.1"',
        'advertised-host = "127.0.0.1"',
        f"bind-port = {ports['node']}",
        'listen-mode = "tcp"',
        f'base-dir = "{folder}/data"',
        'log-filter = "error"',
        "[ingress]",
        f'bind-address = "127.0.0.1:{ports["ingress"]}"',
        "[admin]",
        f'bind-address = "127.0.0.1:{ports["admin"]}"',
        "disable-web-ui = true",
    ]
    settings = folder / "restate.toml"
    settings.write_text("\n".join(lines) + "\n")
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [binary, "--no-logo", "-c", str(settings)], stdout=log, stderr=log, cwd=folder
        )
    await_port(ports["ingress"], process)
    await_port(ports["admin"], process)
    return process


def start_app(folder: Path, port: int, admin: int) -> subprocess.Popen[bytes]:
    """Start the app on granian over HTTP/2, its fastest set-up, and register it."""
    granian = str(Path(sys.executable).parent / "granian")
    words = ["--interface", "asgi", "--http", "2", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "TRIP_EFFECTS": str(folder / "effects")}
    with (folder / "app.log").open("ab") as log:
        process = subprocess.Popen(
            [granian, *words, "--workers", "1", "--log-level", "error", "--no-ws", "app:app"],
            stdout=log,
            stderr=log,
            env=environment,
            cwd=HERE,
        )
    await_port(port, process)
    body = json.dumps({"uri": f"http://127.0.0.1:{port}", "force": True}).encode()
    url, kind = f"http://127.0.0.1:{admin}/deployments", {"content-type": "application/json"}
    until_s = time.monotonic() + READY_S_MAX
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, body, kind), timeout=10).read()
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until_s:
                raise
            time.sleep(0.2)
        else:
            return process


def payload(batch: str, number: int, *, fail: bool) -> dict[str, Any]:
    """Make the input of a trip: some 330 bytes of JSON."""
    return {
        "saga": f"{batch}-{number}",
        "fail_card": fail,
        "traveller": {"name": "Ada Example", "email": f"ada{number:07d}@example.test"},
        "flight": {"from": "ZRH", "to": "LIS", "date": "2026-12-24", "class": "economy"},
        "hotel": {"city": "Lisbon", "nights": 4, "room": "double"},
        "card": {"token": "tok_0123456789abcdef", "amount": 129900, "currency": "EUR"},
    }


def fails(number: int, rate: float) -> bool:
    """Whether a trip fails: evenly spread."""
    return int((number + 1) * rate + 1e-9) > int(number * rate + 1e-9)


async def drive(url: str, batch: str, count: int, in_flight: int, rate: float) -> dict[str, Any]:
    """Keep so many in flight until all have ended."""
    found: dict[str, Any] = {"latencies_s": [], "ends_s": [], "outcomes": {}, "wrong": 0}
    numbers = iter(range(count))
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=120)

    async def lane(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            order = payload(batch, number, fail=fails(number, rate))
            began_s = time.perf_counter()
            headers = {"idempotency-key": order["saga"]}
            async with session.post(f"{url}/Trip/rpc", json=order, headers=headers) as answer:
                outcome = await answer.json()
            now_s = time.perf_counter()
            found["latencies_s"].append(now_s - began_s)
            found["ends_s"].append(now_s)
            found["outcomes"][outcome] = found["outcomes"].get(outcome, 0) + 1
            found["wrong"] += outcome != ("rolled_back" if order["fail_card"] else "completed")

    began_s = time.perf_counter()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.gather(*(lane(session) for _ in range(min(in_flight, count))))
    found["wall_s"] = time.perf_counter() - began_s
    return found


def cpu_s(pid: int) -> float:
    """CPU of a process and those below it."""
    root = psutil.Process(pid)
    below = root.children(recursive=True) if pid != os.getpid() else []
    return sum(sum(process.cpu_times()[:2]) for process in [root, *below])


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those below it: granian leaves its workers behind."""
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for child in below:
            with contextlib.suppress(psutil.Error):
                child.kill()


def main() -> None:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sagas", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--fail-rate", type=float, default=0.1)
    options = parser.parse_args()
    loopback_only()
    ports = {name: free_port() for name in ("node", "ingress", "admin", "app")}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        processes["server"] = start_server(options.binary, options.folder, ports)
        processes["app"] = start_app(options.folder, ports["app"], ports["admin"])
        url, rate = f"http://127.0.0.1:{ports['ingress']}", options.fail_rate
        asyncio.run(drive(url, "warm", options.warm_up, min(100, options.in_flight), rate))
        pids = {
            **{name: process.pid for name, process in processes.items()},
            "client": os.getpid(),
        }
        before_s = {name: cpu_s(pid) for name, pid in pids.items()}
        found = asyncio.run(drive(url, "trip", options.sagas, options.in_flight, rate))
        used_s = {name: cpu_s(pid) - before_s[name] for name, pid in pids.items()}
    finally:
        for process in processes.values():
            end(process)
    found["cpu_ms_per_saga"] = {n: round(s * 1e3 / options.sagas, 4) for n, s in used_s.items()}
    lines = (options.folder / "effects").read_text().splitlines()
    found["effects"] = [line.split(" ", 1)[1] for line in lines if " trip-" in line]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
