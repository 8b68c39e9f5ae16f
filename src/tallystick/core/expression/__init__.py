"""The calculation language: parse once to a typed tree, check it, evaluate it in exact decimals.

`docs/reference/calculation-language.md` is its description for people who write formulas (source: reference 2.1).
"""

from tallystick.core.expression.checking import check
from tallystick.core.expression.compilable import is_compilable
from tallystick.core.expression.evaluation import evaluate, type_of
from tallystick.core.expression.functions import FUNCTIONS, Function, table
from tallystick.core.expression.parsing import MAX_DEPTH, MAX_NODES, parse
from tallystick.core.expression.rendering import render
from tallystick.core.expression.tokens import MAX_LENGTH, MAX_TEXT
from tallystick.core.expression.tree import (
    CONSTANTS,
    Binary,
    BinaryOperator,
    Boolean,
    CalculationError,
    Call,
    Conditional,
    Constant,
    Expression,
    ExpressionError,
    Null,
    Number,
    Reference,
    Scalar,
    Text,
    Type,
    Unary,
    UnaryOperator,
    references,
)

__all__ = [
    "CONSTANTS",
    "FUNCTIONS",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MAX_NODES",
    "MAX_TEXT",
    "Binary",
    "BinaryOperator",
    "Boolean",
    "CalculationError",
    "Call",
    "Conditional",
    "Constant",
    "Expression",
    "ExpressionError",
    "Function",
    "Null",
    "Number",
    "Reference",
    "Scalar",
    "Text",
    "Type",
    "Unary",
    "UnaryOperator",
    "check",
    "evaluate",
    "is_compilable",
    "parse",
    "references",
    "render",
    "table",
    "type_of",
]
