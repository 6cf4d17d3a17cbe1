"""devices/ssh against a real sshd on loopback: the same answers as here, every failure one message, nothing left there."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgecomp.devices import BrokenOffError, Device, Effort, ModelFile, open_device
from edgecomp.devices._ssh_link import read_target
from edgecomp.errors import DeviceError
from tests.small_bundle import RATE, SAMPLES, small_models
from tests.small_students import sounds

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
SSH = shutil.which("ssh")
PYTHON = f"?python={sys.executable}"
CLIPS = sounds(3, SAMPLES, rate=RATE)
ALIASES = {
    "board": {},
    "stranger": {"UserKnownHostsFile": "empty"},
    "changed": {"UserKnownHostsFile": "other_known"},
    "locked": {"IdentityFile": "other_key"},
    "greeting": {"Port": "{greeting}"},
    "down": {"Port": "{closed}"},
    "nowhere": {"HostName": "no-such-machine.invalid"},
}


class Server:
    """A running sshd, the folder of its files, and where temporary folders of its sessions lie."""

    def __init__(self, folder: Path, ports: list[int], process: subprocess.Popen):
        self.folder, self.ports, self.process, self.temporary = folder, ports, process, folder / "tmp"

    def left(self, tries: int = 100) -> list[Path]:
        """Return what sessions have left in their temporary folder, after a moment for them to end."""
        while (found := list(self.temporary.iterdir())) and tries > 0:
            tries -= 1
            time.sleep(0.1)
        return found

    def cut(self) -> None:
        """Kill every session, as a cable that is pulled would."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended
                continue
            if parent == self.process.pid:
                os.kill(int(stat.parent.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if SSHD is None or SSH is None:
        pytest.skip("no sshd here (Debian: openssh-server)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in; the package's service makes it
    folder = tmp_path_factory.mktemp("sshd")
    (folder / "tmp").mkdir()
    for name in ("host_key", "key", "other_key", "other_host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "key.pub", folder / "authorized")
    ports = [_free_port() for _ in range(3)]
    (folder / "sshd_config").write_text(
        f"Port {ports[0]}\nPort {ports[1]}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"PermitRootLogin yes\nStrictModes no\nUsePAM no\nSetEnv TMPDIR={folder}/tmp\n"
        f"Match LocalPort {ports[1]}\nForceCommand echo Welcome; echo '[]'; eval \"$SSH_ORIGINAL_COMMAND\"\n"
    )
    for name, key in (("known", "host_key"), ("other_known", "other_host_key")):
        public = " ".join((folder / f"{key}.pub").read_text().split()[:2])
        (folder / name).write_text("".join(f"[127.0.0.1]:{port} {public}\n" for port in ports))
    (folder / "empty").touch()
    places = dict(greeting=ports[1], closed=ports[2])
    (folder / "config").write_text(
        "".join(
            f"Host {alias}\n"
            + "".join(f"  {key} {_placed(key, text, folder, places)}\n" for key, text in given.items())
            for alias, given in ALIASES.items()
        )
        + f"Host {' '.join(ALIASES)}\n  HostName 127.0.0.1\n  Port {ports[0]}\n"
        + f"Host * !locked\n  IdentityFile {folder}/key\n"  # identities add up
        + "Host *\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        + f"  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile /dev/null\n"
    )
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {SSH} -F {folder}/config "$@"\n')
    wrapper.chmod(0o755)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _wait_for(ports[0], process, folder / "log")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
            yield Server(folder, ports, process)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = small_models(tmp_path_factory.mktemp("models"))
    return [ModelFile(f"small {form}", artifact.path, form) for form, artifact in sorted(made.items())]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _placed(key: str, text: str, folder: Path, places: dict[str, int]) -> str:
    return f"{folder}/{text}" if key.endswith("File") else text.format(**places)


def _wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    for _ in range(100):
        if process.poll() is not None:
            pytest.skip(f"sshd does not start here: {log.read_text().strip().splitlines()[-1:]}")
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("sshd does not listen")


def _failure(argument: str) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        open_device(f"ssh:{argument}").close()
    return caught.value


def _script(folder: Path, name: str, text: str) -> str:
    place = folder / name
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return f"?python={place}"


def test_answers_times_and_starts_come_back_and_nothing_stays_there(server, models):
    with open_device(f"ssh:board{PYTHON}") as board, open_device("host") as here:
        assert isinstance(board, Device) and board.how == "measured" and board.forms == ("onnx", "tflite")
        facts = board.describe()
        assert board.name.startswith("ssh board (") and facts["name"] == board.name and facts["ram_bytes"] > 2**28
        for model in models:
            there, expected = board.answers(model, CLIPS), here.answers(model, CLIPS)
            assert np.array_equal(there.probabilities, expected.probabilities)
            assert np.array_equal(there.uncertainty, expected.uncertainty) and there.runtime == expected.runtime
        timing = board.time(models, CLIPS, Effort(seconds=0.05, windows=5))
        assert len(timing.windows) >= 5 and timing.lost == "" and set(timing.runtimes) == {m.name for m in models}
        assert all(ms > 0 for window in timing.windows for ms in window.median_ms.values())
        (start,) = board.starts(models[0], SAMPLES, starts=1)
        assert start.cold_ms > start.load_ms > 0
        (folder,) = server.left(0)
        assert folder.stat().st_mode & 0o777 == 0o700 and not list(folder.glob("*.part"))
    assert server.left() == []


def test_user_host_and_port_can_be_given_without_an_alias(server):
    with open_device(f"ssh:{getpass.getuser()}@127.0.0.1:{server.ports[0]}{PYTHON}") as board:
        assert f"ssh {getpass.getuser()}@127.0.0.1:{server.ports[0]} (" in board.name


def test_a_greeting_of_the_login_shell_is_no_result(server, models):
    with open_device(f"ssh:greeting{PYTHON}") as board:
        assert len(board.answers(models[0], CLIPS).probabilities) == len(CLIPS)


def test_a_lost_connection_keeps_the_windows_that_came(server, models, monkeypatch):
    with open_device(f"ssh:board{PYTHON}") as board:
        _cut_after(board, server, '"window"', 3, monkeypatch)
        timing = board.time(models, CLIPS, Effort(seconds=20, windows=200))
        assert 3 <= len(timing.windows) < 200 and "the connection to board was lost" in timing.lost
        with pytest.raises(DeviceError, match="the connection to board was lost"):
            board.answers(models[0], CLIPS)
    assert server.left() == []


def test_a_connection_lost_among_answers_leaves_those_that_had_come(server, models, monkeypatch):
    with open_device(f"ssh:board{PYTHON}") as board:
        _cut_after(board, server, '"answer"', 2, monkeypatch)
        many = np.tile(CLIPS, (2000, 1))
        told = rf"board was lost; the first \d+ of {len(many)} clips had been answered"
        with pytest.raises(BrokenOffError, match=told) as caught:
            board.answers(models[0], many)
        assert "run the same command again" in caught.value.fix
        kept = caught.value.kept
        assert 2 <= len(kept.probabilities) == len(kept.uncertainty) < len(many) and kept.runtime
    with open_device("host") as here:
        assert np.array_equal(kept.probabilities[:2], here.answers(models[0], many[:2]).probabilities)
    assert server.left() == []


def _cut_after(board, server: Server, word: str, count: int, monkeypatch) -> None:
    """Kill the sessions when so many lines with a word have come."""
    lines = board._lines

    def counted(arguments, text):
        seen = 0
        for line in lines(arguments, text):
            seen += word in line
            if seen == count:
                server.cut()
            yield line

    monkeypatch.setattr(board, "_lines", counted)


def test_an_error_in_between_leaves_nothing_there(server):
    with pytest.raises(ZeroDivisionError), open_device(f"ssh:board{PYTHON}"):
        raise ZeroDivisionError
    assert server.left() == []


def test_a_killed_edgecomp_leaves_nothing_there(server, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(server.folder))  # what it leaves here
    code = (
        f"from edgecomp.devices import open_device\nd = open_device('ssh:board{PYTHON}')\nprint(1, flush=True)\ninput()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.read(1) == b"1" and len(list(server.temporary.iterdir())) == 1
        child.kill()
    assert server.left() == []


@pytest.mark.parametrize(
    ("alias", "what", "fix"),
    [
        ("stranger", "the host key of stranger is not known here", "run ssh stranger once by hand"),
        ("changed", "the host key of changed is another one", "ssh-keygen -R changed"),
        ("locked", "locked accepts none of this user's keys", "ssh-copy-id locked"),
        ("down", "down does not take ssh connections", "start sshd there"),
        ("nowhere", "there is no machine of the name nowhere", "check the name"),
        ("board?python=/no/python3", "/no/python3 is not there", "ssh:HOST?python="),
        ("board?python=/", "/ cannot be executed", "ssh:HOST?python="),
    ],
)
def test_each_failure_is_one_message_with_a_fix(server, alias, what, fix):
    error = _failure(alias)
    assert what in error.what and fix in error.fix and "Traceback" not in str(error)
    assert server.left() == []


def test_a_process_that_is_killed_there_is_no_lost_connection(server):
    error = _failure("board" + _script(server.folder, "killed", "kill -9 $$"))
    assert error.what == "the process there was ended by SIGKILL, perhaps for lack of memory"


def test_an_old_python_is_refused(server):
    facts = '{"python": "3.7.3", "model": "old", "cpu": null, "cores": 1}'
    error = _failure("board" + _script(server.folder, "old", f"echo '{facts}'"))
    assert error.what == "Python 3.7.3 is too old" and error.where == "ssh board (old, 1 core)"


def test_the_formats_are_those_whose_runtime_can_be_imported_there(server, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    python = f"board?python={tmp_path}/venv/bin/python"
    error = _failure(python)
    assert "cannot import numpy: ModuleNotFoundError" in error.what and "-m pip install numpy" in error.fix
    own = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        (site / name).symlink_to(own / name)
    assert "can import no runtime: onnxruntime: ModuleNotFoundError" in _failure(python).what
    (site / "onnxruntime").symlink_to(own / "onnxruntime")
    with open_device(f"ssh:{python}") as board:
        assert board.forms == ("onnx",)


def test_a_full_disk_there_is_said(server, models):
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small disk of this test")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "none", str(server.temporary)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        with open_device(f"ssh:board{PYTHON}") as board:
            with pytest.raises(DeviceError, match="the disk of board is full") as caught:
                board.answers(models[0], np.tile(CLIPS, (50, 1)))
            assert "TMPDIR" in caught.value.fix
        assert server.left() == []
    finally:
        subprocess.run(["umount", str(server.temporary)], check=True)


@pytest.mark.parametrize(
    ("text", "destination", "port", "python"),
    [
        ("board", "board", "", "python3"),
        ("pi@board.local:2222", "pi@board.local", "2222", "python3"),
        ("pi@10.0.0.7?python=~/venv/bin/python", "pi@10.0.0.7", "", "~/venv/bin/python"),
        ("root@[fe80::1%eth0]:22", "root@fe80::1%eth0", "22", "python3"),
    ],
)
def test_a_machine_is_named_as_ssh_names_it(text, destination, port, python):
    found = read_target(text)
    assert (found.destination, found.port, found.python) == (destination, port, python)


@pytest.mark.parametrize(
    "text", ["", "-oProxyCommand=x", "a b", "pi@", "pi@-x", "board:99999", "board:ssh", "x?y=1", "a;b"]
)
def test_what_is_no_machine_is_refused_before_anything_is_started(text, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a process was started"))
    with pytest.raises(DeviceError, match="cannot read") as caught:
        open_device(f"ssh:{text}")
    assert "ssh:USER@HOST" in caught.value.fix
