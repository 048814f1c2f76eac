"""
What somebody must act on.

    GatewayError
    ├── ConfigurationError          the settings are wrong; nothing was started
    │   ├── FolderOfAnother         a spool folder is another provider's
    │   ├── NoFile                  a command needs the database's file, and there is none
    │   └── AddressUnusable         another program has the port, or it cannot be had here
    ├── StoreError
    │   ├── DatabaseDamaged         quick_check failed, or the file is not a database
    │   ├── DatabaseNewer           written by a later release
    │   ├── DatabaseInUse           another gateway holds it
    │   ├── DatabaseUnfit           the engine refuses us, or is not as we need it
    │   ├── DatabaseEmpty           no gateway has made its tables there yet
    │   ├── DatabaseSetBack         it knows less than was told of it: an older copy, or another one
    │   ├── CopyRefused             a copy into another database cannot begin, go on, or be used
    │   ├── BackupFailed            no backup was written
    │   ├── BackupDamaged           the file is not a whole backup
    │   ├── RestoreRefused          the present database has what the backup lacks
    │   ├── RowRefused              a constraint of the schema forbids a row
    │   ├── KeyMissing              rows are encrypted by a key that is not in the key ring
    │   ├── PayloadDamaged          the stored bytes of one message are not those that were stored
    │   ├── StaleState              the row was no longer in the state that we expected
    │   └── StoreUnavailable        nothing can be stored for now; it is nobody's fault, and waits
    │       ├── StorageFull         too little free space to promise anything
    │       ├── DatabaseHeld        another program does not let the gateway write
    │       ├── DatabaseAway        the database server does not answer
    │       └── OutcomeUnknown      it left us in the middle of a COMMIT, and is not back to ask
    ├── TokenUnavailable            no access token; nothing can be sent for this provider
    │   ├── CredentialsRefused      the token endpoint does not accept our key, id or clock
    │   ├── TokenServiceDown        it did not answer, or asked us to wait
    │   └── EgressBlocked           nothing gets out of our own network
    ├── IdentityError               a certificate or key cannot be used
    │   └── CallersShutOut          callers who get in today would not get in with it
    ├── KeyRingUnusable             the file of the keys that encrypt cannot be used
    ├── UsersUnusable               the file of the console's users cannot be used
    ├── FolderInUse                 another gateway works on this spool folder
    ├── OnboardingError             a key, name, certificate or letter cannot be made or used
    ├── EvidenceError               an export cannot be made, or is none
    ├── GatewayUnreachable          the command line found no running gateway
    │   └── GatewayBrokeOff         it ended the connection before it answered
    ├── GatewayBusy                 it was asked for something, and has not answered yet
    └── SandboxError                the sandbox cannot start

What the standard *expects* (a refusal, silence, a duplicate) is a value and never
an exception. `str(error)` says what happened, for the developer; `advice` says
what to do next, for the operator. Neither holds anything from a payload.

    one unit of work ──raises──► except Exception:  # unit of work
                                     └─► set aside · alarm · log line: Unforeseen(exception, place)

A unit of work is one file, message, request, notice, question or read, or one round of what
goes on by itself. An error that nobody foresaw ends one of them, and never the process: a
restart would only meet the same file again. An exception's text may quote what it stumbled
over, which may be a patient's; so its type and the line of ours are all that is told.

Decisions: D-set-aside.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb

from bars_gateway.frozen import frozen

_PACKAGE = Path(__file__).parent
_OTHER = "elsewhere"
NOTHING_LOST = (
    "Nothing was lost: files wait in the outbox, and the proxy retries what it could not hand over."
)


class GatewayError(Exception):
    """Something that a person must act on."""

    advice = "Read the log lines before this one, and run `bars-gateway check`."

    def __init__(self, cause: str = "", cure: str | None = None) -> None:
        """*cure* is what to do about this very one, in place of what its kind advises."""
        super().__init__(cause)
        if cure is not None:
            self.advice = cure


class ConfigurationError(GatewayError):
    """The settings are wrong; nothing was started."""

    advice = "Correct each setting that is named above; `bars-gateway check` looks again."


class FolderOfAnother(ConfigurationError):
    """A spool folder is another provider's."""


class NoFile(ConfigurationError):
    """A command works on the database's file, and the database is on a server."""

    advice = (
        "Use PostgreSQL's own tools instead: pg_dump or pg_basebackup for a backup, pg_restore to"
        " put it back, pg_amcheck to look at its tables."
    )


class AddressUnusable(ConfigurationError):
    """Nothing can be listened to at an address that a setting names."""

    def __init__(self, setting: str, host: str, port: int, error: OSError) -> None:
        """*error* is what the operating system said to it."""
        why = os.strerror(error.errno or 0)
        super().__init__(f"{setting}: {host} port {port} cannot be used: {why}")
        if error.errno == errno.EADDRINUSE:
            self.advice = (
                f"Another program has it, perhaps another gateway: `ss -ltnp 'sport = :{port}'`"
                f" names it. End that one, or set {setting} to a port that is free."
            )
        else:
            self.advice = (
                f"Set {setting} to an address of this machine (`ip address`), and to a port that"
                " the gateway's user may listen on: from 1024 on, without further rights."
            )


class StoreError(GatewayError):
    """The database cannot be used as it is."""

    advice = "Look at the disk that holds `store.path`, then run `bars-gateway verify`."


class DatabaseDamaged(StoreError):
    """The database failed its check, or is not a database."""

    advice = (
        "Keep the file. `bars-gateway verify` says what is damaged, and `bars-gateway verify"
        " FILE` whether a backup is whole. Take the latest that is, stop the gateway, and run"
        " `bars-gateway restore FILE --older`: it keeps the damaged file beside the restored one,"
        " and says what the gap means. Do not remove the file and start without it: every message"
        " that was already received would then be taken a second time."
    )


class DatabaseNewer(StoreError):
    """The database was written by a later release of the gateway."""

    advice = (
        "Install that version again. Or go back to the backup that was made before the upgrade:"
        " stop the gateway, and run `bars-gateway restore FILE --older` (of a server's database:"
        " see `docs/restoring.md`). It keeps the newer database beside it."
    )


class DatabaseInUse(StoreError):
    """Another gateway works on this database."""

    advice = (
        "Only one gateway may use a database. See which process holds it (`fuser` on the lock"
        " file), and stop it, or give this one a `store.path` of its own."
    )


class DatabaseUnfit(StoreError):
    """The engine refuses us, or is not as the gateway needs it; nothing was changed."""

    advice = "Look at `store.url`, and ask whoever runs the database server."


class DatabaseEmpty(StoreError):
    """The database on the server is there, and has no table of a gateway."""

    advice = (
        "A gateway makes them at its first start. If one has run with these settings, see that"
        " `store.url` names the database that it had."
    )


class DatabaseSetBack(StoreError):
    """The database knows less than was told of it: it is an older copy, or another one."""

    advice = (
        "If `store.url` is new in the settings, and all is still in the file: take it out, and copy"
        " first, with `bars-gateway store copy --to URL`. If the database was put back (pg_restore,"
        " a snapshot, a standby that lacked the last), or is to begin with nothing: run"
        " `bars-gateway restore` before the gateway starts. It lets no number be given a second"
        " time, and holds what may have been sent or withdrawn since."
    )


class CopyRefused(StoreError):
    """A copy into another database cannot begin, go on or be used as it is."""

    advice = "Run `bars-gateway store copy` again, as before: it goes on where it was."


class BackupFailed(StoreError):
    """No backup was written, and nothing was left behind."""

    advice = (
        "Name a file that does not exist yet, in a folder that this user may write to, on a disk"
        " with room for a copy of the database. If the database itself is at fault,"
        " `bars-gateway verify` says more."
    )


class BackupDamaged(StoreError):
    """The file is not a whole backup of a gateway's database."""

    advice = (
        "Nothing was changed. `bars-gateway verify FILE` says what is wrong with a backup; take an"
        " earlier one that is whole."
    )


class RestoreRefused(StoreError):
    """The present database has what the backup lacks, or cannot say that it has not."""

    advice = (
        "Nothing was changed. If the present database can still be used, use it. If it cannot, add"
        " --older: it is kept beside the restored one, and you are told what to do about the"
        " messages that only it knows."
    )


class RowRefused(StoreError):
    """A constraint of the schema forbids a row: the gateway meant to write what cannot be."""

    advice = "Report it, with the log line: it is a fault of the gateway, and nothing was changed."


class KeyMissing(StoreError):
    """Rows of the database are encrypted by a key that is not in the key ring, or is another."""

    advice = (
        "Nothing was changed. Put the key ring's copy back at `store.encryption_keys_file`, or add"
        " the lines of the keys that are named to the file that is there. Without these keys nobody"
        " can read those rows, neither here nor in a backup: see `docs/records.md`."
    )


class PayloadDamaged(StoreError):
    """The bytes of one message in the database are not those that were stored."""

    advice = (
        "That message is set aside, and the others go on: see its alarm. `bars-gateway verify`"
        " names every message that is damaged. Look at the disk; a backup may have the bytes."
    )


class StaleState(StoreError):
    """A row was no longer in the state that the caller expected."""

    advice = "Nothing was changed. Look at the message again and repeat the command if need be."


class StoreUnavailable(StoreError):
    """Nothing can be stored for now, whatever it is: whoever meets it waits and tries again."""

    advice = (
        "Look at the disk that holds `store.path`: whether it is there, may be written to, and the"
        f" files beside it are still the gateway's own. {NOTHING_LOST}"
    )


class StorageFull(StoreUnavailable):
    """There is too little free space to promise anything."""

    advice = f"Make room on the disk that holds `store.path`. {NOTHING_LOST}"


class DatabaseHeld(StoreUnavailable):
    """Another program has the database to itself, so that the gateway cannot write."""

    advice = (
        "Another program holds the database: find it with `fuser -v` on the file that `store.path`"
        f" names, and end it, or its transaction: a sqlite3 shell, a backup program. {NOTHING_LOST}"
    )


class DatabaseAway(StoreUnavailable):
    """The database server that `store.url` names does not answer, or has left us."""

    advice = (
        "See that the server that `store.url` names is up, that its standby was promoted if it"
        f" is not, and that the way to it is open: the gateway tries each second. {NOTHING_LOST}"
    )


class OutcomeUnknown(DatabaseAway):
    """The server left us in the middle of a COMMIT, and nobody can be asked what came of it."""

    advice = (
        "Nothing to do for this one: what was being stored is repeated under its own id, and is"
        " found if it was stored. See that the server that `store.url` names is up."
    )


class TokenUnavailable(GatewayError):
    """No access token can be had; nothing is sent for this provider until there is one."""

    advice = "See the token row of the status page for the reason; messages wait meanwhile."


class CredentialsRefused(TokenUnavailable):
    """The token endpoint does not accept our signed JWT."""

    advice = (
        "Check that the key id (kid) names a public key registered for this application, that"
        " the API key and the key belong to this environment, and that the clock is right"
        " (timedatectl)."
    )


class TokenServiceDown(TokenUnavailable):
    """The token endpoint did not answer, or asked us to wait."""

    advice = (
        "Nothing to do in the first minute: the gateway asks again. If it lasts, check the network"
        " path, and ask the national service desk."
    )


class EgressBlocked(TokenUnavailable):
    """Nothing gets out of our own network: no token, and no message either."""

    advice = "Look at outbound.egress_proxy, and ask whoever runs that proxy."


class IdentityError(GatewayError):
    """A certificate or key cannot be used."""

    advice = (
        "Check that the certificate and the key belong together, that neither has expired, that"
        " the file is PEM, and that its mode is 0600."
    )


class CallersShutOut(IdentityError):
    """Callers who get in today would not get in with the new certificates, lists or settings."""

    advice = (
        "Add the authority that is named, with its root, to inbound.client_ca_file beside those of"
        " the new file. If that caller is to stay out, remove its name from"
        " inbound.allowed_client_names; a restart takes the new as it is."
    )


class KeyRingUnusable(GatewayError):
    """The file of the keys that encrypt what is stored cannot be used."""

    advice = (
        "Put its copy back. It is made by `bars-gateway encryption rotate`, and is a file of the"
        " gateway's user, mode 0600, with a line for each key."
    )


class KeyRingRefused(IdentityError):
    """A key ring that was put in place while the gateway runs is not taken; the old goes on."""

    advice = (
        "The gateway goes on with the keys that it has, and would not start with this file. Put the"
        " ring's copy back, or add to the file the lines of the keys that it lacks, before the"
        " gateway is next restarted."
    )


class UsersUnusable(GatewayError):
    """The file of the console's users cannot be used; nobody can log in by it."""

    advice = (
        "It must be a file of the gateway's own user with mode 0600, as `bars-gateway users` writes"
        " it. Correct its owner and mode, or move it away and add the users again."
    )


class FolderInUse(GatewayError):
    """Another gateway works on this spool folder."""

    advice = "Give each gateway, and each provider, a `spool_dir` of its own."


class OnboardingError(GatewayError):
    """A key, a name, a certificate or a letter cannot be made or used as it is."""

    advice = "See `bars-gateway doctor` for all that stands between here and a connection."


class EvidenceError(GatewayError):
    """An export of evidence cannot be made, or what is looked at is none."""

    advice = (
        "Name a folder that is not there yet, or an empty one, for `bars-gateway evidence export`;"
        " and a folder that it made for `bars-gateway evidence verify` and `gaps`."
    )


class GatewayUnreachable(GatewayError):
    """The command line found no running gateway."""

    advice = "Start it (`systemctl start bars-gateway`), or name its settings file with --config."


class GatewayBrokeOff(GatewayUnreachable):
    """The gateway took what it was asked for, and ended the connection before it answered."""

    advice = (
        "See whether it runs (`systemctl status bars-gateway`): it may have been stopped, or be"
        " starting again. What was done stays done; ask again for the rest."
    )


class GatewayBusy(GatewayError):
    """The running gateway was asked for something, and no answer has come yet."""

    advice = (
        "Do not start it again: it runs. See with bars-gateway queue, show or audit what was done,"
        " and ask again for the rest."
    )


class SandboxError(GatewayError):
    """The sandbox cannot start."""

    advice = "Choose free ports and a folder that you may write to."


@frozen(kw_only=True)
class Unforeseen:
    """An error, as far as it may be told."""

    exception: str  # its type
    place: str  # the innermost line of ours that it came from: epr.intake:prepare:120


def for_a_future(error: Exception) -> Exception:
    """Return *error* as one that can be handed to who waits: no future takes a StopIteration."""
    if not isinstance(error, StopIteration):
        return error
    return RuntimeError("StopIteration was raised").with_traceback(error.__traceback__)


def unforeseen(error: BaseException) -> Unforeseen:
    """Return what may be told of *error*; of several that came together, of the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return Unforeseen(exception=type(error).__name__, place=[_OTHER, *_places(error)][-1])


def _places(error: BaseException) -> Iterator[str]:
    """Yield the lines of ours that the error came through, the innermost last."""
    for frame, line in walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE):
            module = ".".join(path.relative_to(_PACKAGE).with_suffix("").parts)
            yield f"{module}:{frame.f_code.co_name}:{line}"
