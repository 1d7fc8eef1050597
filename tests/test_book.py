"""The site that mdBook makes of `docs/` and `labs/`: it builds, and no link of it leads nowhere."""

import html
import os
import re
import subprocess
import sys
import urllib.parse

import pytest

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
