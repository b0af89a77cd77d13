"""Which rules the namespaces of a listener have: some by their name, and perhaps one set for all others."""

from comet.core.rules import Rules


class RuleTable:
    """Implements `FindRules`. Filled once, before clients come."""

    def __init__(self) -> None:
        self._named: dict[str, Rules] = {}
        self._others: Rules | None = None

    def serve(self, namespace: str, rules: Rules) -> None:
        """`rules` are those of this namespace.

        Raises:
            ValueError: it has rules already.
        """
        if namespace in self._named:
            raise ValueError(f"two sets of rules for the namespace {namespace}")
        self._named[namespace] = rules

    def serve_others(self, rules: Rules) -> None:
        """`rules` decide for every namespace that has none of its own, but for "/": that belongs to nobody."""
        self._others = rules

    def __call__(self, namespace: str, /) -> Rules | None:
        """See `FindRules`."""
        rules = self._named.get(namespace)
        return self._others if rules is None and namespace != "/" else rules
