"""The journal file: what was acknowledged is there, what was torn is cut, what was damaged stops the server."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tallystick.core.period import Instant
from tallystick.errors import Refusal
from tallystick.ports import Block
from tallystick.ports.packed import Packed
from tallystick.stores import journal_file
from tallystick.stores.journal_file import HEAD, MAGIC, FileJournal, JournalDamaged, JournalInUse

NOW = Instant.parse("2025-06-01T12:00:00.123456Z")


def block(*entries: bytes, organization: str = "north", kind: str = "measurement") -> Block:
    return Block(organization_id=organization, kind=kind, received=NOW, entries=entries)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(directory: Path) -> Iterator[FileJournal]:
    opened = FileJournal(directory)
    yield opened
    opened.close()


def reopened(directory: Path) -> list[tuple[int, list[bytes]]]:
    """(first position, entries) of every block that a newly opened journal has."""
    opened = FileJournal(directory)
    try:
        return [(each.first, list(each.entries)) for each in opened.read(0)]
    finally:
        opened.close()


def only_segment(directory: Path) -> Path:
    (path,) = directory.glob("*.journal")
    return path


class TestAppendAndRead:
    def test_a_system_that_keeps_its_cache_takes_appends(
        self, journal: FileJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def advise(*_: int) -> None:
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(os, "posix_fadvise", advise)
        (placed,) = journal.append([block(b"x" * 10_000)])
        assert journal.last == placed.last == 1

    def test_whole_pages_that_are_on_disk_leave_the_cache(
        self, journal: FileJournal, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[tuple[int, int]] = []  # which bytes, and how long the file was
        real = os.posix_fadvise

        def advise(file: int, start: int, length: int, advice: int) -> None:
            assert (start % 4096, length % 4096, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
            told.append((start, start + length))
            real(file, start, length, advice)

        monkeypatch.setattr(os, "posix_fadvise", advise)
        for size in (100, 10_000, 100, 5_000):
            journal.append([block(b"x" * size)])
        size = only_segment(directory).stat().st_size
        assert told == [(0, 8192), (8192, size - size % 4096)]
        assert [len(each.entries[0]) for each in journal.read(0)] == [100, 10_000, 100, 5_000]

    def test_an_empty_journal_ends_at_zero_and_reads_nothing(self, journal: FileJournal) -> None:
        assert journal.last == 0
        assert list(journal.read(0)) == []
        assert journal.append([]) == []

    def test_positions_start_at_one_and_rise_over_all_organizations(self, journal: FileJournal) -> None:
        placed = journal.append([block(b"a", b"b"), block(b"c", organization="south")])
        placed += journal.append([block(b"d")])
        assert [(each.organization_id, each.first, each.last) for each in placed] == [
            ("north", 1, 2),
            ("south", 3, 3),
            ("north", 4, 4),
        ]
        assert journal.last == 4

    def test_a_block_comes_back_as_it_was_given(self, journal: FileJournal) -> None:
        journal.append([block(b"\x00\xff", b"", "é".encode(), organization="süd", kind="withdrawal")])
        (read,) = journal.read(0)
        assert (read.organization_id, read.kind, read.received, list(read.entries)) == (
            "süd",
            "withdrawal",
            NOW,
            [b"\x00\xff", b"", "é".encode()],
        )

    # Large ones, and more pieces than the system takes at once.
    @pytest.mark.parametrize(("blocks", "size"), [(1, 100), (3, 100), (1_000, 2)])
    def test_entries_in_one_piece_in_many_or_as_a_list_are_the_same(
        self, journal: FileJournal, directory: Path, blocks: int, size: int
    ) -> None:
        entries = [bytes([number]) * (size * number) for number in range(100)]
        some = np.array([number not in {3, 50} for number in range(100)])
        packed = Packed.of(entries)
        for given in (entries, packed, packed.taking(some), Packed.joined([packed, packed.taking(some)])):
            journal.append([replace(block(b""), entries=given) for _ in range(blocks)])
        without = [each for number, each in enumerate(entries) if some[number]]
        expected = [entries, entries, without, [*entries, *without]]
        assert [list(each.entries) for each in journal.read(0)] == [each for each in expected for _ in range(blocks)]

    @pytest.mark.parametrize(("after", "expected"), [(0, [1, 3, 4]), (1, [1, 3, 4]), (2, [3, 4]), (3, [4]), (4, [])])
    def test_reading_starts_at_the_block_that_reaches_beyond_a_position(
        self, journal: FileJournal, after: int, expected: list[int]
    ) -> None:
        journal.append([block(b"a", b"b"), block(b"c")])
        journal.append([block(b"d")])
        assert [each.first for each in journal.read(after)] == expected

    def test_a_read_ends_where_the_journal_ended_when_it_started(self, journal: FileJournal) -> None:
        journal.append([block(b"a")])
        reading = journal.read(0)
        first = next(reading)
        journal.append([block(b"b")])
        assert first.first == 1
        assert list(reading) == []
        assert [each.first for each in journal.read(first.last)] == [2]

    def test_following_the_end_and_reading_from_anywhere_mix(self, journal: FileJournal) -> None:
        for number in range(1, 8):
            journal.append([block(b"%d" % number)])
            assert [each.first for each in journal.read(number - 1)] == [number]
            assert [each.first for each in journal.read(0)] == list(range(1, number + 1))

    def test_stopping_in_the_middle_of_a_frame_loses_nothing(self, journal: FileJournal) -> None:
        journal.append([block(b"a"), block(b"b"), block(b"c")])
        reading = journal.read(0)
        next(reading)
        reading.close()
        assert [each.first for each in journal.read(1)] == [2, 3]

    def test_reopening_continues_the_positions(self, directory: Path) -> None:
        for number in range(1, 4):
            opened = FileJournal(directory)
            opened.append([block(b"%d" % number)])
            opened.close()
        assert reopened(directory) == [(1, [b"1"]), (2, [b"2"]), (3, [b"3"])]

    def test_a_second_process_is_turned_away(self, journal: FileJournal, directory: Path) -> None:
        with pytest.raises(JournalInUse, match="another server"):
            FileJournal(directory)
        assert journal.last == 0


class TestSegments:
    def test_a_large_segment_is_followed_by_a_new_one_named_by_its_first_position(self, directory: Path) -> None:
        opened = FileJournal(directory, segment_bytes=200)
        for number in range(1, 21):
            opened.append([block(b"%03d" % number)])
        names = sorted(path.name for path in directory.glob("*.journal"))
        assert len(names) > 3
        assert names[0] == "00000000000000000001.journal"
        for after in range(21):
            assert [each.first for each in opened.read(after)] == list(range(after + 1, 21))
        opened.close()
        assert [first for first, _entries in reopened(directory)] == list(range(1, 21))

    def test_a_crash_while_a_segment_is_created_leaves_a_file_that_held_nothing(self, directory: Path) -> None:
        opened = FileJournal(directory)
        opened.append([block(b"a")])
        opened.close()
        for written in (0, len(MAGIC) - 1):
            (directory / f"{2:020d}.journal").write_bytes(MAGIC[:written])
            assert reopened(directory) == [(1, [b"a"])]
        (directory / f"{2:020d}.journal").write_bytes(MAGIC)
        opened = FileJournal(directory)
        assert opened.append([block(b"b")])[0].first == 2
        assert [each.first for each in opened.read(0)] == [1, 2]
        opened.close()

    def test_creating_a_segment_makes_its_name_durable(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[Path] = []
        monkeypatch.setattr(journal_file, "_sync_directory", synced.append)
        FileJournal(directory).close()
        assert synced == [directory, directory, directory.parent]

    def test_what_a_killed_process_left_unsynced_is_synced_before_it_is_built_upon(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", lambda _file: None)
            killed = FileJournal(directory)
            killed.append([block(b"in the cache")])
            killed.close()
        synced: list[str] = []
        real = os.fsync

        def fsync(file: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{file}"))
            real(file)

        monkeypatch.setattr(os, "fsync", fsync)
        opened = FileJournal(directory)
        assert opened.last == 1
        assert synced == [str(directory / f"{1:020d}.journal"), str(directory), str(directory.parent)]
        opened.close()


class TestTornTail:
    def test_cut_at_any_byte_of_the_last_frame_the_rest_is_whole(self, directory: Path) -> None:
        opened = FileJournal(directory)
        opened.append([block(b"kept", b"kept too")])
        opened.close()
        path = only_segment(directory)
        start = path.stat().st_size
        opened = FileJournal(directory)
        opened.append([block(b"torn"), block(b"torn too", organization="south")])
        opened.close()
        whole = path.read_bytes()
        for length in range(start, len(whole)):
            path.write_bytes(whole[:length])
            assert reopened(directory) == [(1, [b"kept", b"kept too"])], f"cut at byte {length}"
            assert path.stat().st_size == start

    def test_a_torn_frame_of_full_length_is_cut_too(self, directory: Path) -> None:
        opened = FileJournal(directory)
        opened.append([block(b"kept")])
        opened.append([block(b"torn")])
        opened.close()
        path = only_segment(directory)
        whole = path.read_bytes()
        start = whole.rindex(journal_file.MARK)
        for damage in (bytes(len(whole) - start), whole[start:-1] + b"?"):
            path.write_bytes(whole[:start] + damage)
            assert reopened(directory) == [(1, [b"kept"])]

    def test_what_is_appended_after_a_cut_takes_the_position_of_what_was_torn(self, directory: Path) -> None:
        opened = FileJournal(directory)
        opened.append([block(b"torn")])
        opened.close()
        path = only_segment(directory)
        path.write_bytes(path.read_bytes()[:-1])
        opened = FileJournal(directory)
        assert opened.append([block(b"new")])[0].first == 1
        opened.close()
        assert reopened(directory) == [(1, [b"new"])]


class TestDamage:
    def test_a_changed_byte_before_a_whole_frame_stops_the_opening(self, directory: Path) -> None:
        opened = FileJournal(directory)
        opened.append([block(b"first")])
        end = only_segment(directory).stat().st_size
        opened.append([block(b"second")])
        opened.close()
        path = only_segment(directory)
        whole = path.read_bytes()
        for at in range(len(MAGIC), end):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
            with pytest.raises(JournalDamaged, match=f"{path} at byte {len(MAGIC)}: .*restore this file"):
                FileJournal(directory)

    def test_a_segment_that_is_missing_in_between_stops_the_reading(self, directory: Path) -> None:
        journal = FileJournal(directory, segment_bytes=1)
        for entry in (b"one", b"two", b"three"):
            journal.append([block(entry)])
        journal.close()
        segments = sorted(directory.glob("*.journal"))
        segments[1].unlink()
        with pytest.raises(JournalDamaged, match="position 3 follows position 1"):
            reopened(directory)
        again = FileJournal(directory)
        with pytest.raises(JournalDamaged):
            list(again.read(1))
        assert [each.first for each in again.read(2)] == [3], "what comes after is whole"
        again.close()

    def test_damage_in_an_older_segment_stops_the_reading(self, directory: Path) -> None:
        opened = FileJournal(directory, segment_bytes=100)
        for number in range(4):
            opened.append([block(b"%050d" % number)])
        oldest = min(directory.glob("*.journal"))
        content = bytearray(oldest.read_bytes())
        content[len(MAGIC) + HEAD.size + 30] ^= 1
        oldest.write_bytes(content)
        last = opened.last
        assert opened.damage is None
        with pytest.raises(JournalDamaged, match="checksum"):
            list(opened.read(0))
        assert opened.damage is not None
        assert "restore this file from a backup" in opened.damage
        with pytest.raises(Refusal, match=r"damaged: .*nothing more is taken until then"):
            opened.append([block(b"more")])
        assert opened.last == last
        opened.close()

    def test_a_file_that_is_no_journal_is_not_touched(self, directory: Path) -> None:
        directory.mkdir()
        other = directory / f"{1:020d}.journal"
        other.write_bytes(b"somebody else's file of some length\n")
        with pytest.raises(JournalDamaged, match="first line"):
            FileJournal(directory)
        assert other.read_bytes().startswith(b"somebody")


class TestFullDisk:
    @pytest.mark.parametrize("step", ["pwritev", "fdatasync"])
    def test_nothing_is_kept_of_an_append_that_failed(
        self, journal: FileJournal, directory: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        journal.append([block(b"kept")])
        size = only_segment(directory).stat().st_size
        real = getattr(os, step)

        def full(*arguments: object) -> object:
            monkeypatch.setattr(os, step, real)
            real(*arguments)  # the bytes reach the file, and then the system says no
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, step, full)
        with pytest.raises(Refusal, match="No space left") as refused:
            journal.append([block(b"lost")])
        assert refused.value.code.name == "busy"
        assert refused.value.code.retry
        assert journal.last == 1
        assert only_segment(directory).stat().st_size == size
        assert journal.append([block(b"next")])[0].first == 2
        assert [list(each.entries) for each in journal.read(0)] == [[b"kept"], [b"next"]]

    def test_a_write_that_takes_only_a_part_is_continued(
        self, journal: FileJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.pwritev
        monkeypatch.setattr(os, "pwritev", lambda file, parts, offset: real(file, [b"".join(parts)[:7]], offset))
        journal.append([block(b"whole")])
        assert [list(each.entries) for each in journal.read(0)] == [[b"whole"]]

    def test_a_clean_up_that_fails_is_tried_again_by_the_next_append(
        self, journal: FileJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = OSError(errno.EIO, os.strerror(errno.EIO))

        def fails(*_arguments: object) -> None:
            raise broken

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fails)
            patch.setattr(os, "ftruncate", fails)
            for _ in range(2):
                with pytest.raises(Refusal, match="nothing of this request was kept"):
                    journal.append([block(b"lost" * 100)])
        journal.append([block(b"kept")])
        assert [list(each.entries) for each in journal.read(0)] == [[b"kept"]]

    def test_no_room_for_a_new_segment_leaves_the_old_one_in_use(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = FileJournal(directory, segment_bytes=1)
        opened.append([block(b"a")])

        def full(_directory: Path) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(journal_file, "_sync_directory", full)
            with pytest.raises(Refusal):
                opened.append([block(b"lost")])
        opened.append([block(b"b")])
        opened.close()
        assert reopened(directory) == [(1, [b"a"]), (2, [b"b"])]
