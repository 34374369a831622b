"""Rules by which results are rejected."""

import pytest

from phd_batch.faults import UsageError
from phd_batch.reject import parse_rule

FIELDS = {"identity": 0.8, "neglected": False, "suppressed": True, "light_by": "both", "gain": [1, 1, 1]}


@pytest.mark.parametrize(
    ("rule", "rejected"),
    [
        ("identity < .9 or neglected", True),
        ("identity < .7 or neglected", False),
        ("suppressed", True),
        ("not suppressed", False),
        ("0.5 < identity <= 0.8 and suppressed", True),
        ("light_by == 'both'", True),
        ("identity < -1", False),
        ("drift > 0", False),
        ("not drift", True),
        ("gain > 1", False),
        ("(neglected or suppressed) and identity != 0.5", True),
    ],
)
def test_rules_are_read_as_written(rule, rejected):
    assert parse_rule(rule)(FIELDS) is rejected


@pytest.mark.parametrize(
    "rule", ["", "identity <", "__import__('os')", "identity.real", "a[0]", "identity + 1", "x := 1"]
)
def test_anything_else_is_refused(rule):
    with pytest.raises(UsageError, match="--reject"):
        parse_rule(rule)
