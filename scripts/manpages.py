#!/usr/bin/env python3
"""Writes the manual pages from what the binary says about itself, so that they cannot differ from it.

    scripts/manpages.py APUS CONFIGURATION DIRECTORY [DATE]

APUS is the binary, CONFIGURATION the commented sample configuration (config/apus.yaml), DATE the day that the pages show
(2026-11-23). There will be apus.1, a page for each command (apus-serve.1 ...), and apus.yaml.5.
"""

import json
import pathlib
import subprocess
import sys

BINARY, CONFIGURATION, DIRECTORY = sys.argv[1:4]
DATE = sys.argv[4] if len(sys.argv) > 4 else ""
VERSION = subprocess.run([BINARY, "--version"], check=True, capture_output=True, text=True).stdout.strip()


def escape(text):
    """Text as troff shows it: no character of it is a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti")
    return "\n".join("\\&" + line if line.startswith(".") else line for line in text.split("\n"))


class Page:
    def __init__(self, name, section, summary):
        self.name = name
        self.section = section
        self.lines = [
            f'.TH {name.upper()} {section} "{DATE}" "{VERSION}" "Apus Manual"',
            ".SH NAME",
            f"{escape(name)} \\- {escape(summary[:1].lower() + summary[1:].rstrip('.'))}",
        ]

    def heading(self, text):
        self.lines.append(f'.SH "{escape(text.upper())}"')

    def text(self, text):
        self.lines.append(escape(text))

    def paragraph(self):
        """A new one, where it is not the first below a heading."""
        if not self.lines[-1].startswith(".SH"):
            self.lines.append(".PP")

    def term(self, tag, text):
        """An option, a command, and what it is for."""
        self.lines += [".TP", tag]
        for index, paragraph in enumerate(part for part in text.split("\n\n") if part.strip()):
            if index:
                self.lines.append(".IP")
            self.text(paragraph.strip())

    def verbatim(self, text):
        self.paragraph()
        self.lines += [".nf", ".RS 2"]
        self.lines += [escape(line) for line in text.split("\n")]
        self.lines += [".RE", ".fi"]

    def prose(self, text):
        """Paragraphs of help. What is indented, and a heading of capitals above it, stays as it is."""
        for paragraph in text.strip("\n").split("\n\n"):
            lines = paragraph.split("\n")
            if begins_with_heading(paragraph):
                self.heading(lines[0])
                lines = lines[1:]
                self.verbatim("\n".join(line.removeprefix("  ") for line in lines))
            elif any(line.startswith(" ") for line in lines):
                self.verbatim("\n".join(lines))
            else:
                self.paragraph()
                self.text("\n".join(lines))

    def write(self):
        path = pathlib.Path(DIRECTORY, f"{self.name}.{self.section}")
        path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def begins_with_heading(text):
    lines = text.lstrip("\n").split("\n")
    return len(lines) > 1 and lines[0].isupper()


def bold(text):
    return f"\\fB{escape(text)}\\fR"


def italic(text):
    return f"\\fI{escape(text)}\\fR"


def spelled(name):
    dashes = "--" if name["kind"] == "long" else "-"
    return bold(dashes + name["name"])


def tag(argument):
    """How the argument is written: -m, --message text."""
    value = italic(argument.get("valueName", ""))
    if argument["kind"] == "positional":
        return value
    names = sorted(argument["names"], key=lambda name: name["kind"] == "long")
    written = ", ".join(spelled(name) for name in names)
    return written if argument["kind"] == "flag" else f"{written} {value}"


def shown(arguments):
    return [argument for argument in arguments if argument.get("shouldDisplay", True)]


def meaning(argument):
    text = argument.get("abstract", "")
    if argument.get("discussion"):
        text += "\n\n" + argument["discussion"]
    values = argument.get("allValues") or []
    if values and "bool" not in str(values).lower() and not all(value in text for value in values):
        text += f"\n\nOne of: {', '.join(values)}."
    default = argument.get("defaultValue")
    if default and argument["kind"] != "flag" and "default" not in text:
        text += f"\n\nDefault: {default}."
    return text.strip()


def synopsis(path, arguments):
    parts = [bold(" ".join(path))]
    if any(argument["kind"] != "positional" for argument in arguments):
        parts.append("[" + italic("option") + "...]")
    for argument in arguments:
        if argument["kind"] == "positional":
            part = tag(argument) + ("..." if argument.get("isRepeating") else "")
            parts.append(f"[{part}]" if argument.get("isOptional") else part)
    return " ".join(parts)


def sections(arguments):
    """The arguments by the headings of the help, in its order."""
    found = {}
    for argument in arguments:
        title = argument.get("sectionTitle") or ("Arguments" if argument["kind"] == "positional" else "Options")
        found.setdefault(title, []).append(argument)
    return found


def commands(command):
    """What is below the command, without the help that every command has."""
    return [one for one in shown(command.get("subcommands") or []) if one["commandName"] != "help"]


def write_command(command, path):
    arguments = shown(command.get("arguments") or [])
    page = Page("-".join(path), 1, command["abstract"])
    page.heading("Synopsis")
    below = commands(command)
    if below:
        page.lines.append(f"{bold(' '.join(path))} {italic('command')} [{italic('option')}...]")
    else:
        page.lines.append(synopsis(path, arguments))
    if command.get("discussion"):
        if not begins_with_heading(command["discussion"]):
            page.heading("Description")
        page.prose(command["discussion"])
    if below:
        page.heading("Commands")
        for one in below:
            page.term(bold(f"{'-'.join(path + [one['commandName']])}(1)"), one["abstract"])
    for title, group in sections(arguments).items():
        page.heading(title)
        for argument in group:
            page.term(tag(argument), meaning(argument))
    page.heading("See also")
    names = ["apus"] if len(path) > 1 else []
    others = [f"{bold(name)}(1)" for name in names] + [f"{bold('apus.yaml')}(5)"]
    page.lines.append(",\n".join(others))
    page.write()
    for one in below:
        write_command(one, path + [one["commandName"]])


def write_configuration():
    page = Page("apus.yaml", 5, "configuration of the Apus message broker")
    page.heading("Description")
    page.prose(
        "The file that apus serve reads when it is given with --config (or APUS_CONFIG); the system service reads\n"
        "/etc/apus/apus.yaml. Every option can also be given in the environment and, most of them, as a flag: a flag\n"
        "goes over the environment, that over the file, and that over the default.\n\n"
        "An unknown key, a value of the wrong type and settings that contradict each other are errors that name the\n"
        "line. apus serve --config FILE --check-config says what is in force, and where each value comes from, without\n"
        "starting a broker.\n\n"
        "In the environment the option db is APUS_DB, and limits: max-connections: is APUS_LIMITS_MAX_CONNECTIONS.\n"
        "Behind each there is one with _FILE at its end: the value is then in that file.\n\n"
        "On SIGHUP the file is read again. What can be changed while the broker runs is changed, the rest is named as\n"
        "needing a restart, and a file with a mistake changes nothing."
    )
    page.heading("Options")
    page.prose("Every option with its default, as config/apus.yaml of the distribution has it:")
    page.verbatim(pathlib.Path(CONFIGURATION).read_text(encoding="utf-8").rstrip("\n"))
    page.heading("Files")
    page.term("/etc/apus/apus.yaml", "What the system service reads.")
    page.term("/var/lib/apus/apus.db", "The messages, where that configuration keeps them.")
    page.heading("See also")
    page.lines.append(f"{bold('apus-serve')}(1),\n{bold('apus-user')}(1)")
    page.write()


def main():
    dump = subprocess.run([BINARY, "--experimental-dump-help"], check=True, capture_output=True, text=True).stdout
    pathlib.Path(DIRECTORY).mkdir(parents=True, exist_ok=True)
    write_command(json.loads(dump)["command"], ["apus"])
    write_configuration()


main()
