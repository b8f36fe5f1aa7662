"""The contract of the file seam, on the disk and in memory; then what only the memory one can do: faults and power cuts."""

from __future__ import annotations

from random import Random

import pytest

from meadowlark.journal.files import ensure_folders, read_whole, remove_all, replace_whole, write_whole
from meadowlark.server.disk import Disk
from meadowlark.testing import Fault, MemoryFiles, PowerCut


@pytest.fixture(params=["disk", "memory"])
def place(request, tmp_path):
    """(files, a folder that exists)"""
    if request.param == "disk":
        return Disk(), str(tmp_path)
    files = MemoryFiles()
    files.make_folder("root")
    return files, "root"


def test_bytes_stand_where_they_were_written(place):
    files, root = place
    file = files.open(f"{root}/a", create=True)
    file.write(0, [b"one", b"", b"two"])
    file.write(3, [b"TWO"])
    file.write(8, [b"!"])
    file.sync()
    assert file.read(0, 100) == b"oneTWO\0\0!"
    assert file.read(4, 2) == b"WO"
    assert file.read(50, 2) == b""
    assert file.size() == 9
    file.close()
    assert read_whole(files, f"{root}/a") == b"oneTWO\0\0!"


def test_many_blocks_are_one_write(place):
    files, root = place
    file = files.open(f"{root}/a", create=True)
    blocks = [b"%05d" % number for number in range(2500)]
    file.write(2, blocks)
    assert file.read(2, 12500) == b"".join(blocks)
    file.close()


def test_allocated_room_is_zeros_and_never_shrinks_a_file(place):
    files, root = place
    file = files.open(f"{root}/a", create=True)
    file.write(0, [b"abc"])
    file.allocate(10)
    assert file.read(0, 100) == b"abc" + bytes(7)
    file.allocate(5)
    assert file.size() == 10
    file.truncate(2)
    file.allocate(4)
    assert file.read(0, 100) == b"ab\0\0"
    file.close()


def test_names_come_and_go(place):
    files, root = place
    files.make_folder(f"{root}/f")
    files.make_folder(f"{root}/f")
    write_whole(files, f"{root}/f/b", b"1")
    write_whole(files, f"{root}/f/a", b"2")
    assert files.list(f"{root}/f") == ["a", "b"]
    files.rename(f"{root}/f/a", f"{root}/f/b")
    files.sync_folder(f"{root}/f")
    assert files.list(f"{root}/f") == ["b"]
    assert read_whole(files, f"{root}/f/b") == b"2"
    assert files.exists(f"{root}/f/b")
    assert not files.exists(f"{root}/f/a")
    assert not files.exists(f"{root}/f/b/c")
    with pytest.raises(OSError, match="empty"):
        files.remove_folder(f"{root}/f")
    files.remove(f"{root}/f/b")
    files.remove_folder(f"{root}/f")
    assert files.list(root) == []


def test_what_is_not_there_or_there_already_is_said(place):
    files, root = place
    write_whole(files, f"{root}/a", b"")
    with pytest.raises(FileExistsError):
        files.open(f"{root}/a", create=True)
    with pytest.raises(FileExistsError):
        files.make_folder(f"{root}/a")
    with pytest.raises(NotADirectoryError):
        files.list(f"{root}/a")
    for act in (files.open, files.list, files.remove, files.remove_folder, files.sync_folder):
        with pytest.raises(FileNotFoundError):
            act(f"{root}/b")
    with pytest.raises(FileNotFoundError):
        files.rename(f"{root}/b", f"{root}/c")
    with pytest.raises(FileNotFoundError):
        files.make_folder(f"{root}/b/c")


def test_a_file_is_replaced_over_the_rest_of_an_earlier_attempt(place):
    files, root = place
    write_whole(files, f"{root}/a.unfinished", b"a longer text of an attempt that a crash cut short")
    replace_whole(files, root, "a", b"first")
    replace_whole(files, root, "a", b"second")
    assert read_whole(files, f"{root}/a") == b"second"
    assert files.list(root) == ["a"]


def test_folders_are_made_and_removed_with_all_in_them(place):
    files, root = place
    ensure_folders(files, root, "a", "b")
    ensure_folders(files, root, "a", "b")
    write_whole(files, f"{root}/a/b/c", b"")
    write_whole(files, f"{root}/a/d", b"")
    remove_all(files, f"{root}/a")
    assert files.list(root) == []


def test_disk_files_are_for_their_owner_only(tmp_path):
    files = Disk()
    files.make_folder(f"{tmp_path}/f")
    files.open(f"{tmp_path}/f/a", create=True).close()
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "f" / "a").stat().st_mode & 0o777 == 0o600


# Only in memory: what a power cut leaves


def survivors(files, path="a"):
    """Every content that the file at `path` was found with after a power cut; None: no such file."""
    found = set()
    for seed in range(300):
        after = files.after_power_cut(Random(seed))
        found.add(read_whole(after, path) if after.exists(path) else None)
    return found


def test_synced_bytes_with_a_synced_name_survive_every_power_cut():
    files = MemoryFiles()
    write_whole(files, "a", b"abc")
    files.sync_folder("")
    assert survivors(files) == {b"abc"}


def test_a_name_that_was_not_synced_may_be_gone():
    files = MemoryFiles()
    write_whole(files, "a", b"abc")
    assert survivors(files) == {b"abc", None}


def test_unsynced_bytes_survive_wholly_in_part_torn_or_not_at_all():
    files = MemoryFiles()
    write_whole(files, "a", bytes(64))
    files.sync_folder("")
    files.open("a").write(0, [b"x" * 64])
    found = survivors(files)
    assert {bytes(64), b"x" * 64, b"x" * 5 + bytes(59)} <= found
    assert any(content[:16] == bytes(16) and content.endswith(b"x") for content in found), "the beginning may be what is lost"
    assert all(len(content) == 64 for content in found)


def test_a_file_that_is_open_stays_so_under_its_new_name(place):
    files, root = place
    file = files.open(f"{root}/a", create=True)
    file.write(0, [b"one "])
    files.rename(f"{root}/a", f"{root}/b")
    file.write(4, [b"two"])
    file.sync()
    assert file.size() == 7
    file.close()
    assert read_whole(files, f"{root}/b") == b"one two"


def test_a_rename_survives_whole_or_not_at_all():
    files = MemoryFiles()
    write_whole(files, "a", b"old")
    write_whole(files, "b", b"new")
    files.sync_folder("")
    files.rename("b", "a")
    assert survivors(files, "a") == {b"old", b"new"}
    assert survivors(files, "b") == {b"new", None}


def test_a_sync_that_succeeds_does_not_make_up_for_one_that_failed():
    files = MemoryFiles()
    file = files.open("a", create=True)
    files.sync_folder("")
    file.write(0, [b"lost"])
    files.plan(Fault.FAIL, 1)
    with pytest.raises(OSError, match="planned"):
        file.sync()
    assert file.read(0, 4) == b"lost"
    file.write(4, [b"kept"])
    file.sync()
    assert survivors(files) == {b"\0\0\0\0kept"}


@pytest.mark.parametrize(("fault", "expected"), [(Fault.FAIL, b""), (Fault.SHORT, b"ab")])
def test_a_write_fails_wholly_or_half(fault, expected):
    files = MemoryFiles()
    file = files.open("a", create=True)
    files.plan(fault, 1)
    with pytest.raises(OSError, match="planned"):
        file.write(0, [b"abcd"])
    assert file.read(0, 9) == expected
    assert files.steps == ["write a"]


def test_after_a_power_cut_nothing_works():
    files = MemoryFiles()
    file = files.open("a", create=True)
    files.plan(Fault.CUT, 2)
    file.write(0, [b"a"])
    with pytest.raises(PowerCut):
        file.sync()
    for act in (file.sync, file.size, lambda: files.list(""), lambda: files.make_folder("b")):
        with pytest.raises(PowerCut):
            act()
