"""The short way of writing starts gives what the codec gives, always."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codec.starts import StartWriter
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import StartSaga


class Registry:
    """A registry that gives every schema the number 7."""

    def register(self, _subject, _document):
        return 7

    def document(self, _schema_id):
        return None


CODECS = (RecordCodec(), RecordCodec(Registry()))
ids = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)
payloads = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"\x00" * size for size in (0, 63, 64, 4_095, 4_096)]),
)


@pytest.mark.parametrize("codec", CODECS, ids=["plain", "registry"])
@given(ids, st.integers(0, (1 << 31) - 1), st.lists(st.tuples(ids, payloads), max_size=5))
def test_a_start_is_written_as_the_codec_writes_it(codec, definition, version, starts):
    writer = StartWriter(codec, definition, version)
    for saga_id, payload in starts:
        wanted = codec.encode_command(StartSaga(saga_id, definition, version, payload))
        assert writer.write(saga_id.encode(), payload) == wanted
