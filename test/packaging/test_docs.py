"""The site's mathematics is there without a script: MathML, whatever the pages hold."""

import html
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
RAW = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)


def hook():
    pytest.importorskip("latex2mathml")
    spec = importlib.util.spec_from_file_location("mathml", ROOT / "scripts" / "mathml.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def marked(page):
    """A page with its mathematics marked as arithmatex marks it."""

    def mark(found):
        text = html.escape(found[0])
        kind = "span" if found[1] else "div"
        return f'<{kind} class="arithmatex">{text}</{kind}>'

    return RAW.sub(mark, CODE.sub("", page))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_all_mathematics_becomes_mathml(page):
    before = marked(page.read_text(encoding="utf-8"))
    after = hook().on_page_content(before, page=None, config=None, files=None)
    assert after.count("<math") == before.count("arithmatex")
    assert r"\(" not in after and r"\[" not in after


def test_inline_and_display_are_told_apart_and_entities_are_read():
    render = hook().render
    assert 'display="inline"' in render(r'<span class="arithmatex">\(a &lt; b\)</span>')
    assert "&#x0003C;" in render(r'<span class="arithmatex">\(a &lt; b\)</span>')
    assert 'display="block"' in render('<div class="arithmatex">\\[ x^+\n = x \\]</div>')
    assert render("<p>text</p>") == "<p>text</p>"


def test_the_landing_page_begins_with_the_picture_and_two_commands():
    lines = [line for line in (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines() if line]
    assert lines[0].startswith("# ") and lines[1].startswith("![") and lines[2] == "```sh"
    assert lines[3].startswith("make demo") and lines[4].startswith("ros2 launch") and lines[5] == "```"


def test_first_steps_start_what_was_installed_with_files_that_are_there():
    text = (ROOT / "docs" / "first_steps.md").read_text(encoding="utf-8")
    folder = ROOT / re.search(r"`source .venv/bin/activate && cd (\w+)`", text)[1]
    assert not (folder / "mppi_maml_ros").exists()  # would be imported instead, its kernels not compiled
    files = re.findall(r"--params-file (\S+)", text)
    assert len(files) == 3 and all((folder / file).is_file() for file in files)


def test_the_site_is_built_without_raw_mathematics(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=300)
    pages = {page.stem: page.read_text(encoding="utf-8") for page in tmp_path.glob("*.html")}
    assert "<math" in pages["how_adaptation_works"]
    assert [name for name, page in pages.items() if r"\(" in page or "arithmatex" in page] == []


def slug(heading):
    """The anchor of a heading, as GitHub and mkdocs make it."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", words).strip())


def anchors(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {slug(line) for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)} | set(
        re.findall(r"(?:id|name)=\"([^\"]+)\"", text)
    )


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda p: p.stem)
def test_links_lead_to_a_file_and_a_heading_that_are_there(page):
    text, lost = CODE.sub("", page.read_text(encoding="utf-8")), []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            lost.append(f"{target}#{anchor}")
    assert lost == []


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_as_many_faults_are_told_of_as_are_listed(page):
    listed = re.findall(
        r"^\| \d+ \|", (ROOT / "docs" / "safety.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert re.findall(r"(\d+) faults", (ROOT / page).read_text(encoding="utf-8")) == [str(len(listed))]
