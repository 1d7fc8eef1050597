"""The site that mdBook makes of `docs/` and `labs/`: it builds, and no link of it leads nowhere."""

import html
import os
import re
import signal
import subprocess
import sys
import urllib.parse

import pytest
import yaml
from cloud import binary, clean_env

pytestmark = pytest.mark.unkilled

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def links(page):
    with open(page, encoding="utf-8") as file:
        text = file.read()
    assert "{{#" not in text, page
    # What stands in an example is no link.
    text = re.sub(r"<code.*?</code>", "", text, flags=re.S)
    return {html.unescape(link) for link in re.findall(r'(?:href|src)="([^"]*)"', text)}, text


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path):
    mdbook = os.path.join(os.path.dirname(sys.executable), "mdbook")
    done = subprocess.run([mdbook, "build", os.path.join(ROOT, "docs", "book"), "-d", str(tmp_path / "site")],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "ERROR" not in done.stderr and "WARN" not in done.stderr, done.stderr
    with open(os.path.join(ROOT, "dist", "cumulet.service"), encoding="utf-8") as unit, \
            open(tmp_path / "site" / "operations.html", encoding="utf-8") as page:
        assert unit.read().strip() in html.unescape(page.read()), "the page shows the unit that is given out"
    pages = [os.path.join(folder, name) for folder, _, names in os.walk(tmp_path / "site") for name in names
             if name.endswith(".html") and name not in ("print.html", "404.html", "toc.html")]
    assert len(pages) > 30
    lost = []
    for page in pages:
        for link in links(page)[0]:
            to = urllib.parse.urlsplit(link)
            if to.scheme or to.netloc:
                continue
            path = os.path.normpath(os.path.join(os.path.dirname(page), urllib.parse.unquote(to.path))) if to.path else page
            if os.path.isdir(path):
                path = os.path.join(path, "index.html")
            if not os.path.isfile(path):
                lost.append(f"{os.path.relpath(page, tmp_path)}: {link}")
            elif to.fragment and path.endswith(".html") and f'id="{to.fragment}"' not in links(path)[1]:
                lost.append(f"{os.path.relpath(page, tmp_path)}: {link}")
    assert not lost, "\n".join(sorted(lost))


def test_each_lab_is_a_page_of_it():
    labs = {name for _, _, names in os.walk(os.path.join(ROOT, "labs")) for name in names if name.endswith(".md")}
    assert labs == set(os.listdir(os.path.join(ROOT, "docs", "book", "src", "labs")))


@pytest.mark.parametrize("system", ["GitHub Actions", "GitLab"])
def test_the_recipes_for_ci_as_they_stand(tmp_path, system):
    """The commands of a job, with a stand-in for the suite that uses what it was pointed at."""
    with open(os.path.join(ROOT, "docs", "book", "src", "ci.md"), encoding="utf-8") as file:
        recipe = yaml.safe_load(re.search(rf"## {system}\n\n```yaml\n(.*?)```", file.read(), re.S).group(1))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cumulet").symlink_to(binary())
    (tmp_path / "bin" / "pytest").write_text(
        f"#!{sys.executable}\n"
        "import boto3, os, stat\n"
        "s3 = boto3.client('s3')\n"
        "s3.create_bucket(Bucket='made-by-the-job')\n"
        "print('pointed at', os.environ['AWS_ENDPOINT_URL'], [one['Name'] for one in s3.list_buckets()['Buckets']])\n"
        "socket = os.environ.get('DOCKER_HOST', '').removeprefix('unix://')\n"
        "assert not socket or stat.S_ISSOCK(os.stat(socket).st_mode), socket\n")
    (tmp_path / "bin" / "pytest").chmod(0o755)
    # With a blank in it, which a shell would have to quote and the file of GitHub must not.
    place = tmp_path / "a job"
    place.mkdir()
    env = clean_env(PATH=f"{tmp_path}/bin:{os.environ['PATH']}", HOME=str(place), RUNNER_TEMP=str(place),
                    GITHUB_ENV=str(tmp_path / "env"), CUMULET_LISTEN="127.0.0.1:0")
    if system == "GitLab":
        steps = ["\n".join(recipe["test"]["script"])]
    else:
        steps = [step["run"] for step in recipe["jobs"]["test"]["steps"] if "run" in step]
    pids, seen = [], ""
    try:
        for step in steps:
            if os.path.exists(tmp_path / "env"):
                env.update(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
            # Its output is a file: what runs on in the background would hold a pipe open.
            with open(tmp_path / "output", "w+", encoding="utf-8") as out:
                subprocess.run(["bash", "-e", "-c", step], env=env, cwd=place, stdin=subprocess.DEVNULL,
                               stdout=out, check=True, timeout=60)
            seen += (tmp_path / "output").read_text()
        assert re.search(r"pointed at http://127\.0\.0\.1:[1-9]\d* \['made-by-the-job'\]", seen), seen
    finally:
        for ready in place.glob("ready*.json"):
            pids += re.findall(r'"pid":(\d+)', ready.read_text())
        for pid in pids:
            os.kill(int(pid), signal.SIGTERM)
    assert len(pids) == 1
