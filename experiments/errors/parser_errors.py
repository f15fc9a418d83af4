"""What the command line's parser refuses, as one sentence: the key, its value, and what is expected.

jsonargparse tells of every class and union that it tried on the way to a value. The causes of its error, from
the outermost to the innermost, name the parts of the value's key; the last one says what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jsonargparse import ArgumentParser

from datamodules.errors.nearest_names import did_you_mean, nearest
from experiments.errors.plain_errors import in_words
from experiments.experiment_files.allowed_classes import is_allowed, said_of_refused
from experiments.experiment_files.class_names import CLASSES, whole_path
from experiments.experiment_files.typed_options import as_tree
from experiments.program import list_command
from experiments.run_folders.run_folder import RunError

LONGEST_VALUE = 80

_KEY = re.compile(r'Parser key "([^"]+)"')
_CLASS = re.compile(r"Problem with given class_path '([^']+)'")
_CALLABLE = re.compile(r"Type \S.* expects a function or a callable class")
_OF_A_CALLED_CLASS = re.compile(
    r"Does not validate[^\n]*\nSubtypes: [^\n]*\nErrors:\n(?:  [^\n]*\n)*?"
    r"  - (?P<type>Type \S[^\n]* expects a function or a callable class): (?P<said>[^\n]*(?:\n {4}[^\n]*)*)"
)
_NAMED = re.compile(r"(?:\. Got|\nGiven) value: Namespace\(class_path='(?P<class>[\w.]+)'")
_UNKNOWN = (
    re.compile(r"Option '(?P<key>[^']+)' is not accepted"),
    re.compile(r"Subcommand '\w+' does not accept option '(?P<key>[^']+)'"),
    re.compile(r"Group '(?P<group>[^']+)' does not accept option '(?P<key>[^']+)'"),
    re.compile(r"unrecognized arguments: (?P<key>\S+).*", re.DOTALL),
)
_REFUSED = re.compile(r"Importing '(?P<path>[\w.]+)' is not allowed, denied by")
_NO_CLASS = re.compile(r"module '(?P<module>[\w.]+)' has no attribute '(?P<name>\w+)'")
_NO_MODULE = re.compile(r"No module named '(?P<module>[\w.]+)'")
_NO_PATH = re.compile(r"Expected a dot import path string: (?P<name>.*)")
_NO_MAPPING = re.compile(r"'\w+' object has no attribute '(keys|items|get)'")
_EXPECTED = re.compile(r"Expected an? (?P<type>.*?)\. Got value: (?P<value>.*)", re.DOTALL)
_UNION = re.compile(r"Subtypes: \[(?P<types>.*?)\]\nErrors:.*\nGiven value: (?P<value>.*)", re.DOTALL)
_SUBCLASS = re.compile(r"Not a valid subclass of (?P<name>\w+)\. Got value: (?P<value>.*?)\n", re.DOTALL)
_REQUIRED = re.compile(
    r"given class_path '(?:\w+\.)*(?P<name>\w+)':\s+the following arguments are required: (?P<keys>.*)"
)
_TUPLE = re.compile(r"tuple with (\d+) elements")
_NO_VALUE = re.compile(r"argument (?P<option>\S+): expected (one|at least one) argument")

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "nonetype": "null",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
}


class RefusedOption(RunError):
    """An option or a key of a file is not known, or its value is not one that it takes."""


@dataclass(frozen=True)
class _Refusal:
    """The parts of an error of the parser.

    Attributes:
        key: the dotted key of the value; "" for a whole command line.
        owner: the import path of the class that the key belongs to.
        union: the last union of types that was tried for the value, or "".
        before: what the error around the last one says.
        last: what is wrong.
    """

    key: str
    owner: str
    union: str
    before: str
    last: str


def refusal(
    error: BaseException,
    typed: Sequence[str] = (),
    known: Iterable[str] = (),
    files: Sequence[tuple[str, Any]] = (),
) -> str:
    """The sentence for an error of the parser.

    Args:
        error: what it raised.
        typed: the command line as the user typed it.
        known: the keys that are known outside of any class.
        files: what was merged, the later one winning: where each stands, and what it holds.
    """
    found = _taken_apart(error)
    for text in _messages(error):
        if refused := _REFUSED.search(text):
            return said_of_refused(refused["path"], [*files, ("the command line", as_tree(typed))], found.key)
    for pattern in _UNKNOWN:
        if unknown := pattern.match(found.last):
            group = unknown.groupdict().get("group")
            return _unknown_key(found, f"{group}.{unknown['key']}" if group else unknown["key"], known)
    if said := _no_class(found):
        return said
    if required := _REQUIRED.search(f"{found.union}\n{found.before}"):
        key = found.key.removesuffix(".init_args")
        return f"{key}: {required['name']} needs {required['keys']}, under `init_args`."
    if _NO_MAPPING.search(found.last):
        return (
            f"{found.key or 'A file'} holds a text or a list where a mapping belongs (`name: value` lines)."
        )
    if (absent := _NO_PATH.match(found.last)) and (union := _UNION.search(found.union)):
        return _wrong_value(found.key, absent["name"], union["types"])
    if other := _SUBCLASS.match(found.last):
        return (
            f"{found.key} is {_short(other['value'])}, but must be a class, for example `class_path: "
            f"path.of.{other['name']}`, and its arguments under `init_args`."
        )
    if expected := _EXPECTED.match(found.last):
        union = _UNION.search(found.union)
        kinds = union["types"] if union else expected["type"]
        return _wrong_value(found.key, expected["value"], kinds)
    if missing := _NO_VALUE.match(found.last):
        return f"{_without_value(typed, missing['option'])} has no value: write it behind the option."
    if found.last.startswith("the following arguments are required") and "model" in found.last:
        return (
            "No experiment is named: add -c NAME, for example -c quickstart. "
            f"`{list_command()}` shows all of them."
        )
    if found.last.startswith('expected "subcommand"') and (choice := re.search(r"\{(.*)\}", found.last)):
        return f"Say first what to do: one of {choice[1].replace(',', ', ')}."
    said = in_words(_one_line(found.last))
    said = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", said)
    return f"{found.key.removesuffix('.init_args')}: {said}" if found.key else said


def _taken_apart(error: BaseException) -> _Refusal:
    key: list[str] = []
    owner = union = before = around = ""
    last = str(error)
    for text in _messages(error):
        if text == before:
            continue
        around = before
        if (named := _KEY.match(text)) and named[0] not in before[: len(named[0])]:
            key.append(named[1])
            union = ""
        elif made := _CLASS.match(text):
            owner, union = made[1], ""
            if not dataclasses.is_dataclass(_imported(owner)):
                key.append("init_args")
        elif _CALLABLE.match(text):
            given = re.search(r"class_path[=':\s]+([\w.]+)", text)
            owner = given[1] if given else owner
            key.append("init_args")
        elif "Subtypes: [" in text:
            union = text
        before, last = text, text
    return _Refusal(".".join(key), owner, union, around, last)


def _messages(error: BaseException) -> Iterator[str]:
    """What an error and those it was raised from say, the outermost first.

    The cause of a union's error is that of its first type, also where a class was named that is to be called.
    """
    found: BaseException | None = error
    while found is not None:
        text = (str(found.args[0]) if isinstance(found, KeyError) and found.args else str(found)).strip()
        yield text
        if (called := _OF_A_CALLED_CLASS.match(text)) and (
            named := _NAMED.search(text, called.start("said"))
        ):
            said = _NAMED.split(called["said"])[0]
            yield f"{called['type']}: class_path={named['class']}"
            yield from filter(None, re.split(r'(Parser key "[^"]+"):\s+', said))
            return
        found = found.__cause__


def _unknown_key(found: _Refusal, unknown: str, known: Iterable[str]) -> str:
    name = unknown.lstrip("-").partition("=")[0]
    if not found.key:
        if not unknown.startswith("-") and "=" in unknown:
            return f"{unknown} is no option: options begin with --, as in --{name}."
        wrong, hint = _nearest_key(name, list(known))
        return f"There is no option or key {wrong}.{hint}"
    known = _arguments(found.owner)
    wrong, hint = _nearest_key(name, known)
    short = found.owner.rpartition(".")[2]
    return f"{found.key}.{wrong} is not known: {short} has no such argument.{hint}"


def _nearest_key(name: str, known: Sequence[str]) -> tuple[str, str]:
    """The part of a dotted key that nobody knows, and the sentence that names the nearest known one."""
    parts = name.split(".")
    for depth, part in enumerate(parts):
        family = [key.split(".") for key in known]
        siblings = {other[depth] for other in family if len(other) > depth and other[:depth] == parts[:depth]}
        siblings = {name for name in siblings if not name.startswith("_")}  # the parser's own
        if part not in siblings:
            wrong = ".".join(parts[: depth + 1])
            if hint := did_you_mean(part, siblings):
                return wrong, hint
            return wrong, f" Known are {', '.join(sorted(siblings))}." if 0 < len(siblings) <= 30 else ""
    return name, ""


def _no_class(found: _Refusal) -> str:
    """The sentence for a class that cannot be imported; "" for anything else."""
    key = found.key.removesuffix(".init_args")
    if absent := _NO_CLASS.search(found.last):
        names = {*dir(_imported(absent["module"])), *_modules(absent["module"])}
        return f"{key}: {absent['module']} has no {absent['name']}.{did_you_mean(absent['name'], names)}"
    if absent := _NO_MODULE.search(found.last):
        package, dot, _ = absent["module"].rpartition(".")
        hint = did_you_mean(absent["module"], [f"{package}{dot}{name}" for name in _modules(package)])
        return f"{key} names the module {absent['module']}, which does not exist.{hint}"
    if (absent := _NO_PATH.match(found.last)) and absent["name"].isidentifier():
        paths = _loaded_classes(found.union) | {name: whole_path(name) for name in CLASSES}
        close = nearest(absent["name"], paths)
        return (
            f"{key} names the class {_short(absent['name'])}, which is not known: give its whole path, "
            f"such as {paths[close] if close else 'package.module.Class'}."
        )
    return ""


def _loaded_classes(union: str) -> dict[str, str]:
    """The paths of the loaded classes that the types of a union allow, by their names."""
    waiting = [_imported(base) for base in re.findall(r"\w+(?:\.\w+)+", union.partition("\nErrors")[0])]
    found = {}
    while waiting:
        for each in getattr(waiting.pop(), "__subclasses__", list)():
            found[each.__name__] = f"{each.__module__}.{each.__qualname__}"
            waiting.append(each)
    return found


def _modules(package: str) -> list[str]:
    """The names of the modules in a package; of all that can be imported, without a package."""
    places = getattr(_imported(package), "__path__", []) if package else None
    return [found.name for found in pkgutil.iter_modules(places)]


def _wrong_value(key: str, value: str, kinds: str) -> str:
    return f"{key} is {_short(value)}, but must be {_described(kinds)}.{did_you_mean(value, _choices(kinds))}"


def _described(kinds: str) -> str:
    """The types that jsonargparse names, in words: "a whole number or null"."""
    if exact := _TUPLE.fullmatch(kinds):
        return f"a list of {exact[1]}"
    words = [f"one of {', '.join(choices)}"] if (choices := _choices(kinds)) else []
    for kind in re.split(r", (?![^\[]*\])", kinds):
        if "Literal[" in kind:
            continue
        name = re.sub(r"<class '(.*)'>", r"\1", kind).partition("[")[0].rpartition(".")[2]
        length = f" of {kind.count(',') + 1}" if name.lower() == "tuple" and "..." not in kind else ""
        words.append(f"{_TYPES.get(name.lower(), name)}{length}")
    return " or ".join(dict.fromkeys(words))


def _choices(kinds: str) -> list[str]:
    """The values that the literal types among some types name."""
    groups = re.findall(r"Literal\[(.*?)\]", kinds)
    return list(dict.fromkeys(each.strip().strip("'") for group in groups for each in group.split(",")))


def _without_value(typed: Sequence[str], option: str) -> str:
    """The option that stands without its value: the parser names only the beginning of it."""
    following = [*typed[1:], "--"]
    bare = [
        name
        for name, after in zip(typed, following, strict=True)
        if name.startswith(option) and "=" not in name and after.startswith("--")
    ]
    return bare[-1] if bare else option


def _arguments(owner: str) -> list[str]:
    """The dotted names of what a class takes."""
    parser = ArgumentParser(exit_on_error=False)
    with suppress(Exception):  # only for a hint
        parser.add_class_arguments(_imported(owner), fail_untyped=False)
        return list(parser.get_defaults(skip_validation=True).keys())
    return []


def _imported(path: str) -> Any:
    """A module or class by its path; None where there is none, or none that may be imported."""
    if not is_allowed(path):
        return None
    with suppress(Exception):
        return importlib.import_module(path)
    module, _, name = path.rpartition(".")
    with suppress(Exception):
        return getattr(importlib.import_module(module), name)
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _short(value: str) -> str:
    line = _one_line(value)
    return repr(line if len(line) <= LONGEST_VALUE else f"{line[:LONGEST_VALUE]}...")
