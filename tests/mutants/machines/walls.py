"""Guards around scripts: the sandbox, the environment, the owner's secrets."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, of_agent

_DOORS: Final = "tests/agent/running/test_sandbox_doors.py"
_SANDBOX: Final = "tests/agent/running/test_sandbox.py"
_ENVIRONMENT: Final = "tests/agent/running/test_environment.py"
_SECRECY: Final = "tests/agent/test_secrecy.py"


def _sandbox(name: str, old: str, new: str, tests: str, words: str) -> Mutant:
    return of_agent(f"sandbox: {name}", "running/sandbox.py", old, new, tests, words)


def _entrance(name: str, old: str, new: str, words: str) -> Mutant:
    return of_agent(f"sandbox: {name}", "running/enter_sandbox.py", old, new, _DOORS, words)


def _probe(name: str, old: str, new: str) -> Mutant:
    return of_agent(
        f"sandbox: {name}", "running/sandbox_probe.py", old, new, _DOORS, "trial_finds_each_hole"
    )


SANDBOX: Final = (
    _sandbox(
        "shared memory of the machine is inside",
        '"--unshare-ipc", ',
        "",
        _DOORS,
        "shared_memory_of_the_machine",
    ),
    _sandbox(
        "capabilities are kept",
        '"--cap-drop", "ALL", ',
        "",
        _DOORS,
        "no_capabilities",
    ),
    _sandbox(
        "user namespaces inside",
        '"--disable-userns", ',
        "",
        _DOORS,
        "no_capabilities",
    ),
    _sandbox(
        "processes of the machine are inside",
        '"--unshare-pid", ',
        "",
        _SANDBOX,
        "finds_no_token",
    ),
    _sandbox(
        "the machine's name is inside",
        '"--unshare-uts"]\n    options += ["--unshare-cgroup-try", "--hostname", "sandbox"]',
        '"--unshare-cgroup-try"]',
        _DOORS,
        "names_of_the_machine",
    ),
    _sandbox(
        "control groups of the machine are inside",
        '"--unshare-cgroup-try", ',
        "",
        _DOORS,
        "names_of_the_machine",
    ),
    _sandbox(
        "the system can be written",
        '            arguments += ["--ro-bind-try", path, path]\n        arguments += ["--proc"',
        '            arguments += ["--bind-try", path, path]\n        arguments += ["--proc"',
        _DOORS,
        "may_read_it_may_not_write",
    ),
    _sandbox(
        "data sets can be written",
        '            arguments += ["--ro-bind", str(file), str(file)]',
        '            arguments += ["--bind", str(file), str(file)]',
        _DOORS,
        "may_read_it_may_not_write",
    ),
    _sandbox(
        "the root folder can be written",
        '"--remount-ro", "/", "--", *command]',
        '"--", *command]',
        _DOORS,
        "may_read_it_may_not_write",
    ),
    _sandbox(
        "the device folder can be written",
        'arguments += ["--remount-ro", "/dev", "--dir", "/tmp"]',
        'arguments += ["--dir", "/tmp"]',
        _DOORS,
        "may_read_it_may_not_write",
    ),
    _sandbox(
        "shared memory without a bound",
        'arguments += ["--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]',
        'arguments += ["--tmpfs", "/dev/shm"]',
        _DOORS,
        "shared_memory_is_small",
    ),
    _sandbox(
        "settings of the machine can be written",
        "        for path in _settings_of_the_machine():\n",
        "        for path in ():\n",
        _DOORS,
        "concerns_the_machine",
    ),
    _sandbox(
        "the names of the owner's keys can be read",
        "        for listing in _KEY_LISTINGS:  # the names of the owner's keys\n",
        "        for listing in ():\n",
        _DOORS,
        "names_of_the_owners_keys",
    ),
    _sandbox(
        "no filter of system calls",
        "        arguments = [*helper_words(_ENTRANCE), self.program]\n",
        "        arguments = [self.program]\n",
        _DOORS,
        "sockets or keyrings",
    ),
    _sandbox(
        "a state folder among what scripts read",
        "        private = [state_root]\n",
        "        private = []\n",
        _SANDBOX,
        "state_folder_inside",
    ),
    _sandbox(
        "the owner's home among what scripts read",
        "            private.append(Path(home))\n",
        "            pass\n",
        _DOORS,
        "owners_home",
    ),
    _entrance(
        "the owner's session keyring",
        "        leave_session_keyring(machine)\n",
        "",
        "keyring_of_its_own",
    ),
    _entrance(
        "sockets of every family",
        "    sockets += [_fail(errno.EAFNOSUPPORT)]\n",
        "    sockets += [allow]\n",
        "only_sockets",
    ),
    _entrance(
        "every protocol of netlink",
        "    route = [_load(THIRD_ARGUMENT), *_if_equal(NETLINK_ROUTE, allow)]\n",
        "    route = [_load(THIRD_ARGUMENT), allow, allow]\n",
        "only_sockets",
    ),
    _entrance(
        "socket pairs of every family",
        "len(sockets), machine.socketpair)",
        "len(sockets), machine.socket)",
        "only_sockets",
    ),
    _entrance(
        "io_uring",
        "        program += _if_equal(number, _fail(errno.ENOSYS))\n",
        "        pass\n",
        "io_uring_and_calls",
    ),
    _entrance(
        "keyrings and calls of attackers",
        "        program += _if_equal(number, _fail(errno.EPERM))\n",
        "        pass\n",
        "io_uring_and_calls",
    ),
    _entrance(
        "system calls by the numbers of 32 bits",
        "((JUMP_IF_EQUAL, 1, 0, machine.architecture), _fail(errno.ENOSYS))",
        "((JUMP_IF_EQUAL, 1, 0, machine.architecture), allow)",
        "filter_of_each_processor",
    ),
    _entrance(
        "system calls by the numbers of x32",
        "((JUMP_IF_AT_LEAST, 0, 1, X32_CALLS), _fail(errno.ENOSYS))",
        "((JUMP_IF_AT_LEAST, 0, 1, X32_CALLS), allow)",
        "filter_of_each_processor or other_numbers",
    ),
    _probe(
        "the trial compares no namespaces",
        'shared = [name for name in outside if name == namespace(name.partition(":")[0])]',
        "shared = []",
    ),
    _probe(
        "the trial looks for no capabilities",
        '        sentences.append("there are capabilities")\n',
        "        pass\n",
    ),
    _probe(
        "the trial looks for no keyrings",
        '        sentences.append("the keyrings can be reached")\n',
        "        pass\n",
    ),
    _probe(
        "the trial looks for no io_uring",
        '        sentences.append("io_uring can be used")\n',
        "        pass\n",
    ),
    _probe(
        "the trial looks for no user namespaces",
        '        sentences.append("user namespaces can be made")\n',
        "        pass\n",
    ),
    _probe(
        "the trial looks for no settings",
        '        sentences.append("settings of the machine can be changed")\n',
        "        pass\n",
    ),
    _probe(
        "the trial looks for no sockets",
        "        if family not in FAMILIES and can_open(family)\n",
        "        if False\n",
    ),
    _probe(
        "the trial looks for no names of keys",
        '        sentences.append("the names of keys can be read")\n',
        "        pass\n",
    ),
)


SECRETS: Final = (
    of_agent(
        "secrecy: proxies and their passwords are passed to scripts",
        "running/environment.py",
        "    names = _ALLOWED + (_ALLOWED_FOR_DOWNLOADS if downloads else ())\n",
        "    names = _ALLOWED + _ALLOWED_FOR_DOWNLOADS\n",
        _ENVIRONMENT,
        "list or no_proxy",
    ),
    of_agent(
        "secrecy: a run gets what only its prepare step needs",
        "tasks/runner.py",
        "            environment=self._environment(attempt, folder),\n",
        "            environment=self._environment(attempt, folder, downloads=True),\n",
        _ENVIRONMENT,
        "no_proxy",
    ),
    of_agent(
        "secrecy: scripts find the owner's home",
        "running/environment.py",
        '        "HOME": str(folder),\n',
        '        "HOME": os.path.expanduser("~"),\n',
        _ENVIRONMENT,
        "home_and_temporary",
    ),
    of_agent(
        "secrecy: temporary files outside the task folder",
        "running/environment.py",
        '        "TMPDIR": str(folder),\n',
        "",
        _ENVIRONMENT,
        "home_and_temporary",
    ),
    of_agent(
        "environment: a found necessity does not count",
        "running/environment.py",
        "    return environment | dict(extra or {})\n",
        "    return dict(extra or {}) | environment\n",
        _ENVIRONMENT,
        "hardware_check",
    ),
    of_agent(
        "environment: the owner's own torch is not found",
        "running/environment.py",
        '        environment["PYTHONUSERBASE"] = user_base\n',
        "        pass\n",
        _ENVIRONMENT,
        "torch_below",
    ),
    of_agent(
        "secrecy: a token stays in the agent's environment",
        "secrecy.py",
        'return os.environ.pop(variable, "")',
        'return os.environ.get(variable, "")',
        _SECRECY,
        "gone_before or taken_out",
    ),
    of_agent(
        "secrecy: the agent never closes its process",
        "cli.py",
        "    close_own_process()\n",
        "",
        _SECRECY,
        "closes_its_process",
    ),
    of_agent(
        "secrecy: other users may enter the state folder",
        "state.py",
        "self.root.chmod(0o700)",
        "self.root.chmod(0o755)",
        _SECRECY,
        "closed_to_other_users",
    ),
    of_agent(
        "secrecy: other users may read the token's file",
        "state.py",
        "mode=0o600",
        "mode=0o644",
        "tests/agent/test_state.py",
        "for_the_user_alone",
    ),
)
