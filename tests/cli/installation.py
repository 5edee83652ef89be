"""An installation of the orchestrator as a user has it: `saga dev`, and `saga` for the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

from orchestrator.client import Client
from orchestrator.codec.envelope import Record
from orchestrator.kafka.plain import PlainProducer
from orchestrator.kafka.settings import KafkaSettings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SAGA = [sys.executable, "-m", "orchestrator"]
ORDER = {"item": "lamp", "count": 1}


class Installation:
    """`saga dev` on the session's Kafka, and `saga` for everything else."""

    def __init__(self, servers, folder, **environment):
        self.servers, self.folder = servers, folder
        self.prefix = f"cli-{uuid.uuid4().hex[:8]}"
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SAGA_BOOTSTRAP_SERVERS": servers,
            "SAGA_PREFIX": self.prefix,
            "SAGA_MODULES": str(HERE / "stock_program.py"),
            "CLI_TEST_PARTICIPANT": f"stock-{self.prefix}",
            **environment,
        }

    def start(self):
        with (self.folder / "dev.err").open("wb") as errors:
            self.dev = subprocess.Popen(
                [*SAGA, "dev", "--json", "--bootstrap-servers", self.servers],
                env=self.env,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        lines = []
        for line in self.dev.stdout:
            lines.append(line)
            if line == "}\n":
                break
        return json.loads("".join(lines))

    def stop(self):
        self.dev.send_signal(signal.SIGINT)
        self.dev.communicate(timeout=60)
        return self.dev.returncode

    def run(self, *arguments, code=0, stdin=""):
        found = subprocess.run(
            [*SAGA, *arguments],
            env=self.env,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert found.returncode == code, (arguments, found.stdout, found.stderr)
        assert "Traceback" not in found.stderr
        return found.stdout

    def json(self, *arguments, code=0):
        return json.loads(self.run(*arguments, "--json", code=code))

    def order(self, saga, item="lamp", code=0):
        payload = json.dumps({**ORDER, "item": item})
        return self.json(
            "start", "fulfil", "--id", saga, "--payload", payload, "--wait", code=code
        )

    def produce(self, key, value, partition=0):
        producer = PlainProducer(KafkaSettings(bootstrap_servers=self.servers), "test")
        producer.send([Record(f"{self.prefix}.commands", partition, key, value)])
        producer.close()

    def client(self):
        return Client(self.servers, prefix=self.prefix)

    def outcome_of(self, name):
        with self.client() as client:
            return client.wait(name, timeout_s=60).business
