"""What is wrong with a declaration: every field, and every type that a plugin's author can get wrong."""

import pytest
from fakechecks import GOOD, fake

from preflight.check import Check, Setting
from preflight.declaration import fault_of
from preflight.discovery import discover
from preflight.result import Outcome, Status

FINE = fake("Fine")


@pytest.mark.parametrize("check", discover(), ids=lambda check: check.name)
def test_nothing_is_wrong_with_our_own(check: Check) -> None:
    assert fault_of(check) is None


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, None),
        ({"settings": (Setting("minimum", 1, "Least."),)}, None),
        ({"timeout": 86400}, None),
        ({"name": "fine"}, "its name 'fine' is not CamelCase"),
        ({"name": None}, "its name NoneType is not CamelCase"),
        ({"question": None}, "its question is NoneType, not text"),
        ({"source": 5}, "its source is 5, not text"),
        ({"description": None}, "its description is NoneType, not text"),
        ({"open_reasons": "yes"}, "its open_reasons is 'yes', neither true nor false"),
        ({"function": "fine"}, "its function is 'fine', which cannot be called"),
        ({"weight": "blocking"}, "its weight is 'blocking', none of preflight.check's"),
        ({"timeout": 0}, "its time-out is 0, not a number of seconds from 0 to 86400"),
        ({"timeout": -1}, "its time-out is -1, not a number of seconds from 0 to 86400"),
        ({"timeout": True}, "its time-out is True, not a number of seconds from 0 to 86400"),
        ({"timeout": "5"}, "its time-out is '5', not a number of seconds from 0 to 86400"),
        ({"timeout": float("nan")}, "its time-out is nan, not a number of seconds from 0 to 86400"),
        ({"timeout": float("inf")}, "its time-out is inf, not a number of seconds from 0 to 86400"),
        ({"timeout": 86400.5}, "its time-out is 86400.5, not a number of seconds from 0 to 86400"),
        ({"outcomes": iter((GOOD,))}, "its outcomes are tuple_iterator, not a tuple"),
        ({"outcomes": ()}, "it declares no outcome"),
        ({"outcomes": ("Good",)}, "'Good' is no outcome"),
        ({"outcomes": (Outcome(Status.PASS, "not so"),)}, "its reason 'not so' is not CamelCase"),
        ({"outcomes": (Outcome("Pass", "Good"),)}, "its outcome Good has the status 'Pass'"),
        ({"outcomes": (Outcome(Status.FAIL, "Bad"),)}, "its outcome Bad has no hint"),
        ({"outcomes": (Outcome(Status.UNKNOWN, "Bad", " "),)}, "its outcome Bad has no hint"),
        (
            {"outcomes": (Outcome(Status.FAIL, "Bad", 5),)},
            "its outcome Bad has a hint that is no text, or does not say whether it blocks",
        ),
        ({"reads": None}, "its reads are NoneType, not a tuple"),
        ({"reads": (5,)}, "it reads something that is not text"),
        ({"needs": "KVM"}, "its needs are 'KVM', not a tuple"),
        ({"needs": ("a b",)}, "it depends on a name that is not CamelCase"),
        ({"after": (None,)}, "it depends on a name that is not CamelCase"),
        ({"settings": ("minimum",)}, "'minimum' is no setting"),
        ({"settings": (Setting("a b", 1, ""),)}, "its setting 'a b' is no key of TOML"),
        (
            {"settings": (Setting("minimum", object(), ""),)},
            "its setting minimum is object by default, neither a whole number nor text",
        ),
        (
            {"settings": (Setting("minimum", 1, None),)},
            "its setting minimum has a description that is no text, or a minimum that is no number",
        ),
        (
            {"settings": (Setting("minimum", 1, "", minimum=2),)},
            "its setting minimum is less than its minimum by default",
        ),
        ({"settings": (Setting("path", "/", "", pattern="/.*"),)}, None),
        (
            {"settings": (Setting("path", "x", "", pattern="/.*"),)},
            "its setting path is 'x' by default, which does not match '/.*'",
        ),
        (
            {"settings": (Setting("path", "x", "", pattern=5),)},
            "its setting path is 'x' by default, which does not match 5",
        ),
        (
            {"settings": (Setting("path", "x", "", pattern="*"),)},
            "its setting path has a pattern that is no regular expression: nothing to repeat at position 0",
        ),
        ({"settings": (Setting("weight", 1, ""),)}, "its setting weight is there twice, or every check's"),
        ({"settings": 2 * (Setting("x", 1, ""),)}, "its setting x is there twice, or every check's"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_declaration(changed, fault: str | None) -> None:
    assert fault_of(FINE._replace(**changed)) == fault
