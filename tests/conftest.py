"""The one cloud of a run, and what tests get from it.

All tests of a run share one cloud, each in an account of its own, so they run side by side on as many
workers as one likes. With `--kill` the cloud is killed with -9 and started again before every few
requests, between which nothing may be lost; that needs a cloud for each worker.
"""

import itertools
import json
import os
import re
import shutil
import tempfile

import pytest

from accounts import Account
from cloud import Cloud
from containers import Engine

ENDPOINT = os.environ.get("CUMULET_TEST_ENDPOINT")
# Where to write which operations the tests that passed have had done.
OPERATIONS = os.environ.get("CUMULET_OPERATIONS")


def pytest_addoption(parser):
    group = parser.getgroup("cumulet")
    group.addoption("--kill", action="store_true", help="kill -9 and restart among the requests")
    group.addoption("--kill-every", type=int, default=40, help="how many requests between kills")


class Shared:
    """The cloud as tests see it: where it is, and the hooks that `--kill` needs."""

    def __init__(self, endpoint, pid=None, data=None, log_path=None, cloud=None, kill_every=0):
        self.endpoint = endpoint
        self.pid = pid
        self.data = data
        self.log_path = log_path
        self.cloud = cloud
        self.kill_every = kill_every
        self.requests = 0
        # Connections that the client kept are dead after a restart, so it must try again then.
        self.attempts = 3 if kill_every else 1

    def before_request(self, **_):
        if not self.kill_every:
            return
        self.requests += 1
        if self.requests % self.kill_every == 0:
            self.cloud.restart()
            self.pid = self.cloud.pid

    def watch(self, client):
        if self.kill_every:
            client.meta.events.register("request-created", self.before_request)

    @property
    def address(self):
        host, port = self.endpoint.split("//")[1].rsplit(":", 1)
        return host, int(port)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()


def _is_worker(config):
    return hasattr(config, "workerinput")


def _starts_here(config):
    """The controller starts the shared cloud; under --kill each worker its own."""
    if ENDPOINT or config.option.collectonly:
        return False
    parallel = bool(getattr(config.option, "numprocesses", None)) or _is_worker(config)
    if config.option.kill and parallel:
        return _is_worker(config)
    return not _is_worker(config)


def pytest_configure(config):
    if not _starts_here(config):
        return
    config.cumulet_folder = tempfile.mkdtemp(prefix="cumulet-test-")
    # With a line for each request, so that the access log is tested and a panic is seen.
    cloud = Cloud(os.path.join(config.cumulet_folder, "data"), ["--log", "info"])
    config.cumulet_cloud = cloud.start()
    if OPERATIONS and not config.option.kill:
        config.cumulet_passed = Passed()
        config.pluginmanager.register(config.cumulet_passed)


def pytest_collection_modifyitems(config, items):
    if not config.option.kill:
        return
    out = [item for item in items if item.get_closest_marker("unkilled")]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


class Passed:
    """Which tests passed, and whose accounts they had: the controller hears it of its workers."""

    def __init__(self):
        self.accounts = {}
        self.passed = set()
        self.failed = set()

    def pytest_runtest_logreport(self, report):
        self.accounts.update(value for name, value in report.user_properties if name == "account")
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def operations(self, log):
        """{service: {operation: [tests]}}, of what was answered without an error."""
        seen = {}
        for account, service, operation in ACCESS.findall(log):
            test = self.accounts.get(account)
            if test in self.passed - self.failed:
                seen.setdefault(service, {}).setdefault(operation, set()).add(test)
        return {service: {name: sorted(tests) for name, tests in sorted(names.items())}
                for service, names in sorted(seen.items())}


ACCESS = re.compile(
    r'access: .*account=(\d{12}) service="([^"]+)" operation="([^"]+)" status=[23]\d\d ')


def pytest_configure_node(node):
    cloud = getattr(node.config, "cumulet_cloud", None)
    if cloud:
        node.workerinput["cumulet"] = json.dumps(
            [cloud.endpoint, cloud.pid, cloud.data, cloud.log_path]
        )


def pytest_sessionfinish(session):
    cloud = getattr(session.config, "cumulet_cloud", None)
    if cloud is None:
        return
    code = cloud.terminate() if cloud.running() else "died"
    log = cloud.log()
    passed = getattr(session.config, "cumulet_passed", None)
    if passed:
        with open(OPERATIONS, "w", encoding="utf-8") as file:
            json.dump(passed.operations(log), file, indent=1)
    shutil.rmtree(session.config.cumulet_folder, ignore_errors=True)
    if "panicked at" in log or code != 0:
        print(f"\nthe shared cloud ended with {code}, its log:\n{log[-6000:]}")
        session.exitstatus = 1


@pytest.fixture(scope="session")
def shared(pytestconfig):
    if ENDPOINT:
        return Shared(ENDPOINT)
    cloud = getattr(pytestconfig, "cumulet_cloud", None)
    if cloud:
        every = pytestconfig.option.kill_every if pytestconfig.option.kill else 0
        return Shared(cloud.endpoint, cloud.pid, cloud.data, cloud.log_path, cloud, every)
    return Shared(*json.loads(pytestconfig.workerinput["cumulet"]))


@pytest.fixture(scope="session")
def numbers(worker_id):
    worker = int(worker_id[2:]) + 1 if worker_id.startswith("gw") else 0
    return (f"{worker + 3:01d}{n:011d}" for n in itertools.count(1))


def own_account(request, shared, numbers):
    """An account of this test alone, which its report names."""
    account = Account(next(numbers), shared)
    request.node.user_properties.append(("account", (account.id, request.node.nodeid)))
    return account


@pytest.fixture
def account(request, shared, numbers):
    return own_account(request, shared, numbers)


@pytest.fixture
def other(request, shared, numbers):
    """A second account, a stranger to the first."""
    return own_account(request, shared, numbers)


@pytest.fixture
def bucket(account):
    return account.new_bucket()


@pytest.fixture
def own_cloud(tmp_path):
    """Starts clouds that belong to one test: `own_cloud("--auth", "strict")`."""
    started = []

    def start(*args, data=None, env=None, listen="127.0.0.1:0"):
        cloud = Cloud(data or tmp_path / f"data{len(started)}", args, env, listen)
        cloud.attempts = 1
        cloud.watch = lambda client: None
        cloud.before_request = lambda: None
        started.append(cloud)
        return cloud.start()

    yield start
    for cloud in started:
        cloud.discard()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A cloud with its Docker socket and an image, for the tests of one file."""
    engine = Engine(tmp_path_factory.mktemp("engine")).start()
    engine.bootstrap()
    yield engine
    engine.close()
