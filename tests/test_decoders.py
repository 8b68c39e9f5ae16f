"""Decoders built by several threads at once: the library alone hangs or crashes at that, ours must not."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tallystick

# A type whose kind takes long to note what is found out about it; another thread asks for the type meanwhile.
TWO_AT_ONCE = """
import enum, threading, time
import msgspec
from tallystick.core import wire

class Slow(enum.EnumMeta):
    def __setattr__(cls, name, value):
        if name.startswith("__msgspec"):
            time.sleep(0.3)
        super().__setattr__(name, value)

class Kind(enum.Enum, metaclass=Slow):
    SUM = "SUM"

class Inner(msgspec.Struct):
    kind: Kind
    code: str

class Outer(msgspec.Struct):
    inner: Inner

def whole():
    assert {read}(Outer, b'{{"inner":{{"kind":"SUM","code":"a"}}}}').inner.kind is Kind.SUM

def part():
    time.sleep(0.1)
    value = b'{{"kind":"SUM","code":"a"}}'
    assert {read}(Inner, value).code == "a"

threads = [threading.Thread(target=each) for each in (whole, part)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print("done")
"""


def outcome(read: str) -> str:
    """What a process prints that has two threads `read` the same type at once."""
    program = TWO_AT_ONCE.format(read=read)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip()


@pytest.mark.parametrize("read", ["wire.decode", "(lambda of, text: wire.convert(of, msgspec.json.decode(text)))"])
def test_two_threads_may_ask_for_the_same_type_at_once(read: str) -> None:
    assert outcome(read) == "done"


BUILDERS = {"Decoder", "convert"}


def test_no_other_function_builds_a_decoder() -> None:
    """At the top of a module it is built while that is imported, by one thread. Elsewhere `decoders` and `wire` do."""
    found = [
        f"{path.name}:{call.lineno}: {ast.unparse(call)[:80]}"
        for path in Path(tallystick.__file__).parent.rglob("*.py")
        if path.name not in {"decoders.py", "wire.py"}
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and _builds(call)
    ]
    assert found == []


def _builds(call: ast.Call) -> bool:
    """A call of msgspec that finds out about a type of ours; those of Python itself have nothing to be noted on."""
    name = ast.unparse(call.func)
    if not name.startswith("msgspec.") or name == "msgspec.structs.replace":
        return False
    if name.rpartition(".")[2] in BUILDERS:
        return True
    wanted = [keyword.value for keyword in call.keywords if keyword.arg == "type"]
    names = {node.id for each in wanted for node in ast.walk(each) if isinstance(node, ast.Name)}
    return not names <= {"dict", "list", "tuple", "str", "int", "Any"}
