"""Settings: where they come from, which one wins, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xmlkit.config import Config, merge, parse_assignments, read_config_file, resolve
from xmlkit.errors import UserError


def refused(call, *args) -> str:
    with pytest.raises(UserError) as error:
        call(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_later_layer_wins():
    assert resolve({"encoder": "x"}).lr == 1e-4
    assert (resolve({}).lr, resolve({}).head_lr, resolve({}).pooling) == (
        2e-3,
        3e-2,
        "mean",
    )  # random weights
    assert (resolve({}, "demo").epochs, resolve({}).epochs) == (4, 3)
    assert resolve({"epochs": 2}, "demo").epochs == 2
    lightxml = resolve({"recipe": "lightxml", "batch_size": 8})
    assert (lightxml.lr, lightxml.head_lr, lightxml.batch_size) == (1e-4, 1e-4, 8)
    assert (lightxml.pooling, lightxml.dropout) == ("first", 0.5)
    assert (lightxml.cluster_power, resolve({}).cluster_power) == (1.0, 0.5)
    assert (resolve({}, "demo").plugins, resolve({}).plugins) == (("lexical",), ())
    assert resolve({"lexical": {"width": 8}}, "demo").options["lexical"] == {"width": 8, "buckets": 65_536}
    assert resolve({"lexical": {"buckets": 8}}, "demo").options == {"lexical": {"buckets": 8}}
    assert resolve({"plugins": ["lexical"], "lexical": {"width": 8}}).options == {"lexical": {"width": 8}}
    assert resolve({"plugins": ["se"]}, "demo").plugins == ("se",) and lightxml.plugins == ()
    assert resolve({"recipe": "lightxml"}, "demo").plugins == ()
    assert (resolve({}, "demo").clustered, resolve({}).clustered) == (True, None)
    assert (lightxml.reduction, lightxml.schedule, lightxml.start) == ("mean", "constant", "random")


def test_dropout_follows_the_pooling_unless_set():
    assert resolve({"pooling": "first"}).dropout == 0.5
    assert resolve({"pooling": "mean"}).dropout == 0.1
    assert resolve({"pooling": "mean", "dropout": 0}).dropout == 0


def test_assignments():
    given = parse_assignments(["epochs=3", "lr=1e-5", "encoder=some/folder", "se.reduction=2", "se.x=mean"])
    assert given == {"epochs": 3, "lr": 1e-5, "encoder": "some/folder", "se": {"reduction": 2, "x": "mean"}}
    assert parse_assignments(["se.a=1", "se=3", "se.b=2"]) == {"se": {"a": 1, "b": 2}}
    assert parse_assignments(["ks=1,3", "encoder=a,b"]) == {"ks": [1, 3], "encoder": "a,b"}
    assert parse_assignments(["ks=[1, 10]", "clip=none"]) == {"ks": [1, 10], "clip": None}
    assert "KEY=VALUE" in refused(parse_assignments, ["epochs"])


def test_documents_merge_option_by_option():
    merged = merge({"epochs": 1, "se": {"a": 1, "b": 1}}, {"epochs": 2, "se": {"b": 2}})
    assert merged == {"epochs": 2, "se": {"a": 1, "b": 2}}


def test_files_in_both_notations_and_a_saved_config_is_one(tmp_path):
    (tmp_path / "a.toml").write_text('epochs = 2\nplugins = ["se"]\n[se]\nreduction = 4\n')
    given = read_config_file(tmp_path / "a.toml")
    config = resolve(given)
    assert config.options == {"se": {"reduction": 4}} and config.plugins == ("se",)
    (tmp_path / "config.json").write_text(json.dumps(config.as_document()))
    assert resolve(read_config_file(tmp_path / "config.json")) == config


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe"])
def test_files_that_do_not_parse(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    assert str(tmp_path / "a.toml") in refused(read_config_file, tmp_path / "a.toml")


def test_a_file_that_holds_something_else(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    assert "found a list" in refused(read_config_file, tmp_path / "a.json")


def test_a_file_that_is_not_there(tmp_path):
    assert "No such file" in refused(read_config_file, tmp_path / "b.toml")


def test_what_is_unknown_is_refused_with_the_nearest_name():
    assert "did you mean 'epochs'?" in refused(resolve, {"epoch": 3})
    assert "add --plugin se" in refused(resolve, {"se": {"reduction": 2}})
    assert "set its options one by one" in refused(resolve, {"plugins": ["se"], "se": 3})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ks": [0]}, "ks=0"),
        ({"ks": [1, 1001]}, "ks=1001"),
        ({"plugins": 3}, "plugins=3: expected a list"),
        ({"plugins": "se"}, "expected a list of names"),
        ({"options": {"se": {"a": 1}}}, "'options', which is not in use"),
        ({"epochs": -1}, "epochs=-1"),
        ({"pooling": "max"}, "pooling='max'"),
        ({"recipe": "x"}, "recipe='x'"),
    ],
)
def test_values_out_of_bounds(given, expected):
    assert expected in refused(resolve, given)


def test_the_handbook_lists_every_setting_as_it_is():
    readme = (Path(__file__).parents[1] / "xmlkit" / "README.md").read_text()
    for name, field in Config.model_fields.items():
        if name not in ("plugins", "options"):
            default = "none" if field.default is None else field.default
            default = default if isinstance(default, str) else json.dumps(default)
            assert f"| `{name}` | {default} | {field.description} |\n" in readme
