#!/usr/bin/env python3
"""readme_blocks.py check BINARY | split DIR : the blocks and tables of README.md.

Every block in README.md, and every table of commands, is tagged by an HTML comment on the line before it:
  host            commands, run in name spaces of their own (tests/e2e/cases/readme.sh), in order; `host stays`: until the next
                  heading; `host board`: apart, with a /usr and an /etc that go away again; `host table`: those of the last column
  guest           commands, run in a guest with a kernel initiator; `guest table` likewise
  file PATH       what PATH holds for the commands after it
  output          what the commands before it print; secrets vary
  case NAME       an example of what the end-to-end case NAME does; its options are checked
  ci              what CI does anyway
  text            nothing to be run
`check` fails for an untagged block, a case that is not in the plan, an option that the applet does not have. `split` writes
each block to DIR/NN-TAG, for the case that runs them."""
import os, re, subprocess, sys

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
lines = open(os.path.join(top, "README.md"), encoding="utf-8").read().split("\n")
problems, blocks = [], []          # blocks: line, tag, argument, text


def table_commands(rows):
    """The commands of the last column that are ours, one a line."""
    out = []
    for row in rows[2:]:
        for code in re.findall(r"`([^`]+)`", row.strip().strip("|").rsplit("|", 1)[-1]):
            if re.match(r"(iscsi|tgt)\S* ?", code) and not code.startswith("iscsi://") and "/" not in code.split()[0]:
                out.append(code)
    return "\n".join(out)


def parse():
    i, tag = 0, None
    while i < len(lines):
        line = lines[i]
        m = re.fullmatch(r"<!-- (\w[^>]*?) -->", line)
        if line.startswith("## "):
            blocks.append((i + 1, "heading", "", line))
        if line.startswith("```"):
            end = next((k for k in range(i + 1, len(lines)) if lines[k] == "```"), len(lines))
            add(i, tag, "\n".join(lines[i + 1:end]))
            i = end
        elif line.startswith("    ") and (i == 0 or lines[i - 1] == ""):
            problems.append("README.md:%d: an indented block; put it between ``` and tag it" % (i + 1))
        elif line.startswith("|") and tag and tag.endswith("table"):
            end = i
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            add(i, tag, table_commands(lines[i:end]))
            i = end - 1
        tag = m.group(1) if m else None
        i += 1


def add(i, tag, text):
    if not tag:
        problems.append("README.md:%d: a block without a tag (see scripts/readme_blocks.py)" % (i + 1))
        return
    word, _, argument = tag.partition(" ")
    if word not in ("host", "guest", "file", "output", "case", "ci", "text"):
        problems.append("README.md:%d: no such tag: %s" % (i + 1, tag))
    if not text.strip():
        problems.append("README.md:%d: nothing in it" % (i + 1))
    blocks.append((i + 1, word, argument, text))


def commands(text):
    """(line offset, words) of every simple command; comments and continuation lines are dealt with."""
    for n, line in enumerate(text.replace("\\\n", "  ").split("\n")):
        line = re.sub(r"(^|\s)#.*", "", line)
        for part in re.split(r"&&|\|\||;|\|", line):
            words = part.split()
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                yield n, words


def check(binary):
    applets = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    helps = {}

    # Of the mode that `words` choose, where an applet has modes.
    def options(applet, words):
        chosen = [w for at, w in enumerate(words) if w in ("-m", "--mode") or at and words[at - 1] in ("-m", "--mode")][:2]
        key = (applet, *chosen)
        if key not in helps:
            argv = [binary, "--help"] if applet == "iscsi" else [binary, applet, *(chosen if applet in ("iscsiadm", "tgtadm") else []), "--help"]
            text = subprocess.run(argv, capture_output=True, text=True).stdout
            helps[key] = set(re.findall(r"(?:^|[\s,\[])(--?[\w-]+)", text))
        return helps[key]

    plan = {l.split()[0] for l in open(os.path.join(top, "tests/e2e/plan")) if l.strip() and l[0] != "#"}
    checked = 0
    for line, tag, argument, text in blocks:
        if tag == "case" and argument not in plan:
            problems.append("README.md:%d: no case %s in tests/e2e/plan" % (line, argument))
        if tag not in ("host", "guest", "case", "ci"):
            continue
        for n, words in commands(text):
            where = "README.md:%d" % (line + n + 1)
            if tag == "ci" and not os.access(os.path.join(top, words[0]), os.X_OK):
                problems.append("%s: %s is not there" % (where, words[0]))
            name = words[0]
            if name == "iscsi" and len(words) > 1 and not words[1].startswith("-"):
                name = words.pop(1)
                if name == "help":
                    continue
                if name not in applets:
                    problems.append("%s: iscsi has no applet %s" % (where, name))
                    continue
            elif not name.startswith(("iscsi", "tgt")) or name not in applets + ["iscsi"]:
                continue
            known, checked = options(name, words), checked + 1
            for w in words[1:]:
                if w.startswith("--") and w.split("=")[0] not in known and not any(k.startswith(w.split("=")[0]) for k in known):
                    problems.append("%s: %s has no option %s" % (where, name, w))
                elif re.match(r"-[A-Za-z]", w) and w[:2] not in known:
                    problems.append("%s: %s has no option %s" % (where, name, w[:2]))
    print("\n".join(problems) or "%d blocks, %d commands" % (len([b for b in blocks if b[1] != "heading"]), checked))


def split(directory):
    os.makedirs(directory, exist_ok=True)
    for n, (line, tag, argument, text) in enumerate(blocks):
        kind = {"file": "file"}.get(tag, (tag + "-" + argument.replace(" ", "-")).rstrip("-")) if tag != "case" else "case"
        base = os.path.join(directory, "%02d-%s" % (n, kind))
        with open(base, "w") as f:
            f.write(text + "\n")
        with open(base + ".line", "w") as f:
            f.write("%d %s\n" % (line, argument))


parse()
if len(sys.argv) == 3 and sys.argv[1] == "check":
    check(sys.argv[2])
elif len(sys.argv) == 3 and sys.argv[1] == "split" and not problems:
    split(sys.argv[2])
else:
    print("\n".join(problems) or __doc__)
    sys.exit(1)
sys.exit(bool(problems))
