"""The functions that expressions may call, as a table: add an entry, or pass a wider table, to have more.

A function is told its arguments by position. Unless it `takes_null`, a null argument makes the result null
without asking the implementation, as arithmetic with null does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from tallystick.core.expression import arithmetic
from tallystick.core.expression.tree import Scalar, Type

Implementation: TypeAlias = Callable[..., Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function: how it is called and what it gives.

    `parameters` are the types of the arguments; the last one repeats up to `maximum` arguments (None: any number).
    The first `minimum` arguments are required. `alike` functions want arguments of one type, whichever it is. A
    `result` of ANY is the common type of the arguments. The implementation gets values of the declared types and
    raises CalculationError where it has no result; it must be pure and bounded in time.
    """

    name: str
    parameters: tuple[Type, ...]
    result: Type
    implementation: Implementation
    minimum: int
    maximum: int | None
    takes_null: bool = False
    alike: bool = False

    def takes(self, count: int) -> bool:
        """Whether the function can be called with this many arguments."""
        return self.minimum <= count and (self.maximum is None or count <= self.maximum)

    def parameter(self, index: int) -> Type:
        """The type of the argument at an index, from 0."""
        return self.parameters[min(index, len(self.parameters) - 1)]

    @property
    def arity(self) -> str:
        """How many arguments it takes, in words for a message: "2 or more arguments"."""
        if self.maximum is None:
            return f"{self.minimum} or more arguments"
        if self.minimum == self.maximum:
            return f"{self.minimum} argument{'' if self.minimum == 1 else 's'}"
        return f"{self.minimum} to {self.maximum} arguments"


def table(*functions: Function) -> Mapping[str, Function]:
    """Functions by name, read-only. To extend: `FUNCTIONS | table(...)`."""
    named = {function.name: function for function in functions}
    assert len(named) == len(functions), "two functions of one name"
    return MappingProxyType(named)


def _first_given(value: Scalar, otherwise: Scalar) -> Scalar:
    return otherwise if value is None else value


def _among(value: Scalar, *candidates: Scalar) -> bool:
    # The arguments are of one type or null, so that == is the language's own.
    return any(value == candidate for candidate in candidates)


def _number(name: str, implementation: Implementation, minimum: int, maximum: int | None) -> Function:
    return Function(
        name=name,
        parameters=(Type.NUMBER,),
        result=Type.NUMBER,
        implementation=implementation,
        minimum=minimum,
        maximum=maximum,
    )


FUNCTIONS: Mapping[str, Function] = table(
    _number("Math.max", max, 2, None),
    _number("Math.min", min, 2, None),
    _number("Math.floor", arithmetic.floor, 1, 2),
    _number("Math.ceil", arithmetic.ceiling, 1, 2),
    _number("Math.round", arithmetic.round_half_up, 1, 2),
    _number("Math.pow", arithmetic.power, 2, 2),
    _number("Math.abs", lambda value: value.copy_abs(), 1, 1),
    Function(
        name="isnull",
        parameters=(Type.ANY,),
        result=Type.ANY,
        implementation=_first_given,
        minimum=2,
        maximum=2,
        takes_null=True,
        alike=True,
    ),
    Function(
        name="IN",
        parameters=(Type.ANY,),
        result=Type.BOOLEAN,
        implementation=_among,
        minimum=2,
        maximum=None,
        takes_null=True,
        alike=True,
    ),
)
