"""report.pdf: the numbers in a table, then every figure with its caption."""

import textwrap
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from pypdf import PageObject, PdfReader, PdfWriter, Transformation

from gdyn.figures import style
from gdyn.files import read_json, whole_file
from gdyn.report.summary import verdict
from gdyn.rounding import process_time
from gdyn.statistics.interval import Interval

A4_INCH = (8.27, 11.69)
MARGIN_INCH = 0.6
LINE_INCH = 0.165
GAP_INCH = 0.32
CAPTION_COLUMNS = 122
POINTS = 72


def compose(summary, figures, captions, report):
    """Write the report.

    Parameters
    ----------
    summary : path of summary.json.
    figures : paths of the figures as PDF, in order.
    captions : paths of their captions: plain paragraphs.
    report : path to write.
    """
    blocks = [_figure_block(number, *pair) for number, pair in enumerate(zip(figures, captions, strict=True), start=1)]
    writer = PdfWriter()
    for texts in _front_pages(read_json(summary)):
        writer.add_page(_text_page(texts))
    for page_blocks in _divide(blocks):
        _add_figure_page(writer, page_blocks)
    with whole_file(report) as temporary, open(temporary, "wb") as file:
        writer.write(file)


@dataclass
class _Block:
    """A figure, scaled to the text width where it is wider, and the lines of its caption."""

    page: PageObject
    scale: float
    caption: list

    @property
    def width_inch(self):
        return float(self.page.mediabox.width) / POINTS * self.scale

    @property
    def figure_inch(self):
        return float(self.page.mediabox.height) / POINTS * self.scale

    @property
    def height_inch(self):
        return self.figure_inch + LINE_INCH * (len(self.caption) + 0.5)


def _figure_block(number, figure, caption):
    page = PdfReader(figure).pages[0]
    width, height = (float(side) / POINTS for side in (page.mediabox.width, page.mediabox.height))
    text = f"Figure {number}. " + " ".join(Path(caption).read_text(encoding="utf-8").split())
    lines = textwrap.wrap(text, CAPTION_COLUMNS)
    room = A4_INCH[1] - 2 * MARGIN_INCH - LINE_INCH * (len(lines) + 0.5)
    scale = min(1.0, (A4_INCH[0] - 2 * MARGIN_INCH) / width, room / height)
    return _Block(page, scale, lines)


def _divide(blocks):
    """Set the blocks one below the other, on as many pages as they need."""
    pages = [[]]
    room = A4_INCH[1] - 2 * MARGIN_INCH
    for block in blocks:
        if pages[-1] and sum(b.height_inch + GAP_INCH for b in pages[-1]) + block.height_inch > room:
            pages.append([])
        pages[-1].append(block)
    return pages


def _add_figure_page(writer, blocks):
    top, texts, placed = A4_INCH[1] - MARGIN_INCH, [], []
    for block in blocks:
        bottom = top - block.figure_inch
        placed.append((block, (A4_INCH[0] - block.width_inch) / 2, bottom))
        texts += [
            (MARGIN_INCH, bottom - LINE_INCH * (i + 1), line, {"fontsize": 8}) for i, line in enumerate(block.caption)
        ]
        top -= block.height_inch + GAP_INCH
    page = writer.add_page(_text_page(texts))
    for block, left, bottom in placed:
        move = Transformation().scale(block.scale).translate(left * POINTS, bottom * POINTS)
        page.merge_transformed_page(block.page, move)


@style.styled
def _text_page(texts):
    """A page with lines of text: (x, y in inches from the lower left, text, matplotlib text properties)."""
    figure = Figure(figsize=A4_INCH)
    for x, y, text, look in texts:
        figure.text(x / A4_INCH[0], y / A4_INCH[1], text, va="baseline", **look)
    buffer = BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return PdfReader(buffer).pages[0]


def _front_pages(numbers):
    """The table of numbers and what speaks against them, on as many pages as they need: texts of each."""
    pages = [[]]
    y = A4_INCH[1] - MARGIN_INCH - 0.2

    def put(text, x=MARGIN_INCH, advance=0.0, room=0.0, **look):
        nonlocal y
        y -= advance
        if y - room < MARGIN_INCH:
            pages.append([])
            y = A4_INCH[1] - MARGIN_INCH - 0.2
        pages[-1].append((x, y, text, {"fontsize": 8.5, **look}))

    put(numbers["system"], fontsize=18, fontweight="bold")
    for line in textwrap.wrap(numbers["description"], 100):
        put(line, advance=0.26, fontsize=9.5, color="#4d4d4d")
    y -= 0.12
    for title, rows in _sections(numbers):
        put(title, advance=0.36, room=0.4, fontsize=10, fontweight="bold", color=style.STATES[0])
        for name, value, unit in rows:
            lines = textwrap.wrap(f"{value} {unit}", 72) or [""]
            put(name, advance=0.2, room=0.17 * (len(lines) - 1))
            for number, line in enumerate(lines):
                put(line, x=MARGIN_INCH + 2.6, advance=0.17 if number else 0.0)
    put(
        "Not to be trusted without a thought" if numbers["warnings"] else "No warnings",
        advance=0.4,
        room=0.4,
        fontsize=10,
        fontweight="bold",
        color=style.STATES[1] if numbers["warnings"] else style.STATES[2],
    )
    for sentence in numbers["warnings"]:
        lines = textwrap.wrap(sentence, 105)
        for number, line in enumerate(lines):
            put(("• " if number == 0 else "   ") + line, advance=0.19, room=0.19 * (len(lines) - 1 - number))
    return pages


def _sections(numbers):
    """The table of the front page: sections of rows (name, value, unit)."""
    model = [
        ("states", str(numbers["n_states"]), ""),
        ("lag time", f"{numbers['lag_ps']:g}", "ps"),
    ]
    model += _by_state(numbers, "populations", "population of state {}")
    for i, process in enumerate(numbers["timescales_ps"]):
        model.append((f"timescale of process {i + 1}", process_time(process), ""))
    for i, seen in enumerate(numbers["transitions"]):
        ends = [", ".join(map(str, seen[end])) for end in ("from", "to")]
        counted = f"{seen['forward']} from {ends[0]} to {ends[1]}, {seen['backward']} back; {seen['targets']} targets"
        model.append((f"observed transitions of process {i + 1}", counted if all(ends) else "none", ""))
    how = {"generator": "by the generator", "counted": "counted"}[numbers["rates_from"]]
    for key, name in (("lifetimes_ps", how), ("counted_lifetimes_ps", "counted")):
        for i, stay in enumerate(Interval.twin(numbers, key), start=1):
            model.append((f"mean time in state {i}, {name}", stay.as_time(), ""))
        if how == "counted":
            break
    model.append(("purity of the states", str(Interval.twin(numbers, "purity")), ""))
    vamp2 = numbers["vamp2"]
    scores = {split: Interval.twin(numbers, "vamp2", of=split) for split in ("train", "validation", "test")}
    tests = [
        ("VAMP-2 score, test frames", str(scores.pop("test")), ""),
        ("VAMP-2 score, others", ", ".join(f"{split} {found}" for split, found in scores.items()), ""),
        ("noise floor of the score", f"{vamp2['noise_floor']:.2g} on the test frames", ""),
        ("Chapman-Kolmogorov test", verdict(_test_of(numbers)), ""),
        ("seeds that agree", f"{numbers['seeds']['agreeing']} of {numbers['seeds']['tried']}", ""),
    ]
    if together := numbers["seeds"]["together"]:
        populations = " ".join(f"{p:.3f}" for p in together["populations"])
        tests.append(("populations, PCCA+ of all seeds", f"{populations} on the validation frames", ""))
    if pcca := numbers["pcca"]:
        tests += _by_state(pcca, "populations", "population of state {}, PCCA+")
    sections = [("Koopman model of the test frames, with 95 % intervals", model), ("How far to trust it", tests)]
    if "sites" in numbers:
        sections.append(("Compared with the known sites", _site_rows(numbers)))
    if "structure" in numbers:
        sections.append(("Structure and transport by state", _structure_rows(numbers)))
    training = numbers["training"]
    origin = [
        ("model", f"of the system {numbers['applied']}, applied here" if numbers["applied"] else "trained here", ""),
        ("choice", numbers["choice"]["reason"], ""),
        (
            "training of the chosen model",
            f"{training['wall_s']:.0f} s on {training['device']}, {training['frames_per_s']:.0f} frames/s; "
            f"{training['epochs']} epochs, " + ("converged" if training["converged"] else "NOT converged"),
            "",
        ),
        ("gdyn", numbers["provenance"]["version"], ""),
        ("configuration", numbers["provenance"]["config"][:23] + "…", ""),
    ]
    for trajectory in numbers["provenance"]["trajectories"]:
        origin.append(
            ("trajectory", f"{trajectory['source']}, {trajectory['frames']} frames, {trajectory['checksum'][:23]}…", "")
        )
    return [*sections, ("Where it comes from", origin)]


def _by_state(numbers, key, name):
    """A row for each state of a number of the summary."""
    return [(name.format(i), str(found), "") for i, found in enumerate(Interval.twin(numbers, key), start=1)]


def _site_rows(numbers):
    sites = numbers["sites"]
    rows = [(f"state {i + 1} is", f"{name}", "") for i, name in enumerate(sites["type_of_state"])]
    rows.append(("frames assigned alike", str(Interval.twin(sites, "agreement").map(_percent)), "%"))
    for name, population in zip(sites["types"], Interval.twin(sites, "populations"), strict=True):
        rows.append((f"population of {name} by cores", str(population), ""))
    rows.append(("slowest timescale by cores", Interval.twin(sites, "timescales_ps")[0].as_time(), ""))
    network = numbers["global"]
    names = {
        "observed_timescale_ps": "all sites, observed by cores",
        "reconstructed_timescale_ps": "all sites, rebuilt by matrix",
        "reconstructed_generator_timescale_ps": "all sites, rebuilt by generator",
    }
    for key, name in names.items():
        rows.append((name, Interval.twin(network, key).as_time(), ""))
    for n_states, net in network["vampnets"].items():
        slowest = process_time(net["timescales_ps"][0])
        rows.append((f"global VAMPnet, {n_states} states", f"{slowest}; test: {verdict(_test_of(net))}", ""))
    return rows


def _percent(share):
    return 100 * share


def _test_of(numbers):
    return numbers["ck"] | {"max_deviation": {"value": numbers["ck_max_deviation"]}}


def _structure_rows(numbers):
    structure = numbers["structure"]
    rows = [("coordinating atoms", structure["coordinating"], "")]
    shell = f"within {structure['first_shell_A']:.2f} A"
    for group in structure["coordination"]:
        by_state = map(str, Interval.twin(structure, "coordination", of=group))
        rows.append((f"{group} {shell}, by state", "   ".join(by_state), ""))
    if "order_parameter" in numbers:
        order = numbers["order_parameter"]
        share = Interval.twin(order, "disagreement").map(_percent)
        rows.append((f"order parameter q{order['degree']} and states disagree", f"{share} % of the targets", ""))
    if "transport" not in numbers:
        return rows
    transport = numbers["transport"]
    if transport["charges_e"]:
        charges = "   ".join(map(str, Interval.twin(transport, "charges_e")))
        rows.append((f"charge {shell}, by state", charges, "e"))
    for key, name, unit in (
        ("tracer_diffusion_m2_per_s", "diffusion coefficient", "m2/s"),
        ("conductivity_S_per_m", "conductivity, sum over transitions", "S/m"),
        ("conductivity_nernst_einstein_S_per_m", "conductivity, Nernst-Einstein", "S/m"),
        ("conductivity_einstein_S_per_m", "conductivity, collective", "S/m"),
    ):
        if transport[key] is not None:
            rows.append((name, str(Interval.twin(transport, key, unit)), ""))
    together = transport["collective"]
    for frame, at_rest in (("barycentric", "centre of mass at rest"), ("solvent", "solvent at rest")):
        if together["transference"][frame] is not None:
            found = Interval.twin(together, "transference", of=frame)
            rows.append((f"transference number, {frame}", f"{found}, {at_rest}", ""))
    residual = transport["msd_closure_residual"]
    rows.append(("sum over transitions and MSD differ by", "not known" if residual is None else f"{residual:.1e}", ""))
    return rows
