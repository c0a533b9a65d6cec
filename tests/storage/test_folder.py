"""A document appears whole or not at all, and *not there* is never the same as *unreadable*."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import pytest

from airflow_provider_llmbatch.exceptions import InputError, ManifestError
from airflow_provider_llmbatch.storage.folder import LocalFolder, open_folder

NAME = "events/r1-00000.intent.json"


@pytest.fixture
def folder(base_uri):
    return open_folder(base_uri)


@pytest.fixture
def disk(tmp_path):
    return open_folder(f"file://{tmp_path}/base")


def everything(path):
    """Return every file below *path*, hidden ones included."""
    return sorted(str(found.relative_to(path)) for found in Path(path).rglob("*") if found.is_file())


# -- documents ---------------------------------------------------------------------------------------------------


def test_a_document_is_read_back_as_it_was_written(folder):
    assert folder.create(NAME, b"first") is True
    assert folder.read(NAME) == b"first"


def test_a_document_is_written_once_and_the_first_one_holds(folder):
    folder.create(NAME, b"first")

    assert folder.create(NAME, b"second") is False
    assert folder.read(NAME) == b"first"


def test_a_piece_of_a_file_is_read_without_the_rest(folder):
    folder.create("requests/r1-00000.jsonl", b"0123456789")

    assert folder.piece("requests/r1-00000.jsonl", 0, 4) == b"0123"
    assert folder.piece("requests/r1-00000.jsonl", 7, 100) == b"789"
    with pytest.raises(ManifestError, match="cannot be read"):
        folder.piece("requests/r1-00001.jsonl", 0, 4)


def test_an_empty_document_is_a_document(folder):
    assert folder.create(NAME, b"") is True
    assert folder.create(NAME, b"more") is False
    assert folder.read(NAME) == b""


def test_a_document_that_may_be_written_again_is_replaced(folder):
    folder.replace("summary.json", b"first")
    folder.replace("summary.json", b"second")

    assert folder.read("summary.json") == b"second"


def test_what_was_never_written_is_not_there(folder):
    assert folder.read(NAME) is None
    assert folder.names("events") == []
    assert not folder.exists(NAME)
    folder.remove(NAME)


def test_what_was_removed_is_not_there(folder):
    folder.create(NAME, b"first")

    folder.remove(NAME)

    assert folder.read(NAME) is None
    assert folder.create(NAME, b"second") is True


def test_names_are_sorted_and_only_those_of_the_sub_folder(folder):
    for name in ["events/b", "events/a", "events/c", "results/d", "job.json"]:
        folder.create(name, b"")

    assert folder.names("events") == ["a", "b", "c"]


def test_a_name_shows_at_once_to_another_process(base_uri, folder):
    folder.names("events")
    open_folder(base_uri).create(NAME, b"first")

    assert folder.names("events") == ["r1-00000.intent.json"]


def test_of_many_that_create_one_document_at_once_exactly_one_wins(disk):
    writers = 16
    together = Barrier(writers)

    def write(number):
        folder = open_folder(disk.uri)
        together.wait()
        return folder.create(NAME, str(number).encode())

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(write, range(writers)))

    assert won.count(True) == 1
    assert disk.read(NAME) == str(won.index(True)).encode()
    assert everything(disk.path) == [NAME]


def test_a_store_without_conditional_writes_still_keeps_the_first_document(store, monkeypatch):
    pipe = store.pipe_file

    def without_mode(path, value, **options):
        if options:
            raise ValueError("unknown mode")
        pipe(path, value)

    monkeypatch.setattr(store, "pipe_file", without_mode)
    folder = open_folder("memory://bucket/base")

    assert [folder.create(NAME, b"first"), folder.create(NAME, b"second")] == [True, False]
    assert folder.read(NAME) == b"first"


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_a_disk_without_hard_links_still_keeps_the_first_document(disk, monkeypatch, code):
    """Mounted buckets have none; ``os.link`` fails there."""

    def link(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)

    assert [disk.create(NAME, b"first"), disk.create(NAME, b"second")] == [True, False]
    assert disk.read(NAME) == b"first"
    assert everything(disk.path) == [NAME]


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(disk, monkeypatch):
    def link(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", link)

    with pytest.raises(OSError, match="No space left"):
        disk.create(NAME, b"first")
    assert everything(disk.path) == []


# -- what cannot be read -------------------------------------------------------------------------------------------


def test_a_document_that_cannot_be_read_is_not_taken_for_absent(disk):
    (disk.path / NAME).mkdir(parents=True)

    with pytest.raises(ManifestError, match=r"r1-00000.intent.json' cannot be read \(IsADirectoryError.*Nothing was"):
        disk.read(NAME)


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(disk):
    disk.create("events", b"a file where a folder belongs")

    with pytest.raises(ManifestError, match=r"events' cannot be read \(NotADirectoryError"):
        disk.names("events")


@pytest.mark.parametrize(("call", "read"), [("cat_file", "read"), ("ls", "names")])
def test_a_store_that_does_not_answer_is_not_taken_for_empty(store, monkeypatch, call, read):
    def fail(*_, **__):
        raise PermissionError("Forbidden")

    monkeypatch.setattr(store, call, fail)

    with pytest.raises(ManifestError, match=r"cannot be read \(PermissionError: Forbidden\)") as caught:
        getattr(open_folder("memory://bucket/base"), read)("events")

    assert caught.value.context == {"uri": "memory://bucket/base/events"}


# -- files -----------------------------------------------------------------------------------------------------


def test_a_file_lands_under_its_name_when_the_block_ends(folder):
    with folder.landing("results/r1-00000.jsonl") as path:
        path.write_bytes(b"whole")
        assert not folder.exists("results/r1-00000.jsonl")

    assert folder.read("results/r1-00000.jsonl") == b"whole"
    assert folder.local("results/r1-00000.jsonl").read_bytes() == b"whole"


def test_a_file_that_landed_again_is_the_new_one(folder):
    for content in [b"old", b"new"]:
        with folder.landing("results/r1-00000.jsonl") as path:
            path.write_bytes(content)

    assert folder.read("results/r1-00000.jsonl") == b"new"


def land_half(folder, error):
    """Begin to write a file, and die of *error*; return where it was written."""
    with suppress(type(error)), folder.landing("results/r1-00000.jsonl") as path:
        path.write_bytes(b"half")
        raise error
    return path


@pytest.mark.parametrize("error", [OSError("cut"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_file_that_was_not_finished_does_not_appear_and_leaves_nothing(base_uri, folder, error):
    path = land_half(folder, error)

    assert not path.exists()
    assert folder.names("results") == []
    assert not open_folder(base_uri).exists("results/r1-00000.jsonl")


def test_a_half_written_file_of_a_process_that_died_is_not_among_the_names(disk):
    with disk.landing("results/a.jsonl") as path:
        path.write_bytes(b"half")
        assert disk.names("results") == []


def test_a_local_copy_lives_as_long_as_its_folder_object(store):
    folder = open_folder("memory://bucket/base")
    folder.create("results/a.jsonl", b"whole")
    path = folder.local("results/a.jsonl")
    folder.remove("results/a.jsonl")

    assert folder.local("results/a.jsonl").read_bytes() == b"whole"
    del folder
    assert not path.exists()


# -- the folder itself -----------------------------------------------------------------------------------------------


def test_a_whole_folder_moves(base_uri, folder):
    folder.create("job.json", b"spec")
    folder.create(NAME, b"event")

    folder.move(f"{base_uri}-old/0000", last="job.json")

    moved = open_folder(f"{base_uri}-old/0000")
    assert (moved.read("job.json"), moved.read(NAME)) == (b"spec", b"event")
    assert (folder.read("job.json"), folder.read(NAME), folder.names("events")) == (None, None, [])


def test_a_folder_of_one_document_moves(base_uri, folder):
    folder.create("job.json", b"spec")

    folder.move(f"{base_uri}-old", last="job.json")

    assert open_folder(f"{base_uri}-old").read("job.json") == b"spec"
    assert folder.read("job.json") is None


def test_a_move_that_was_cut_short_is_done_again_and_loses_nothing(store, monkeypatch):
    """While the last document is in its place, so is the job; it goes when everything else has gone."""
    folder = open_folder("memory://bucket/base")
    names = ["job.json", NAME, "results/a.jsonl"]
    for name in names:
        folder.create(name, name.encode())
    remove, budget = store.rm_file, [1]

    def dies(path):
        if not budget[0]:
            raise KeyboardInterrupt
        budget[0] -= 1
        remove(path)

    monkeypatch.setattr(store, "rm_file", dies)
    with pytest.raises(KeyboardInterrupt):
        folder.move("memory://bucket/old", last="job.json")
    assert folder.read("job.json") == b"job.json"

    monkeypatch.setattr(store, "rm_file", remove)
    folder.move("memory://bucket/old", last="job.json")

    moved = open_folder("memory://bucket/old")
    assert [moved.read(name) for name in names] == [name.encode() for name in names]
    assert store.find("/bucket/base") == []


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("file:///a/b%2Fc", "/a/b%2Fc"),
        ("file:///a/2026-11-22T10:00:00+00:00", "/a/2026-11-22T10:00:00+00:00"),
        ("file:///a/ü b", "/a/ü b"),
    ],
)
def test_a_disk_folder_lies_exactly_where_its_uri_says(uri, path):
    folder = open_folder(uri)

    assert isinstance(folder, LocalFolder)
    assert str(folder.path) == path
    assert folder.uri_of("job.json") == f"{uri.rstrip('/')}/job.json"


def test_a_scheme_that_nothing_serves_is_refused_with_what_to_install():
    with pytest.raises(InputError, match=r"'s4://bucket/jobs' cannot be opened.*Install.*\[s3\]"):
        open_folder("s4://bucket/jobs")
