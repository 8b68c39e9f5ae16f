"""The functions that expressions may call, as a table: add an entry, or pass a wider table, to have more.

A function is told its arguments by position. Unless it `takes_null`, a null argument makes the result null
without asking the implementation, as arithmetic with null does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias

from tallystick.core.expression import arithmetic, dates, texts
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


def _function(
    name: str, parameters: tuple[Type, ...], result: Type, implementation: Implementation, optional: int = 0
) -> Function:
    """A function of these parameters, the last `optional` of which may be left out."""
    return Function(
        name=name,
        parameters=parameters,
        result=result,
        implementation=implementation,
        minimum=len(parameters) - optional,
        maximum=len(parameters),
    )


_TEXT, _NUMBER, _TRUTH, _ANY = Type.TEXT, Type.NUMBER, Type.BOOLEAN, Type.ANY

_TEXTS = (
    _function("String.of", (_ANY,), _TEXT, texts.to_text),
    _function("Number.of", (_ANY,), _NUMBER, texts.to_number),
    _function("Number.orNull", (_ANY,), _NUMBER, texts.to_number_or_null),
    _function("String.length", (_TEXT,), _NUMBER, texts.length),
    _function("String.lower", (_TEXT,), _TEXT, str.lower),
    _function("String.upper", (_TEXT,), _TEXT, str.upper),
    _function("String.trim", (_TEXT,), _TEXT, str.strip),
    _function("String.contains", (_TEXT, _TEXT), _TRUTH, lambda text, part: part in text),
    _function("String.startsWith", (_TEXT, _TEXT), _TRUTH, str.startswith),
    _function("String.endsWith", (_TEXT, _TEXT), _TRUTH, str.endswith),
    _function("String.indexOf", (_TEXT, _TEXT), _NUMBER, texts.index_of),
    _function("String.substring", (_TEXT, _NUMBER, _NUMBER), _TEXT, texts.substring, 1),
    _function("String.split", (_TEXT, _TEXT, _NUMBER), _TEXT, texts.split),
    _function("String.replace", (_TEXT, _TEXT, _TEXT), _TEXT, texts.replace),
)


def _date_part(name: str, take: Callable[[datetime], int]) -> Function:
    return _function(f"DateTime.{name}", (_NUMBER, _TEXT), _NUMBER, dates.part(take), 1)


_DATES = (
    _function("DateTime.parse", (_TEXT, _TEXT), _NUMBER, dates.parse, 1),
    _function("DateTime.format", (_NUMBER, _TEXT, _TEXT), _TEXT, dates.render, 1),
    _date_part("year", lambda moment: moment.year),
    _date_part("month", lambda moment: moment.month),
    _date_part("day", lambda moment: moment.day),
    _date_part("hour", lambda moment: moment.hour),
    _date_part("minute", lambda moment: moment.minute),
    _date_part("second", lambda moment: moment.second),
    _date_part("dayOfWeek", datetime.isoweekday),
    _date_part("dayOfYear", lambda moment: moment.timetuple().tm_yday),
)

FUNCTIONS: Mapping[str, Function] = table(
    *_TEXTS,
    *_DATES,
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
