"""Makes `.venv` with everything that running (`serve`) or testing (`test`) needs, on a machine that has only a Python.

    python3 tools/bootstrap.py serve|test

Debian and Ubuntu give `python3` without pip, and `venv` without ensurepip. So there are three ways, tried in order: a
venv with its own pip; a venv without, into which pip comes as one wheel, pinned and checked by its hash, from the index
that pip is set up for (PIP_INDEX_URL, pip.conf); and uv, if there is one. What is installed is exactly what the lock says.

A stamp in the venv names what it was made from: nothing happens while that stays the same. Standard library only, and
written for old Pythons as well, so that they can say which one is needed.
"""

import argparse
import configparser
import contextlib
import glob
import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

PYTHON_MIN = (3, 11)
PYTHONS = ("python3.13", "python3.12", "python3.11", "python3.14")
"""Other names to look under when `python3` is too old; the best tested first."""

PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
"""The pip that is fetched where there is none."""

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOCKS = {"serve": "requirements.lock", "test": "requirements-test.lock"}
"""The lock of each purpose. `test` contains `serve`."""

DOWNLOAD_SECONDS = 120


class Failed(Exception):
    """What cannot be done here, and what to do about it."""


def main():
    """Bring the machine to where the purpose needs it, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("purpose", choices=sorted(LOCKS))
    purpose = parser.parse_args().purpose
    require_python()
    try:
        set_up_python(purpose)
        if purpose == "test":
            set_up_node()
            set_up_browser()
    except Failed as failed:
        sys.exit(f"bootstrap: {failed}")
    except subprocess.CalledProcessError as failed:
        command = " ".join(failed.cmd)
        sys.exit(f"bootstrap: this failed with exit code {failed.returncode}: {command}")


# Python


def require_python():
    """Go on in a Python that is new enough, or end with the words for it."""
    if sys.version_info >= PYTHON_MIN:
        return
    is_newer = f"import sys; sys.exit(sys.version_info < {PYTHON_MIN})"
    for name in PYTHONS:
        # Tried and not only looked for: version switchers put names on PATH that do not run.
        if shutil.which(name) and subprocess.call([name, "-c", is_newer], stderr=subprocess.DEVNULL) == 0:
            os.execvp(name, [name, os.path.abspath(__file__), *sys.argv[1:]])
    needed, found, others = ".".join(map(str, PYTHON_MIN)), ".".join(map(str, sys.version_info[:3])), ", ".join(PYTHONS)
    sys.exit(
        f"bootstrap: Python {needed} or newer is needed; {sys.executable} is {found}, and none of {others} runs here.\n"
        "Debian 12, Ubuntu 24.04 and later have one: apt-get install python3"
    )


def set_up_python(purpose):
    """`.venv` with the locked packages and this project, editable."""
    wanted = {name: stamp_of(name) for name in LOCKS}
    if "test" in stamps_in_place(wanted) or purpose in stamps_in_place(wanted):
        return
    if not os.access(VENV if os.path.isdir(VENV) else ROOT, os.W_OK):
        raise Failed(
            f".venv has to be made or renewed in {ROOT}, which this user may not write to. Run `make setup` as its owner,\n"
            "with a Python that every user may run, or work in a copy of your own."
        )
    say("setting up .venv for " + purpose)
    if not os.path.exists(PYTHON) or not venv_is_ours():
        make_venv()
    install(["--require-hashes", "--requirement", LOCKS[purpose]])
    install(["--no-deps", "--no-build-isolation", "--editable", "."])
    with open(os.path.join(VENV, "stamp-" + purpose), "w") as stamp:
        stamp.write(wanted[purpose])


def stamp_of(purpose):
    """A digest of all that the venv for `purpose` is made from."""
    digest = hashlib.sha256()
    for name in (LOCKS[purpose], "pyproject.toml", os.path.join("tools", "bootstrap.py")):
        with open(os.path.join(ROOT, name), "rb") as source:
            digest.update(source.read())
    digest.update(ROOT.encode())  # A venv and an editable install know where they are; a copied folder needs its own.
    return digest.hexdigest()


def stamps_in_place(wanted):
    """The purposes that the venv serves as it is."""
    if not os.path.exists(PYTHON):  # Also false for a link to a Python that is gone.
        return set()
    current = set()
    for purpose, stamp in wanted.items():
        with contextlib.suppress(OSError), open(os.path.join(VENV, "stamp-" + purpose)) as source:
            if source.read() == stamp:
                current.add(purpose)
    return current


def venv_is_ours():
    """Whether `.venv` was made here and not copied from another folder, and its Python still runs and is new enough."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        code = f"import sys; print(sys.prefix, sys.version_info >= {PYTHON_MIN})"
        return subprocess.check_output([PYTHON, "-c", code], timeout=60).decode().split() == [os.path.realpath(VENV), "True"]
    return False


def make_venv():
    """A venv with a pip in it, or one that uv fills."""
    shutil.rmtree(VENV, ignore_errors=True)
    if succeeds([sys.executable, "-m", "venv", VENV]):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if succeeds([sys.executable, "-m", "venv", "--without-pip", VENV]):
        with contextlib.suppress(Failed):
            install_pip()
            return
    if not shutil.which("uv"):
        shutil.rmtree(VENV, ignore_errors=True)
        raise Failed(
            f"no venv can be made with {sys.executable}: it has no ensurepip, pip could not be fetched, and uv is not on PATH.\n"
            "On Debian and Ubuntu: apt-get install python3-venv"
        )
    if not os.path.exists(PYTHON):
        shutil.rmtree(VENV, ignore_errors=True)
        run(["uv", "venv", "--quiet", "--python", sys.executable, VENV])


def install(arguments):
    """Install into the venv, with its pip or else with uv."""
    if succeeds([PYTHON, "-c", "import pip"]):
        run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", *arguments])
    else:
        run(["uv", "pip", "install", "--quiet", "--python", PYTHON, *arguments])


# pip, where there is none


def install_pip():
    """pip in the venv, from its wheel: a wheel of pip can install itself."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = os.path.join(folder, PIP_WHEEL)
        with open(wheel, "wb") as target:
            target.write(fetch_pip())
        run([PYTHON, os.path.join(wheel, "pip"), "install", "--quiet", "--no-index", "--no-deps", "--no-input", wheel])


def fetch_pip():
    """The bytes of pip's wheel, from the index that pip would use, checked."""
    page_url = (setting("index-url", "PIP_INDEX_URL") or "https://pypi.org/simple").rstrip("/") + "/pip/"
    say("fetching " + PIP_WHEEL)
    links = Links()
    try:
        links.feed(fetch(page_url).decode("utf-8", "replace"))
        found = [urljoin(page_url, link) for link in links.links if urldefrag(link)[0].endswith("/" + PIP_WHEEL)]
        if not found:
            raise Failed(f"{page_url} has no {PIP_WHEEL}")
        wheel = fetch(urldefrag(found[0])[0])
    except (OSError, urllib.error.URLError) as error:
        say(f"{page_url}: {error}")
        raise Failed("pip could not be fetched") from error
    if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
        raise SystemExit(f"bootstrap: {PIP_WHEEL} from {page_url} has the wrong hash; nothing of it was run")
    return wheel


class Links(HTMLParser):
    """The targets of the links of a page, in order."""

    def __init__(self):
        super().__init__()
        self.links = []

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.links += [value for name, value in attributes if name == "href" and value]


def fetch(url):
    """The bytes at `url`, over the certificates that pip is set up for."""
    certificates = setting("cert", "PIP_CERT") or None
    context = ssl.create_default_context(cafile=certificates)
    request = urllib.request.Request(url, headers={"Accept": "text/html, application/octet-stream"})
    with urllib.request.urlopen(request, timeout=DOWNLOAD_SECONDS, context=context) as answer:
        return answer.read()


def setting(name, variable):
    """A setting of pip: from the environment, else from its configuration files, the user's before the machine's."""
    if os.environ.get(variable):
        return os.environ[variable]
    home = os.path.expanduser("~")
    config_home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    files = [
        os.environ.get("PIP_CONFIG_FILE", ""),
        os.path.join(config_home, "pip", "pip.conf"),
        os.path.join(home, ".pip", "pip.conf"),
        "/etc/pip.conf",
    ]
    for file in files:
        parser = configparser.RawConfigParser()
        with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
            parser.read(file)
            for section in ("install", "global"):
                if parser.has_option(section, name):
                    return parser.get(section, name)
    return ""


# What tests need beside Python


def set_up_node():
    """The npm packages of every lock file of ours, as locked."""
    for lock in find_npm_locks():
        folder = os.path.dirname(lock)
        with open(lock, "rb") as source:
            wanted = hashlib.sha256(source.read()).hexdigest()
        stamp = os.path.join(folder, "node_modules", ".meadowlark-stamp")
        with contextlib.suppress(OSError), open(stamp) as source:
            if source.read() == wanted:
                continue
        if not shutil.which("npm"):
            say("npm is not on PATH: tests with the JavaScript SDKs cannot run (Debian: apt-get install nodejs npm)")
            return
        say("npm ci in " + os.path.relpath(folder, ROOT))
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)
        with open(stamp, "w") as target:
            target.write(wanted)


def find_npm_locks():
    """Lock files of npm in the folders that tests use, none of the packages' own."""
    patterns = (("tests", "**"), ("examples", "**"), ("js",))
    found = (lock for parts in patterns for lock in glob.glob(os.path.join(ROOT, *parts, "package-lock.json"), recursive=True))
    return sorted(lock for lock in found if "node_modules" not in lock.split(os.sep))


def set_up_browser():
    """Chromium, which the distribution provides; installed if this is root on a machine with apt."""
    if any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say("there is no chromium: tests in a browser cannot run (Debian: apt-get install chromium)")
        return
    say("installing chromium")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(["apt-get", "update", "-qq"], environment=environment)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], environment=environment)


# Running and telling


def run(command, folder=ROOT, environment=None):
    """Run `command`; raises CalledProcessError if it fails, its output already shown."""
    subprocess.run(command, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL)


def succeeds(command):
    """Whether `command` succeeds; its output is not shown, since a failure only means another way is tried."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0


def say(text):
    """One line for the person at the terminal."""
    print("bootstrap: " + text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
