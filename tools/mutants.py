"""List mutants of the modules that decide about a signature, as JSON: cosmic-ray's, and statements left out.

    .mutation-venv/bin/python tools/mutants.py > .mutation/mutants.json

Of cosmic-ray's operators those are used that change what the code does. A comparison becomes its opposite and its
neighbour, not each of the seven others; and what is not executed for its value is left alone: annotations (they are
strings here), the `*` and `/` of a signature, arguments of `@dataclass` and `field`, and the `strict` of a `zip` whose
two sides are made together.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).resolve().parent.parent
HTTPSIG = Path("src/wimse/httpsig")
MODULES = (
    *("base", "coverage", "verifying", "selection", "forms", "scanner", "requirements"),
    *("digest", "digest_fields"),
)
COMPARISONS = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt")
OPERATORS = (
    *(f"ReplaceComparisonOperator_{each}" for each in (*COMPARISONS, "Is_IsNot", "IsNot_Is")),
    *(f"ReplaceBinaryOperator_{each}" for each in ("Add_Sub", "Sub_Add", "Mul_Add", "BitOr_BitAnd", "BitAnd_BitOr")),
    *("ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not", "AddNot", "ReplaceTrueWithFalse"),
    *("ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue"),
    *("ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop"),
)
Span = tuple[tuple[int, int], tuple[int, int]]


def span(node: Any) -> Span:
    """From where to where a node of `ast` stands."""
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def left_alone(tree: ast.Module) -> Iterator[Span]:
    """What is in the source and is not code whose change means anything."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            yield from (span(each.annotation) for each in every if each is not None and each.annotation is not None)
            if node.returns is not None:
                yield span(node.returns)
        if isinstance(node, ast.AnnAssign):
            yield span(node.annotation)
        if isinstance(node, ast.ClassDef):
            yield from (((each.lineno, 0), (each.end_lineno or 0, 999)) for each in node.decorator_list)
        if isinstance(node, ast.keyword) and node.arg == "strict":
            yield span(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"field", "lru_cache"}:
            yield span(node)
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            for each in node.decorator_list:
                if ast.unparse(each).startswith("lru_cache"):
                    yield (each.lineno, 0), (each.end_lineno or 0, 999)


def is_code(start: tuple[int, int], end: tuple[int, int], name: str, tree: ast.Module, alone: list[Span]) -> bool:
    """Whether a change at this place means anything."""
    if any(begin <= start and end <= finish for begin, finish in alone):
        return False
    if "BinaryOperator" not in name:
        return True
    return any(
        isinstance(node, ast.BinOp) and span(node.left)[1] <= start and end <= span(node.right)[0]
        for node in ast.walk(tree)
    )


def of_cosmic_ray(source: str, tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """Operator, line and source of each mutant."""
    alone = list(left_alone(tree))
    parsed = get_ast(source)
    for name in OPERATORS:
        operator = cosmic_ray.plugins.get_operator(f"core/{name}")()
        places = [place for node in ast_nodes(parsed) for place in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(places):
            if is_code(start, end, name, tree, alone):
                # The dot of `except http_sf.StructuredFieldError` is more than the operator knows about.
                with suppress(AttributeError):
                    yield name, start[0], mutate_code(source, operator, occurrence)


def without_statements(source: str, tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """The same for each statement of a function that is left out, and each result that is."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    for node in (each for function in functions for each in ast.walk(function)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or not isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise | ast.Return | ast.If):
            continue
        if isinstance(node, ast.Return) and (node.value is None or ast.unparse(node.value) == "None"):
            continue
        lines = source.splitlines(keepends=True)
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        if lines[first][: node.col_offset].strip():  # an `elif`, which goes by its condition
            continue
        kept = "return None" if isinstance(node, ast.Return) else "pass"
        lines[first : last + 1] = [lines[first][: node.col_offset] + kept + "\n"]
        yield f"Without{type(node).__name__}", node.lineno, "".join(lines)


def opposite_membership(source: str, tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """The same for each `in` and `not in`, which cosmic-ray leaves alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
            (begin, column), (end, finish) = span(node.left)[1], span(node.comparators[0])[0]
            if begin != end:
                continue
            lines = source.splitlines(keepends=True)
            line, other = lines[begin - 1], "not in" if isinstance(node.ops[0], ast.In) else "in"
            lines[begin - 1] = f"{line[:column]} {other} {line[finish:]}"
            yield "OppositeMembership", node.lineno, "".join(lines)


def main() -> None:
    """List them all; the same text is listed once."""
    found: list[dict[str, Any]] = []
    for module in MODULES:
        path = HTTPSIG / f"{module}.py"
        source = (ROOT / path).read_text()
        tree = ast.parse(source)
        seen = {source}
        for make in (of_cosmic_ray, without_statements, opposite_membership):
            for operator, line, mutated in make(source, tree):
                if mutated in seen:
                    continue
                seen.add(mutated)
                found.append({"module": module, "operator": operator, "line": line, "source": mutated})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
