"""How results look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from xmlkit.cli.layouts import shortened
from xmlkit.config import SETTINGS, Config, as_assigned, nearest
from xmlkit.console import visible
from xmlkit.discovery import BASE, installed, load
from xmlkit.errors import UserError
from xmlkit.hooks import DOORS
from xmlkit.measures.assigned import FIGURES, WAYS
from xmlkit.model.parts import chains_of_settings
from xmlkit.plugins import Active, check, settled
from xmlkit.presets import presets

if TYPE_CHECKING:
    from xmlkit.blend.distil import Kept
    from xmlkit.blend.ensemble import Made
    from xmlkit.blend.threshold import Fitted
    from xmlkit.comparison.compare import Comparison, Row
    from xmlkit.data.corpus import Labels, Split
    from xmlkit.inference.predict import Prediction
    from xmlkit.inference.unseen import Unseen
    from xmlkit.measures.by_label import Decile
    from xmlkit.measures.cut import Cut

BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def unknown_labels(split: Split, num_labels: int) -> str | None:
    """A remark on true labels that the model does not know. Raises UserError where it knows none of them."""
    values = split.labels.values
    unknown = values[values >= num_labels]
    if not len(unknown):
        return None
    if len(unknown) == len(values):
        raise UserError("none of the true labels is known to the model: are these ids of another kind?")
    return (
        f"{len(set(unknown.tolist())):,} labels of the test documents ({len(unknown):,} of {len(values):,} "
        "occurrences) are unknown to the model and count as missed"
    )


def ensemble_table(made: Made) -> Table:
    """The members alone and the whole, and what the whole loses without each."""
    names = [
        f"{name}@{k}" for name in ("P", "PSP") for k in sorted({int(n.split("@")[1]) for n in made.scores})
    ]
    documents = f"{made.num_documents:,} held-out documents, judged by weights that had not seen them"
    table = Table(title=documents, title_justify="left")
    table.add_column("member")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column(f"{made.metric} lost without it", justify="right")
    table.add_column("ms/document", justify="right")
    for part in made.parts:
        lost, low, high = part.loss_without
        figures = (f"{part.scores[name]:.2f}" for name in names)
        without = f"{lost:.2f} ({low:.2f} to {high:.2f})"
        table.add_row(escape(visible(part.name)), *figures, without, f"{part.milliseconds:.2f}")
    table.add_section()
    whole = (f"{made.scores[name]:.2f}" for name in names)
    table.add_row("whole", *whole, "", f"{made.milliseconds:.2f}", style="bold")
    if spared := made.spared:
        lost, low, high = spared.loss
        left_out = ", ".join(map(visible, spared.members))
        table.caption = escape(
            f"left out to be fast: {left_out}; with them {spared.milliseconds:.2f} ms/document and "
            f"{lost:+.2f} ({low:+.2f} to {high:+.2f}) {made.metric}"
        )
        table.caption_justify = "left"
    return table


def members_table(alone: Sequence[tuple[str, Mapping[str, float]]], whole: Mapping[str, float]) -> Table:
    """The members of an ensemble and the whole on the same documents, in percent."""
    names = [name for name in whole if name.partition("@")[0] in ("P", "PSP")]
    table = Table(title="its members alone", title_justify="left")
    table.add_column("member")
    for name in names:
        table.add_column(name, justify="right")
    for member, scores in alone:
        table.add_row(escape(visible(member)), *(f"{scores[name]:.2f}" for name in names))
    table.add_section()
    table.add_row("whole", *(f"{whole[name]:.2f}" for name in names), style="bold")
    return table


def kept_table(kept: Kept) -> Table:
    """Teacher and student on the same documents, what is kept of the teacher's figures, what each costs."""
    teacher, student = kept.teacher, kept.student
    names = [name for name in teacher.scores if name.partition("@")[0] in ("P", "PSP")]
    names += [name for name in (kept.metric,) if name not in names]
    points, low, high = kept.difference
    gap = f"{kept.metric} {points:+.2f} ({low:+.2f} to {high:+.2f})"
    title = f"what is kept on {kept.num_documents:,} {kept.part} documents; {gap}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in (*names, "ms a document", "parameters"):
        table.add_column(name, justify="right")
    for row, judged in (("teacher", teacher), ("student", student)):
        figures = (f"{judged.scores[name]:.2f}" for name in names)
        table.add_row(row, *figures, f"{judged.milliseconds:.3g}", f"{judged.parameters:,}")
    table.add_section()
    shares = [
        f"{100 * student.scores[name] / whole:.0f}%" if (whole := teacher.scores[name]) else ""
        for name in names
    ]
    times = f"{teacher.milliseconds / student.milliseconds:.3g} times as fast"
    size = f"{100 * student.parameters / teacher.parameters:.0f}%" if teacher.parameters else ""
    table.add_row("kept", *shares, times, size, style="bold")
    return table


def metric_table(metrics: dict[str, float]) -> Table:
    """Metrics as rows, k as columns, in percent."""
    names = list(dict.fromkeys(name.partition("@")[0] for name in metrics))
    ks = list(dict.fromkeys(name.partition("@")[2] for name in metrics))
    table = Table()
    table.add_column("%")
    for k in ks:
        table.add_column(f"@{k}", justify="right")
    for name in names:
        table.add_row(name, *(f"{metrics[f'{name}@{k}']:.2f}" for k in ks))
    return table


def unseen_in_words(unseen: Unseen) -> str:
    """What the metrics of labels without a training document are of."""
    return (
        f"{unseen.labels:,} labels have no training document, {unseen.occurring:,} of them occur here, on "
        f"{unseen.documents:,} documents; of these, truth and ranking being those labels alone:"
    )


def cut_in_words(cut: Cut) -> str:
    """What is assigned."""
    most = "1 label" if cut.limit == 1 else f"{cut.limit:,} labels"
    return f"labels that score at least {cut.threshold:.4g}, at most {most} a document"


def assigned_table(measures: dict[str, float]) -> Table:
    """P, R and F1, averaged in each way."""
    table = Table()
    table.add_column("%")
    for name in FIGURES:
        table.add_column(name, justify="right")
    for way in WAYS:
        table.add_row(way, *(f"{measures[f'{way}-{name}']:.2f}" for name in FIGURES))
    return table


def decile_table(found: Sequence[Decile]) -> Table:
    """A row a tenth of the labels, rarest first."""
    table = Table(title="labels by their training documents, a tenth a row", title_justify="left")
    for name in ("documents", "labels", "true", *(f"micro-{name}" for name in FIGURES), "macro-F1"):
        table.add_column(name, justify="right")
    for part in found:
        span = f"{part.fewest:,}" if part.fewest == part.most else f"{part.fewest:,} to {part.most:,}"
        figures = (f"{figure:.2f}" for figure in (*part.micro, part.macro_f1))
        table.add_row(span, f"{part.labels:,}", f"{part.support:,}", *figures)
    return table


def fitted_table(fitted: Sequence[Fitted], chosen: str) -> Table:
    """The best cut for each measure."""
    documents = f"{fitted[0].documents:,} held-out documents"
    table = Table(title=documents, title_justify="left")
    table.add_column("best for")
    for name in ("%", "threshold", "limit", "labels a document"):
        table.add_column(name, justify="right")
    for found in fitted:
        cells = (
            f"{found.percent:.2f}",
            f"{found.threshold:.4g}",
            str(found.limit),
            f"{found.labels_each:.2f}",
        )
        table.add_row(found.measure, *cells, style="bold" if found.measure == chosen else None)
    return table


def example_table(split: Split, labels: Labels, predictions: Sequence[Sequence[Prediction]]) -> Table:
    """Texts with what was predicted beside what is true; what is right is marked."""
    table = Table(title="documents of the test split", title_justify="left", show_lines=True)
    for column in ("text", "predicted", "true"):
        # A score and its label stay on one line.
        table.add_column(column, ratio=3 if column == "text" else 2, no_wrap=column != "text")
    for row, found in enumerate(predictions):
        known = [int(i) for i in split.labels[row] if i < len(labels)]
        true = {labels.ids[i] for i in known}
        marks = [f"{'✓' if p.label in true else ' '} {p.score:.2f} {p.name}" for p in found]
        unknown = len(split.labels[row]) - len(known)
        names = [labels.name(i) for i in known] + ([f"({unknown} unknown to the model)"] if unknown else [])
        lists = (visible("\n".join(lines)) for lines in (marks, names))
        table.add_row(*map(escape, (shortened(split.texts[row]), *lists)))
    return table


def plugin_list() -> tuple[str, list[UserError]]:
    """All installed plugins: what they do, where they stand, what can be set; and why some don't load.

    Lines, and no table: they can be searched and copied however narrow the terminal is.
    """
    failures: list[UserError] = []
    lines: list[str] = []
    for name in installed():
        try:
            plugin = load(name)
            check([plugin])
        except UserError as error:
            failures.append(error)
            lines += [name, f"    {error}", ""]
            continue
        always = "; always active" if name == BASE else ""
        hooks = ", ".join(plugin.implementations)
        lines += [f"{name}  ({plugin.distribution} {plugin.version}; {hooks}{always})"]
        lines += [f"    {plugin.description}"]
        if not plugin.compiles:
            lines += ["    torch.compile can't trace it."]
        for key, value in plugin.settings.items():
            lines += [f"    It asks for {key}={as_assigned(value)}."]
        options = plugin.options_class
        for option, field in (options.model_fields if options else {}).items():
            value = field.get_default(call_default_factory=True)
            default = "" if field.is_required() else as_assigned(value)
            lines += [f"    {name}.{option}={default}  {field.description or ''}".rstrip()]
        lines += [""]
    return "\n".join(lines), failures


def settings_table(config: Config, active: Active, only: str | None = None) -> Table:
    """What `--set` takes, with these values; raises UserError where `only` is none of it."""
    values = {name: getattr(config, name) for name in SETTINGS if name != "plugins"}
    schemas = Config.model_json_schema()["properties"]
    for plugin in active.plugins:
        options = active.options_as_document.get(plugin.name, {})
        values |= {f"{plugin.name}.{name}": value for name, value in options.items()}
        ours = plugin.options_class.model_json_schema()["properties"] if plugin.options_class else {}
        schemas |= {f"{plugin.name}.{name}": schema for name, schema in ours.items()}
    if only is not None and only not in values:
        raise UserError(
            f"no setting {only!r}{nearest(only, values) or '; a plugin has its own: add --plugin'}"
        )
    table = Table(box=None, pad_edge=False)
    for column in ("--set", "value", "may be", "what it is"):
        table.add_column(column, no_wrap=True)
    for name, value in values.items():
        if only in (None, name):
            description = schemas[name].get("description", "")
            table.add_row(*map(escape, (name, as_assigned(value), _bounds(schemas[name]), description)))
    return table


def _bounds(schema: Mapping[str, Any]) -> str:
    """The values that a setting takes, as far as its JSON schema tells."""
    found: list[str] = []
    for kind in schema.get("anyOf", [schema]):
        found += map(str, kind.get("enum", ()))
        found += [f"{sign} {kind[word]:g}" for word, sign in BOUNDS.items() if word in kind]
        found += {"boolean": ["true", "false"], "null": ["none"]}.get(kind.get("type", ""), [])
    return ", ".join(found)


def chain_table(config: Config) -> Table:
    """What stands at each door with these settings: which plugin made it, and which wrap it, in order."""
    paths = {False: "every label scored", True: "with clusters"}
    config, _ = settled(config.as_given())
    if config.clustered is not None:
        paths = {config.clustered: paths[config.clustered]}
    table = Table(title=f"plugins: {', '.join(config.plugins) or 'none'}", title_justify="left")
    table.add_column("hook point")
    found = {path: chains_of_settings(config, clustered) for clustered, path in paths.items()}
    for path in found:
        table.add_column(path)
    for door in DOORS:
        table.add_row(door, *(escape("\n".join(chains[door])) for chains in found.values()))
    return table


def comparison_table(found: Comparison) -> Table:
    """A row a set: what base has, and by how much the others differ, with intervals below."""
    use = "to choose by" if found.part == "validation" else "to report, not to choose by"
    seeds = "seed 0" if found.seeds == 1 else f"{found.seeds} seeds"
    table = Table(
        title=f"{found.part} part ({use}), {found.documents:,} documents, {seeds}, scored {found.scored}",
        title_justify="left",
        show_lines=True,
    )
    table.add_column("set")
    for name in (*found.rows[0].metrics, "seconds", "parameters", "could show", "verdict on P@5"):
        table.add_column(name, justify="left" if name.startswith("verdict") else "right")
    for number, row in enumerate(found.rows):
        cells = _difference_cells(row) if number else _base_cells(row)
        table.add_row(escape(row.name), *cells)
    return table


def _base_cells(row: Row) -> list[str]:
    return [*(f"{figure.value:.2f}" for figure in row.metrics.values()), f"{row.seconds:.0f}"]


def _difference_cells(row: Row) -> list[str]:
    differences = [f"{f.difference:+.2f}\n{f.low:+.2f} to {f.high:+.2f}" for f in row.metrics.values()]
    numbers = [f"{row.extra_seconds:+.0f}", f"{row.extra_parameters:+,}", f"{row.could_show:.2f}"]
    return [*differences, *numbers, escape(row.verdict)]


def preset_table() -> Table:
    """All presets: LightXML's settings of each model, and what it published for the ensemble."""
    table = Table(title="LightXML (Jiang et al., AAAI 2021)", title_justify="left", box=None)
    table.add_column("--preset", no_wrap=True)
    table.add_column("data set, P@1 / 3 / 5 as published for the ensemble, and settings")
    for name, preset in presets().items():
        published = " / ".join(f"{value:.2f}" for value in preset.published)
        table.add_row(name, f"{preset.dataset}: {published}")
        table.add_row("", escape(_assignments(preset.settings)))
        for number, own in enumerate(preset.members):
            table.add_row("", escape(f"--member {number}: {_assignments(own)}"))
        table.add_row("", f"--all-members: those {len(preset.members)}, whose scores are added up")
    return table


def _assignments(settings: dict[str, Any]) -> str:
    return " ".join(f"{key}={as_assigned(value)}" for key, value in settings.items())
