"""The text of `--plugin-sets`."""

from __future__ import annotations

import pytest

from xmlkit.comparison.sets import parse_sets
from xmlkit.errors import UserError


def parsed(text):
    return {found.name: found.settings for found in parse_sets(text)}


def test_plugins_options_and_settings():
    text = "se; loss-fix[ mode = gradnorm, lr=2e-4 ] ;base[pooling=mean];se[expand=4],combination"
    assert parsed(text) == {
        "base": {"plugins": []},
        "se": {"plugins": ["se"]},
        "loss-fix[mode=gradnorm,lr=2e-4]": {
            "plugins": ["loss-fix"],
            "loss-fix": {"mode": "gradnorm"},
            "lr": 2e-4,
        },
        "base[pooling=mean]": {"plugins": [], "pooling": "mean"},
        "se[expand=4],combination": {"plugins": ["se", "combination"], "se": {"expand": 4}},
    }


def test_base_is_first_wherever_it_stands():
    assert list(parsed("se;base;loss-fix")) == ["base", "se", "loss-fix"]
    assert list(parsed("")) == ["base"]


def test_another_base_is_first_and_the_plain_model_is_not_added():
    names = [found.name for found in parse_sets("se;base[lr=1e-3];loss-fix", "base[lr=1e-3]")]
    assert names == ["base[lr=1e-3]", "se", "loss-fix"]
    assert [found.name for found in parse_sets("base;se", "se")] == ["se", "base"]
    for text, there in (("base;se", "base; se"), ("", "none")):
        with pytest.raises(UserError) as error:
            parse_sets(text, "lexical")
        assert str(error.value) == f"--base lexical: none of the sets, which are {there}"


def test_an_options_name_goes_before_a_settings():
    """`learning_rate` is se's own; `lr` is the run's."""
    assert parsed("se[learning_rate=1e-2]")["se[learning_rate=1e-2]"]["se"] == {"learning_rate": 1e-2}


def test_values_may_hold_brackets_and_commas():
    assert parsed("base[ks=[1,2,5]]")["base[ks=[1,2,5]]"] == {"plugins": [], "ks": [1, 2, 5]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seh", "no plugin 'seh' is installed: did you mean 'se'?"),
        ("se[expand=4", "the brackets don't match"),
        ("se]", "the brackets don't match"),
        ("se[expand]", "expand is no KEY=VALUE"),
        ("se[]", "[] is no KEY=VALUE"),
        ("se[expand=2]x", "expected PLUGIN or PLUGIN[OPTION=VALUE,...]"),
        ("se,,loss-fix", "expected PLUGIN or PLUGIN[OPTION=VALUE,...]"),
        ("se[seed=3]", "seed=3 is the same for all sets"),
        ("base[validation=0.1]", "validation=0.1 is the same for all sets"),
        ("se; se", "se is there twice"),
        ("base,se", "base is the model without plugins"),
        ("base[lr=1e-3],se", "base is the model without plugins"),
    ],
)
def test_mistakes(text, expected):
    with pytest.raises(UserError) as error:
        parse_sets(text)
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_unknown_options_and_settings_are_found_before_any_training():
    for text, expected in (
        ("se[squeze=max]", "plugin 'se' has no option 'squeze': did you mean 'squeeze'"),
        ("base[epoch=3]", "unknown setting 'epoch': did you mean 'epochs'"),
        ("se[squeeze=min]", "se.squeeze='min'"),
    ):
        found = parse_sets(text)[-1]
        with pytest.raises(UserError) as error:
            found.config({}, 0, None)
        assert expected in str(error.value)


def test_white_space_within_a_value_is_part_of_it():
    name = "base[encoder=/my models/a b]"
    assert parsed("base ; base [ encoder = /my models/a b ] ")[name] == {
        "plugins": [],
        "encoder": "/my models/a b",
    }
