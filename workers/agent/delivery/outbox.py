"""Keeps finished results on disk until the server has taken them, so that none gets lost.

Each submission is one file, written and synced before it is first sent. A thread delivers them; the
files of a former start are delivered like new ones. Whatever the server does not take, or nobody
takes for 14 days of trying, is set aside in the folder ``rejected``. The outbox is full at 1,000
submissions or 256 MiB, and while the disk does not take a submission; the agent then claims no
more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from workers.agent.backoff import Backoff
from workers.agent.connection.client import (
    Client,
    RequestRefused,
    ServerError,
    ServerUnavailable,
)
from workers.agent.connection.server_errors import fault_of
from workers.agent.delivery.outbox_entries import Entry, encode, read_entry
from workers.agent.disk import trim_folder
from workers.agent.files import write_new
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import Delivery, Fault
from workers.agent.tasks.judgement import failure
from workers.features import NO_FEATURES, Feature, submission_for
from workers.protocol import (
    MAX_RESULTS_PER_REQUEST,
    ErrorCode,
    FailureClass,
    Submission,
    SubmissionReply,
)

MAX_ENTRIES: Final = 1_000
MAX_BYTES: Final = 256 * 1024 * 1024
MAX_REJECTED_ENTRIES: Final = 200
MAX_REJECTED_BYTES: Final = 16 * 1024 * 1024
MAX_WAIT_SECONDS: Final = 14 * 24 * 3600.0
# How much of the wait a crash may forget: writing it at each try would wear the disk out.
_WAIT_SAVE_SECONDS: Final = 3600.0
_TOKEN_RETRY_SECONDS: Final = 60.0
# Entries that fail in one round before it ends. More than one, because a proxy or a fault of the
# server may refuse one result for ever, which must not hold up the others.
_MAX_FAILURES_PER_ROUND: Final = 3
# The server could not read the submission; any other refusal is its last word on it.
_UNREADABLE: Final = frozenset({ErrorCode.INVALID, ErrorCode.PAYLOAD_TOO_LARGE})
# The worker is refused, not the submission.
_TOKEN_STATUSES: Final = frozenset({401, 403})
# Of results that go together: less than the 1 MiB that the server reads.
_BATCH_BYTES: Final = 1_000_000
# After a list that did not get through, results go alone for so long.
_ALONE_SECONDS: Final = 600.0
_SOURCE: Final = "delivery"  # of its trouble, as the status names it
_ASK_OPERATOR: Final = "Ask an operator of the server."

log = logging.getLogger("xeenet.outbox")


class Outbox:
    """The undelivered submissions in ``folder``. Thread-safe; one agent per folder."""

    def __init__(self, folder: Path, board: StatusBoard | None = None) -> None:
        self._board = board or StatusBoard()
        self._folder = folder
        self._rejected = folder / "rejected"
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._changed = threading.Event()
        # Lease -> monotonic time up to which its entry's wait is counted.
        self._counted_at: dict[str, float] = {}
        self._saved_waits: dict[str, float] = {}
        self._tried_at: dict[str, float] = {}
        # Monotonic time until which no list is sent: it did not get through.
        self._alone_until = 0.0
        self._load()

    def put(self, lease_id: str, submission: Submission) -> None:
        """Store a submission durably; it is sent after the next `wake`.

        When the disk does not take it, that is logged, and the submission is sent from memory. One
        that cannot be written as JSON becomes a failure that says so.
        """
        entry = Entry(lease_id, submission, time.time())
        try:
            encode(entry)
        except (ValueError, TypeError, RecursionError) as error:
            message = f"the result cannot be written as JSON: {type(error).__name__}: {error}"
            entry.submission = failure(FailureClass.INVALID_RESULT, message)
        self._store(entry)
        with self._lock:
            self._entries[lease_id] = entry
            self._counted_at[lease_id] = time.monotonic()
        self._board.to_send(len(self.pending_lease_ids()))

    def pending_lease_ids(self) -> list[str]:
        """Return the leases whose submissions the server has not taken yet, oldest first."""
        with self._lock:
            return list(self._entries)

    def is_full(self) -> bool:
        """Return whether too much waits for delivery, so that no new task should be claimed."""
        with self._lock:
            entries = list(self._entries.values())
        size_bytes = sum(entry.size_bytes for entry in entries)
        if len(entries) >= MAX_ENTRIES or size_bytes >= MAX_BYTES:
            return True
        return not all(entry.on_disk for entry in entries)

    def deliver_until(self, client: Client, stop: threading.Event) -> None:
        """Deliver present and new entries until ``stop`` is set. The delivery thread's body."""
        backoff = Backoff()
        while True:
            self._changed.clear()
            if stop.is_set():  # checked after the clear, so that no wake is lost
                self._count_waits(_WAIT_SAVE_SECONDS / 60)
                return
            try:
                wait = self._deliver_pending(client, stop, backoff)
            except Exception:  # a bug must not end the delivery of all later results
                log.exception("the delivery of results failed, trying on")
                wait = _TOKEN_RETRY_SECONDS
            if wait is None:
                self._changed.wait()
            else:
                stop.wait(wait)

    def wake(self) -> None:
        """Make the delivery thread check for new submissions and check its stop event."""
        self._changed.set()

    def _deliver_pending(
        self, client: Client, stop: threading.Event, backoff: Backoff
    ) -> float | None:
        """Send the entries once; return the seconds until the next try, None when all are gone.

        The one that was tried longest ago goes first. Several go together to a server that takes
        lists, and alone what is then left. The round ends early when the server is away
        or asks to wait.
        """
        wait: float | None = None
        failures = 0
        pending = sorted(self.pending_lease_ids(), key=self._last_try)
        away = self._deliver_together(client, pending, stop)
        for lease_id in pending:
            if stop.is_set():
                return 0.0
            entry = self._entries.get(lease_id)
            if entry is None:  # gone with others
                backoff.reset()
                continue
            if not entry.on_disk:
                self._store(entry)
            self._tried_at[lease_id] = time.monotonic()
            try:
                self._deliver(client, entry, away)
                backoff.reset()
            except ServerError as error:
                self._count_waits()
                if entry.waited_seconds > MAX_WAIT_SECONDS:
                    words = "undelivered after 14 days of trying, set aside in"
                    self._set_aside(entry, f"{words} {self._rejected}: {error}")
                    continue
                self._board.delivery(lease_id, Delivery.WAITING)
                if not isinstance(error, ServerUnavailable):  # 401 or 403: a person has to act
                    words = f"results kept, this worker is refused: {error}"
                    self._board.trouble(_SOURCE, Fault.SERVER, words, _ASK_OPERATOR)
                    return _TOKEN_RETRY_SECONDS
                failures += 1
                if failures == 1:
                    wait = backoff.next_wait(error.retry_after_seconds)
                    waiting = len(self.pending_lease_ids())
                    words = f"{waiting} result(s) wait: {error}"
                    self._board.trouble(_SOURCE, fault_of(error), words)
                if _is_away(error) or failures >= _MAX_FAILURES_PER_ROUND:
                    return wait
        if not failures:
            self._board.mended(_SOURCE)
        return wait

    def _deliver_together(
        self, client: Client, lease_ids: list[str], stop: threading.Event
    ) -> ServerUnavailable | None:
        """Send several entries in one request, if the server takes lists.

        What it does not take, or cannot read, in a list stays: it goes alone. Returns the error
        when the server is away.
        """
        if Feature.RESULT_LISTS not in client.heard_features:
            return None
        for batch in self._batches(lease_ids):
            if stop.is_set() or len(batch) < 2 or time.monotonic() < self._alone_until:
                return None
            self._tried_at |= dict.fromkeys(batch, time.monotonic())
            submissions = {lease_id: self._entries[lease_id].submission for lease_id in batch}
            try:
                answers = client.submit_together(submissions)
            except ServerError as error:
                if isinstance(error, ServerUnavailable) and _is_away(error):
                    return error
                log.debug("results do not go together: %s", error)
                self._alone_until = time.monotonic() + _ALONE_SECONDS
                return None
            for lease_id, answer in answers.items():
                if not isinstance(answer, ServerError):
                    self._taken(self._entries[lease_id], answer)
                elif isinstance(answer, RequestRefused) and _is_final(answer):
                    self._refused(self._entries[lease_id], answer)
        return None

    def _batches(self, lease_ids: list[str]) -> Iterator[list[str]]:
        """Split the entries by what one request may hold."""
        batch, size_bytes = list[str](), 0
        for lease_id in lease_ids:
            more_bytes = self._entries[lease_id].size_bytes
            if batch and (
                len(batch) == MAX_RESULTS_PER_REQUEST or size_bytes + more_bytes > _BATCH_BYTES
            ):
                yield batch
                batch, size_bytes = [], 0
            batch.append(lease_id)
            size_bytes += more_bytes
        yield batch

    def _last_try(self, lease_id: str) -> float:
        """Return when this start last tried the entry; the never tried come first, by age."""
        return self._tried_at.get(lease_id, 0.0)

    def _count_waits(self, save_seconds: float = _WAIT_SAVE_SECONDS) -> None:
        """Add the time since the last count to the wait of each entry.

        Write those whose wait has grown by more than ``save_seconds`` since it was written.
        """
        now = time.monotonic()
        with self._lock:
            for lease_id, entry in self._entries.items():
                entry.waited_seconds += now - self._counted_at.get(lease_id, now)
                self._counted_at[lease_id] = now
            entries = list(self._entries.values())
        for entry in entries:
            saved = self._saved_waits.get(entry.lease_id, 0.0)
            if entry.on_disk and entry.waited_seconds > saved + save_seconds:
                self._store(entry)

    def _deliver(self, client: Client, entry: Entry, away: ServerUnavailable | None) -> None:
        """Send one entry and act on the answer. Raises `ServerError` when the entry has to wait.

        That is ``away``, if the server is known to be away.
        """
        if away is not None:
            raise away
        while True:
            try:
                reply = client.submit(entry.lease_id, entry.submission)
            except RequestRefused as refused:
                if refused.status in _TOKEN_STATUSES:
                    raise
                if _is_final(refused) or entry.corrected:
                    self._refused(entry, refused)
                    return
                log.debug("%s: the server cannot read it: %s", entry.lease_id[:8], refused)
                plain = submission_for(entry.submission, NO_FEATURES)
                if plain != entry.submission:  # perhaps an older server has taken its place
                    entry.submission = plain
                    self._store(entry)
                else:
                    self._correct(entry, str(refused))
            else:
                self._taken(entry, reply)
                return

    def _taken(self, entry: Entry, reply: SubmissionReply) -> None:
        """Let go of an entry that the server has answered with a verdict."""
        self._remove(entry)
        verdict, said = reply["verdict"], reply.get("note") or reply["message"]
        self._board.delivery(entry.lease_id, Delivery.ANSWERED, verdict=str(verdict), said=said)

    def _refused(self, entry: Entry, refused: RequestRefused) -> None:
        """Set an entry aside that the server refuses for good."""
        reason = f"{refused.status} {refused.code}: {refused}"
        self._set_aside(entry, reason if _is_final(refused) else f"refused twice: {refused}")

    def _correct(self, entry: Entry, reason: str) -> None:
        """Replace a submission that the server cannot read by a failure that says so."""
        self._copy_to_rejected(entry)
        message = f"the server could not read the result: {reason}"
        entry.submission = failure(FailureClass.INVALID_RESULT, message)
        entry.corrected = True
        self._store(entry)

    def _set_aside(self, entry: Entry, reason: str) -> None:
        """Move an entry to the folder ``rejected``; one that cannot be moved stays where it is."""
        self._board.delivery(entry.lease_id, Delivery.SET_ASIDE, said=reason)
        moved = not entry.on_disk
        if entry.on_disk:
            try:  # a rename, because a full disk takes no copy
                self._rejected.mkdir(parents=True, exist_ok=True)
                self._path(entry).replace(self._rejected / f"{entry.lease_id}.json")
                moved = True
            except OSError as error:
                log.error("result not set aside, the next start tries it again: %s", error)  # noqa: TRY400 (for people)
            self._trim_rejected()
        else:
            self._copy_to_rejected(entry)
        self._remove(entry, from_disk=moved)

    def _copy_to_rejected(self, entry: Entry) -> None:
        try:
            self._rejected.mkdir(parents=True, exist_ok=True)
            write_new(self._rejected / f"{entry.lease_id}.json", encode(entry))
        except (OSError, ValueError) as error:
            log.error("result not kept in %s: %s", self._rejected, error)  # noqa: TRY400 (for people)
        self._trim_rejected()

    def _trim_rejected(self) -> None:
        trim_folder(
            self._rejected, most_bytes=MAX_REJECTED_BYTES, most_entries=MAX_REJECTED_ENTRIES
        )

    def _store(self, entry: Entry) -> None:
        """Write the whole entry durably before returning; a failed write is logged, not raised."""
        text = encode(entry)
        entry.size_bytes = len(text)
        path = self._path(entry)
        temporary = path.with_suffix(".tmp")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_new(temporary, text, durable=True)
            temporary.replace(path)
            _sync_folder(self._folder)
            entry.on_disk = True
            self._saved_waits[entry.lease_id] = entry.waited_seconds
        except OSError as error:
            entry.on_disk = False
            log.error("result not stored on disk: %s", error)  # noqa: TRY400 (for people)

    def _remove(self, entry: Entry, *, from_disk: bool = True) -> None:
        with self._lock:
            self._entries.pop(entry.lease_id, None)
            for times in (self._counted_at, self._saved_waits, self._tried_at):
                times.pop(entry.lease_id, None)
        if from_disk:
            with contextlib.suppress(OSError):
                self._path(entry).unlink(missing_ok=True)
        self._board.to_send(len(self.pending_lease_ids()))

    def _path(self, entry: Entry) -> Path:
        return self._folder / f"{entry.lease_id}.json"

    def _load(self) -> None:
        """Load the entries of a former start, oldest first; set unreadable files aside."""
        entries = []
        for path in self._folder.glob("*.json"):
            try:
                entries.append(read_entry(path))
            except (OSError, ValueError) as error:
                log.error("%s set aside: %s", path.name, error)  # noqa: TRY400 (for people)
                with contextlib.suppress(OSError):  # a file that stays must not end the start
                    self._rejected.mkdir(parents=True, exist_ok=True)
                    path.replace(self._rejected / path.name)
                self._trim_rejected()
        now = time.monotonic()
        for entry in sorted(entries, key=lambda entry: entry.stored_at):
            self._entries[entry.lease_id] = entry
            self._counted_at[entry.lease_id] = now
            self._saved_waits[entry.lease_id] = entry.waited_seconds
        self._board.to_send(len(entries))
        if entries:
            log.info("%d result(s) of a former start wait for delivery", len(entries))


def _is_final(refused: RequestRefused) -> bool:
    """Return whether a refusal is the server's last word on a submission."""
    return refused.status not in _TOKEN_STATUSES and refused.code not in _UNREADABLE


def _is_away(error: ServerUnavailable) -> bool:
    """Return whether no other request would get an answer now."""
    return not error.answered or error.retry_after_seconds is not None


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable; Windows cannot open folders and needs no such call."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
