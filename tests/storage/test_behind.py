"""What a thread writes is in the file when the block ends, and what it could not write is said."""

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_llmbatch.storage import behind
from airflow_provider_llmbatch.storage.behind import written_behind


@settings(max_examples=50, deadline=None)
@given(pieces=st.lists(st.binary(max_size=40), max_size=40), block=st.integers(1, 50), syncs=st.booleans())
def test_the_file_holds_the_pieces_in_their_order(tmp_path_factory, pieces, block, syncs):
    path = tmp_path_factory.mktemp("behind") / "file"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(behind, "BLOCK", block)
        patch.setattr(behind, "SYNCED", 3 * block)
        with written_behind(path, syncs=syncs) as file:
            for piece in pieces:
                file.write(piece)

    assert path.read_bytes() == b"".join(pieces)


@pytest.mark.parametrize("blocks", [1, 20])
def test_a_full_disk_is_an_error(blocks):
    with pytest.raises(OSError, match="No space left"), written_behind(Path("/dev/full"), syncs=False) as file:
        file.write(bytes(blocks * behind.BLOCK))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("llmbatch-write")]


def test_an_error_of_the_writer_is_its_own(tmp_path):
    with pytest.raises(ZeroDivisionError), written_behind(tmp_path / "file", syncs=True) as file:  # noqa: PT012
        file.write(b"a row")
        1 / 0  # noqa: B018 - the point
