"""Follows constants into evaluations: arguments, how many samples they take, and what held-out data are made with."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeGuard

from target.program.conditions import stepped_environment
from target.program.inferred import words_of
from target.program.syntax import called, name_of

EVALUATES: Final = re.compile(
    r"(?i:(?:\w*_)?(?:eval|evals|evaluate|evaluation|evaluator|validate|validation)(?:_\w*)?)"
)
_TESTS: Final = re.compile(r"(?i:test|test_(?:epoch|loop|model)|run_test)")
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_HELD_OUT: Final = frozenset({"val", "valid", "validation", "eval", "test", "holdout", "heldout"})
_GLUED: Final = frozenset({"xtest", "ytest", "xval", "yval", "testset", "valset", "testloader", "valloader"})
_NO_DATA: Final = frozenset(
    {"loss", "losses", "acc", "accuracy", "score", "scores", "pred", "preds", "prediction", "predictions", "logits"}
    | {"metric", "metrics", "result", "results", "out", "output", "outputs", "time", "error", "mse", "mae", "rmse"}
    | {"auc", "bpb", "perplexity", "reward", "rewards", "return", "returns", "model", "every", "freq", "interval"}
    | {"callback", "prob", "probs", "history", "loop"}
)
_TRAINS: Final = frozenset(
    {"backward", "fit", "learn", "train_on_batch", "partial_fit", "zero_grad", "apply_gradients"}
)
_GRADIENTS: Final = frozenset({"grad", "value_and_grad", "gradient", "GradientTape"})
_WITHOUT_GRADIENT: Final = frozenset({"no_grad", "inference_mode"})
_PER_BATCH: Final = frozenset({"BATCH", "BATCHES", "MICROBATCH", "MINIBATCH", "BATCHSIZE", "BS"})
_AUGMENTS: Final = frozenset({"AUG", "AUGMENT", "FLIP", "JITTER", "CUTOUT", "MIXUP", "CUTMIX", "NOISE", "ERASE"})
_COUNTS_BATCHES: Final = re.compile(r"(?:\w*_)?(?:batches|iters|steps)")
_OF_BATCHES: Final = re.compile(r"(?i:(?:\w*_)?(?:m?iou|dice|jaccard|f1|auc|auroc|metrics)(?:_\w*)?)")
_MODEL: Final = re.compile(r"(?i:(?:\w*_)?(?:model|net|network|policy|agent|encoder|decoder|forward|apply|predict)s?)")
_SETTINGS: Final = re.compile(r"(?i:\w*(?:config|cfg|kwargs|settings|options))")
_FUNCTIONS: Final = ast.FunctionDef | ast.AsyncFunctionDef
_PARTS: Final = ast.BinOp | ast.UnaryOp | ast.Tuple | ast.List | ast.Constant


def is_held_out(name: str) -> bool:
    """Return whether a variable is of data that are held out, or an environment: `x_test`, `val_loader`, `eval_env`."""
    words = {word.lower() for word in _WORDS.findall(name)}
    return bool(words & (_HELD_OUT | _GLUED)) and not words & _NO_DATA


def is_of_batches(name: str) -> bool:
    """Return whether a constant is the size of a batch: data that are taken in other pieces are the same data."""
    return bool(words_of(name) & _PER_BATCH)


def is_named_evaluation(function: str) -> bool:
    """Return whether the name of a function says that it evaluates, or that it tests: `validate`, `test_epoch`."""
    return bool(EVALUATES.fullmatch(function) or _TESTS.fullmatch(function))


def stops_gradient(context: ast.expr) -> bool:
    """Return whether a decorator or a context of a `with` is `torch.no_grad()`, or another of its kind."""
    return name_of(context.func if isinstance(context, ast.Call) else context) in _WITHOUT_GRADIENT


@functools.lru_cache(maxsize=512)  # asked again for each constant that is read there
def trains(node: ast.AST) -> bool:
    """Return whether a part of a program trains something."""
    return any(
        isinstance(each, ast.Call) and (called(each) in _TRAINS or called(each) in _GRADIENTS)
        for each in ast.walk(node)
    )


@functools.lru_cache(maxsize=512)
def is_evaluation(node: ast.AST) -> bool:
    """Return whether a function evaluates a model and trains nothing.

    It has such a name, or computes something without gradients after it switched the model by `model.eval()`.
    """
    if not isinstance(node, _FUNCTIONS) or trains(node):
        return False
    if is_named_evaluation(node.name):
        return True
    contexts = [item.context_expr for each in ast.walk(node) if isinstance(each, ast.With) for item in each.items]
    return any(map(stops_gradient, [*contexts, *node.decorator_list])) and any(map(_switches, ast.walk(node)))


def is_inline_evaluation(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether a loop or a `with` evaluates: over held-out data, or without gradients after `model.eval()`."""
    if isinstance(node, ast.For):
        return any(isinstance(each, ast.Name) and is_held_out(each.id) for each in ast.walk(node.iter)) and not trains(
            node
        )
    if (
        not isinstance(node, ast.With)
        or not any(stops_gradient(item.context_expr) for item in node.items)
        or trains(node)
    ):
        return False
    if any(isinstance(each, ast.Name) and is_held_out(each.id) for each in ast.walk(node)):
        return True
    if any(map(stepped_environment, ast.walk(node))):
        return False  # the training collects what it learns from
    siblings = next((part for part in _bodies(parents[node]) if node in part), [])
    before = siblings[: siblings.index(node)] if node in siblings else []
    modes = [called(each) for statement in before for each in ast.walk(statement) if isinstance(each, ast.Call)]
    return "eval" in modes and "train" not in modes[modes.index("eval") :]


def names_in_evaluations(tree: ast.Module, names: Iterable[str], parents: Mapping[ast.AST, ast.AST]) -> set[str]:
    """Return the constants that set how much is evaluated, or on what, although a training may read them too.

    Args:
        tree: The program.
        names: Its constants.
        parents: The parents of all nodes of the program.
    """
    flow = _Flow(tree, set(names), parents)
    return {name for name in flow.found() if not is_of_batches(name)} | flow.counted


class _Flow:
    def __init__(self, tree: ast.Module, names: set[str], parents: Mapping[ast.AST, ast.AST]) -> None:
        self._names, self._parents = names, parents
        self._functions = {node.name: node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)}
        self._nodes = list(parents)
        self.counted = set[str]()  # of the batches that an evaluation takes a fixed number of

    def found(self) -> set[str]:
        makers, found = set[str](), set[str]()
        for node in self._nodes:
            if isinstance(node, ast.Call) and is_named_evaluation(called(node)):
                found |= self._handed(node)
            if isinstance(node, ast.Assign) and any(map(is_held_out, _targets(node))):
                found |= self._made_of(node.value)
                makers |= {called(each) for each in ast.walk(node.value) if isinstance(each, ast.Call)}
            elif is_inline_evaluation(node, self._parents):
                found |= self._selecting(node, {})
        evaluations = {name for name, function in self._functions.items() if is_evaluation(function)}
        for name in evaluations:
            makers |= {name_of(each.func) for each in ast.walk(self._functions[name]) if _is_plain_call(each)}
        for name in evaluations | self._reached(makers):
            function = self._functions[name]
            if not trains(function):
                found |= self._selecting(function, self._aliases(function))
        self.counted |= self._of_metrics()
        return found

    def _of_metrics(self) -> set[str]:
        """Return the sizes of held-out batches, if a metric is computed for each, whose mean depends on the size."""
        sizes, metric = set[str](), False
        for node in self._nodes:
            if isinstance(node, ast.Assign) and any(map(is_held_out, _targets(node))):
                keywords = [each for each in ast.walk(node.value) if isinstance(each, ast.keyword)]
                sizes |= {name_of(each.value) for each in keywords if each.arg == "batch_size"}
            elif isinstance(node, ast.For) and not metric:
                inside = any(
                    is_inline_evaluation(above, self._parents) or is_evaluation(above) for above in self._around(node)
                )
                metric = inside and any(_OF_BATCHES.fullmatch(called(each)) for each in ast.walk(node))
        return sizes & self._names if metric else set()

    def _around(self, node: ast.AST) -> Iterator[ast.AST]:
        yield node
        while node in self._parents:
            node = self._parents[node]
            yield node

    def _handed(self, call: ast.Call) -> set[str]:
        """Return the constants that are arguments of a call of an evaluation from elsewhere."""
        if called(call) in self._functions or trains(call):
            return set()
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        handed = {name for value in values for name in self._plain(value)}
        if any(_COUNTS_BATCHES.fullmatch(keyword.arg or "") for keyword in call.keywords):
            self.counted |= handed
        return handed

    def _made_of(self, value: ast.expr) -> set[str]:
        """Return the constants that held-out data are made with: arguments, bounds of slices, and settings for both."""
        found = set[str]()
        for node in _without_receivers(value):
            if isinstance(node, ast.Name) and node.id in self._names:
                found.add(node.id)
            elif isinstance(node, ast.Name) and _SETTINGS.fullmatch(node.id):
                found |= self._set_in(node.id)
        return {name for name in found if not words_of(name) & _AUGMENTS}

    def _set_in(self, settings: str) -> set[str]:
        """Return the constants in a variable with settings that only data are made with."""
        found = set[str]()
        for node in self._nodes:
            if not isinstance(node, ast.Name) or node.id != settings:
                continue
            above: ast.AST = node
            while above in self._parents and not isinstance(above, ast.stmt):
                above = self._parents[above]
            if isinstance(node.ctx, ast.Store) and isinstance(above, ast.Assign):
                found |= {each.id for each in ast.walk(above.value) if isinstance(each, ast.Name)} & self._names
            elif not (isinstance(above, ast.Assign) and any(map(is_held_out, _targets(above)))):
                return set()
        return found

    def _reached(self, makers: set[str]) -> set[str]:
        """Return the functions of the program that make held-out data, directly or not."""
        reached, new = set[str](), [name for name in makers if name in self._functions]
        while new:
            name = new.pop()
            if name not in reached and not _MODEL.fullmatch(name):
                reached.add(name)
                inside = (each for each in ast.walk(self._functions[name]) if isinstance(each, ast.Call))
                new += {called(each) for each in inside} & self._functions.keys()
        return reached

    def _aliases(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, set[str]]:
        """Return the constants that the arguments of a function stand for: their defaults, and what calls hand over."""
        arguments = [*function.args.posonlyargs, *function.args.args]
        aliases: dict[str, set[str]] = {}
        defaults = function.args.defaults
        pairs = list(zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True))
        pairs += [
            (arg, value)
            for arg, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            if value
        ]
        for arg, default in pairs:
            aliases.setdefault(arg.arg, set()).update(self._plain(default))
        for node in self._nodes:
            if isinstance(node, ast.Call) and called(node) == function.name and isinstance(node.func, ast.Name):
                for arg, given in zip(arguments, node.args, strict=False):
                    aliases.setdefault(arg.arg, set()).update(self._plain(given))
                for keyword in node.keywords:
                    aliases.setdefault(keyword.arg or "", set()).update(self._plain(keyword.value))
        return aliases

    def _plain(self, value: ast.expr) -> set[str]:
        """Return the constants that a value is computed from without a call."""
        parts = list(ast.walk(value))
        if not all(
            isinstance(each, ast.Name | _PARTS | ast.operator | ast.unaryop | ast.expr_context) for each in parts
        ):
            return set()
        return {each.id for each in parts if isinstance(each, ast.Name)} & self._names

    def _selecting(self, part: ast.AST, aliases: Mapping[str, set[str]]) -> set[str]:
        """Return the constants by which a part of a program chooses or counts samples."""
        own = {each.arg for each in ast.walk(part) if isinstance(each, ast.arg)}
        found = set[str]()
        for node in ast.walk(part):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                meant = aliases.get(node.id, set()) if node.id in own else {node.id} & self._names
                if meant and self._selects(node, part, own):
                    found |= meant
        return found

    def _selects(self, node: ast.AST, part: ast.AST, own: set[str]) -> bool:
        child, selects = node, False
        while child is not part and child in self._parents:
            if isinstance(child, ast.stmt) and not selects:
                return False
            above = self._parents[child]
            if isinstance(above, ast.Call) and child is not above.func:
                if called(above) == "range":
                    selects = selects or child in above.args[:2]
                elif isinstance(above.func, ast.Name) and (above.func.id in own or _MODEL.fullmatch(above.func.id)):
                    return False  # handed to the model: its own sizes
                elif called(above)[:1].isupper():
                    return False  # what is made there is no count of samples
            elif isinstance(above, ast.Slice) and child in (above.lower, above.upper):
                selects = selects or not isinstance(child, ast.BinOp)  # `rows[i : i + N]` takes all in pieces
            elif isinstance(above, ast.BinOp) and not selects:
                other = above.right if child is above.left else above.left
                selects = isinstance(other, ast.Call) and called(other) == "len"
            elif isinstance(above, ast.Compare):
                holder = self._parents[above]
                selects = isinstance(holder, ast.If) and isinstance(holder.body[-1], ast.Break)
            elif isinstance(above, ast.If) and child in above.body and any(map(_is_of_training, ast.walk(above.test))):
                return False
            child = above
        return selects


def _switches(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and called(node) == "eval" and not node.args and isinstance(node.func, ast.Attribute)
    )


def _is_plain_call(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def _is_of_training(node: ast.AST) -> bool:
    return name_of(node) in {"training", "train", "is_train", "augment"}


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        part = getattr(node, field, None)
        if isinstance(part, list):
            yield part


def _targets(node: ast.Assign) -> list[str]:
    return [each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)]


def _is_chained(function: ast.AST) -> bool:
    """Return whether a method is called on what another call returns, and that makes no object: `load(x).float`."""
    inner = function.value if isinstance(function, ast.Attribute) else None
    return isinstance(inner, ast.Call | ast.Subscript) and not called(inner)[:1].isupper()


def _without_receivers(value: ast.expr) -> Iterator[ast.AST]:
    """Yield the parts of a value but the objects whose methods are called: of `pca.transform(x)` only `x`."""
    open_nodes: list[ast.AST] = [value]
    while open_nodes:
        node = open_nodes.pop()
        yield node
        open_nodes += [
            child
            for child in ast.iter_child_nodes(node)
            if not (isinstance(node, ast.Call) and child is node.func and not _is_chained(child))
            and not (isinstance(node, ast.keyword) and node.arg in {"batch_size", "num_workers"})
        ]
