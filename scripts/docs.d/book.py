"""Checks the links of all pages and stages the book for mkdocs.

A link must name a file of the repository, and its anchor a heading of that page. An anchor must be the same on GitHub and
in the book. A page must also exist if a comment or a message in the code names it (`docs/….md`, `docs/adr/NNNN`). All
problems are printed, one a line, with the place.
"""

import posixpath
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

STAGE = Path("target/book-src")
CONFIG = Path("docs/mkdocs.yml")
STAGED_CONFIG = Path("target/book.yml")

FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
HEADING = re.compile(r"^(#{1,6}) +(.*?)(?: +#+)? *$")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'][^)]*)?\)")
DEFINITION = re.compile(r"^ {0,3}\[(?!\^)[^\]]+\]:\s+<?(\S+?)>?\s*$")
HTML = re.compile(r"\b(?:src|srcset|href)=\"([^\"]+)\"")
ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")
FOOTNOTE = re.compile(r"\[\^([^\]]+)\](:?)")
LIST_ITEM = re.compile(r"^ {0,3}(?:[*+-]|\d+\.) +\S")
MENTION = re.compile(r"\bdocs/[A-Za-z0-9_/-]+\.md\b|\bdocs/adr/\d{4}(?![\w-])")


def tracked():
    """Files of the repository, those that are not committed yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
    )
    names = listed.stdout.decode().split("\0")
    return {name for name in names if name and Path(name).is_file()}


def prose(text):
    """Numbered lines outside of fenced blocks."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        marker = FENCE.match(line)
        if fence is None and marker:
            fence = marker.group(1)
        elif fence is None:
            yield number, line
        elif marker and marker.group(1).startswith(fence) and line.strip() == marker.group(1):
            fence = None


def github_slug(title):
    kept = re.sub(r"[^\w\- ]", "", title.lower())
    return kept.replace(" ", "-")


def book_slug(title):
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode("ascii")
    kept = re.sub(r"[^\w\s-]", "", ascii_title).strip().lower()
    return re.sub(r"[-\s]+", "-", kept)


def anchors(text):
    """The anchors that work in both places, and those that work in one of them only."""
    github, book, explicit = [], [], set()
    for _, line in prose(text):
        explicit.update(ANCHOR.findall(CODE.sub("", line)))
        heading = HEADING.match(line)
        if heading:
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(2)).replace("`", "")
            title = re.sub(r"<[^>]*>", "", title).strip()
            github.append(numbered(github_slug(title), github, "-"))
            book.append(numbered(book_slug(title), book, "_"))
    return explicit | set(github) & set(book), set(github) ^ set(book)


def numbered(slug, taken, joint):
    """The anchor of a heading whose title has been used before."""
    candidate, count = slug, 0
    while candidate in taken:
        count += 1
        candidate = f"{slug}{joint}{count}"
    return candidate


def links(text):
    for number, line in prose(text):
        bare = CODE.sub("", line)
        for pattern in (LINK, DEFINITION, HTML):
            for found in pattern.finditer(bare):
                yield number, found.group(1)


def link_problems(page, text, files, known_anchors):
    for number, target in links(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        if file not in files:
            yield f"{page}:{number}: {target} is not a file of this repository"
        elif anchor and file.endswith(".md"):
            both, one = known_anchors(file)
            if anchor in one:
                yield f"{page}:{number}: the anchor of {target} differs between GitHub and the book: reword the heading"
            elif anchor not in both:
                yield f"{page}:{number}: {file} has no heading #{anchor}"


def footnote_problems(page, text):
    used, defined = {}, set()
    for number, line in prose(text):
        for name, colon in FOOTNOTE.findall(CODE.sub("", line)):
            if colon and line.startswith(f"[^{name}]:"):
                defined.add(name)
            else:
                used.setdefault(name, number)
    for name, number in used.items():
        if name not in defined:
            yield f"{page}:{number}: the footnote {name} is not defined"
    for name in defined - used.keys():
        yield f"{page}: the footnote {name} is not used"


def mention_problems(files):
    """Pages that code, scripts and other pages name in passing."""
    decisions = {name[:13] for name in files if re.match(r"docs/adr/\d{4}-", name)}
    searched = subprocess.run(["git", "grep", "--untracked", "-nIE", r"docs/[A-Za-z0-9_/-]+\.md|docs/adr/[0-9]{4}"], capture_output=True)
    for line in searched.stdout.decode().splitlines():
        file, number, text = line.split(":", 2)
        if file.startswith(("scripts/docs", "scripts/check-citations")):
            continue
        for found in MENTION.finditer(text):
            before = text[: found.start()].rsplit(None, 1)
            is_elsewhere = bool(before) and "://" in before[-1]
            name = found.group()
            if not is_elsewhere and name not in files and name not in decisions:
                yield f"{file}:{number}: {name} does not exist"


def for_the_book(text):
    """The page with a blank line in front of each list: GitHub does without, Markdown in Python does not."""
    inside = {number for number, _ in prose(text)}
    lines, before = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        starts_list = number in inside and LIST_ITEM.match(line)
        if starts_list and before.strip() and not LIST_ITEM.match(before) and not before.startswith(" "):
            lines.append("")
        lines.append(line)
        before = line
    return "\n".join(lines) + "\n"


def in_book(name):
    top = "/" not in name and name.endswith(".md")
    return top or name == "docker/README.md" or (name.startswith("docs/") and name.endswith((".md", ".svg", ".png")))


def stage(names):
    shutil.rmtree(STAGE, ignore_errors=True)
    for name in names:
        target = STAGE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            target.write_text(for_the_book(Path(name).read_text()))
        else:
            shutil.copyfile(name, target)


def configure(names):
    """The configuration, with the pages of each folder that it asks for; a folder's README comes first."""
    lines = []
    for line in CONFIG.read_text().splitlines():
        folder = re.match(r"( *- )(docs/\S+/)\*$", line)
        if not folder:
            lines.append(line.replace("../target/", ""))
            continue
        pages = [name for name in names if name.startswith(folder.group(2)) and name.endswith(".md")]
        for page in sorted(pages, key=lambda name: (not name.endswith("/README.md"), name)):
            lines.append(folder.group(1) + page)
    STAGED_CONFIG.write_text("\n".join(lines) + "\n")


def main():
    files = tracked()
    pages = sorted(name for name in files if name.endswith(".md"))
    texts = {page: Path(page).read_text() for page in pages}
    cache = {}

    def known_anchors(page):
        if page not in cache:
            cache[page] = anchors(texts[page])
        return cache[page]

    problems = []
    for page in pages:
        problems.extend(link_problems(page, texts[page], files, known_anchors))
        problems.extend(footnote_problems(page, texts[page]))
    problems.extend(mention_problems(files))
    if problems:
        print("\n".join(f"docs: {problem}" for problem in problems), file=sys.stderr)
        return 1
    book = sorted(filter(in_book, files))
    stage(book)
    configure(book)
    return 0


if __name__ == "__main__":
    sys.exit(main())
