"""Write tests/codec/goldens.json: the bytes of one value of each record.

Run it for a record that is new. A golden that changes means that bytes already written can no
longer be read: give the record a new schema version instead.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "codec"))

from codec_values import SAMPLES, encode  # noqa: E402

from orchestrator.codec.wire import RecordCodec  # noqa: E402

goldens = {name: encode(RecordCodec(), name, value).hex() for name, value in SAMPLES.items()}
(ROOT / "tests/codec/goldens.json").write_text(json.dumps(goldens, indent=1) + "\n", "utf-8")
