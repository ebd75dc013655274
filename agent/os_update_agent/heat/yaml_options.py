"""The YAML text of an option map, read in proportion to its length. Pure.

An alias of YAML costs three bytes and stands for a whole value, and a value with aliases can be aliased again: one
kilobyte can mean a billion values. The reader builds each value once, but whatever walks through the result, or merges
maps ("<<"), meets all of them. So the values are counted in the parsed tree before any is built.
"""

from typing import Any, Dict, Set

from os_update_agent.model.bounded_json import DEPTH_LIMIT, TooLarge, longer_than

# An option map has some thirty options; the longest are lists of package names.
TEXT_LIMIT = 256 * 1024
VALUES_LIMIT = 20_000
# A number to the base of 60 ("1:30:00") takes time with the square of its length.
NUMBER_LIMIT = 400
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def read_yaml(text: str) -> Any:
    """Return the one document in the text. Raises TooLarge, yaml.YAMLError, and what yaml lets through: the errors of
    int(), float(), and dates.
    """
    import yaml  # costs a hook 30 ms, and most deployments have no text

    if len(text) > TEXT_LIMIT:
        raise TooLarge(longer_than(TEXT_LIMIT, len(text)))
    loader = yaml.SafeLoader(text)
    try:
        try:
            node = loader.get_single_node()
        except RecursionError:
            raise TooLarge(f"is nested deeper than {DEPTH_LIMIT} levels") from None
        if node is None:
            return None
        _count(node, {}, set(), 1)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: Any, known: Dict[int, int], open_ones: Set[int], depth: int) -> int:
    """Return how many values a node of the tree stands for. Raises TooLarge."""
    if depth > DEPTH_LIMIT:
        raise TooLarge(f"is nested deeper than {DEPTH_LIMIT} levels")
    if node.tag in _NUMBERS and len(node.value) > NUMBER_LIMIT:
        raise TooLarge(f"holds a number of {len(node.value)} characters, more than {NUMBER_LIMIT}")
    if id(node) in open_ones:
        raise TooLarge("holds an alias of a value inside of that value")
    if id(node) not in known:
        open_ones.add(id(node))
        total = 1
        for child in node.value if not isinstance(node.value, str) else ():
            for one in child if isinstance(child, tuple) else (child,):
                total += _count(one, known, open_ones, depth + 1)
                if total > VALUES_LIMIT:
                    raise TooLarge(f"stands for more than {VALUES_LIMIT} values")
        open_ones.discard(id(node))
        known[id(node)] = total
    return known[id(node)]
