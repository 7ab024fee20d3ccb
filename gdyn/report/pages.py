"""report.pdf: the numbers in a table, then every figure with its caption."""

import textwrap
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from pypdf import PageObject, PdfReader, PdfWriter, Transformation

from gdyn.figures import style
from gdyn.files import read_json, whole_file

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


def _text_page(texts):
    """A page with lines of text: (x, y in inches from the lower left, text, matplotlib text properties)."""
    style.new_figure(1.0)
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
    populations = numbers["populations_interval"]
    model = [
        ("states", str(numbers["n_states"]), ""),
        ("lag time", f"{numbers['lag_ps']:g}", "ps"),
    ]
    for i, value in enumerate(numbers["populations"]):
        model.append(
            (f"population of state {i + 1}", _with_interval(value, populations["low"][i], populations["high"][i]), "")
        )
    for i, process in enumerate(numbers["timescales_ps"]):
        note = "" if process["resolved"] else ", not resolved"
        model.append(
            (
                f"timescale of process {i + 1}",
                _with_interval(process["value"], process["low"], process["high"]) + " ps" + note,
                "",
            )
        )
    for i, seen in enumerate(numbers["transitions"]):
        ends = [", ".join(map(str, seen[end])) for end in ("from", "to")]
        model.append(
            (
                f"observed transitions of process {i + 1}",
                f"{seen['forward']} from {ends[0]} to {ends[1]}, {seen['backward']} back; {seen['targets']} targets",
                "",
            )
        )
    lives = numbers["lifetimes_ps_interval"]
    for i, value in enumerate(numbers["lifetimes_ps"]):
        model.append((f"mean time in state {i + 1}", _with_interval(value, lives["low"][i], lives["high"][i]), "ps"))
    purity = numbers["purity_interval"]
    model.append(("purity of the states", _with_interval(numbers["purity"], purity["low"], purity["high"]), ""))
    vamp2, between = numbers["vamp2"], numbers["vamp2_interval"]
    tests = [
        ("VAMP-2 score, test frames", _with_interval(vamp2["test"], *(between[part]["test"] for part in between)), ""),
        ("VAMP-2 score, others", ", ".join(f"{name} {vamp2[name]:.4f}" for name in ("train", "validation")), ""),
        ("noise floor of the score", f"{vamp2['noise_floor']:.2g} on the test frames", ""),
        (
            "Chapman-Kolmogorov test",
            ("passed" if numbers["ck_passed"] else "NOT passed")
            + f", largest deviation {numbers['ck_max_deviation']:.3f}",
            "",
        ),
        ("seeds that agree", f"{numbers['seeds']['agreeing']} of {numbers['seeds']['tried']}", ""),
    ]
    if together := numbers["seeds"]["together"]:
        populations = " ".join(f"{p:.4f}" for p in together["populations"])
        tests.append(("populations, PCCA+ of all seeds", f"{populations} on the validation frames", ""))
    if pcca := numbers["pcca"]:
        for i, (value, low, high) in enumerate(
            zip(pcca["populations"], *pcca["populations_interval"].values(), strict=True)
        ):
            tests.append((f"population of state {i + 1}, PCCA+", _with_interval(value, low, high), ""))
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


def _site_rows(numbers):
    sites = numbers["sites"]
    rows = [(f"state {i + 1} is", f"{name}", "") for i, name in enumerate(sites["type_of_state"])] + [
        (
            "frames assigned alike",
            _with_interval(*(100 * x for x in (sites["agreement"], *sites["agreement_interval"].values()))),
            "%",
        )
    ]
    populations = sites["populations_interval"]
    for i, (name, value) in enumerate(zip(sites["types"], sites["populations"], strict=True)):
        rows.append(
            (f"population of {name} by cores", _with_interval(value, populations["low"][i], populations["high"][i]), "")
        )
    slow = sites["timescales_ps_interval"]
    rows.append(
        ("slowest timescale by cores", _with_interval(sites["timescales_ps"][0], slow["low"][0], slow["high"][0]), "ps")
    )
    network = numbers["global"]
    names = {
        "observed_timescale_ps": "all sites, observed by cores",
        "reconstructed_timescale_ps": "all sites, rebuilt by matrix",
        "reconstructed_generator_timescale_ps": "all sites, rebuilt by generator",
    }
    for key, name in names.items():
        rows.append((name, _with_interval(network[key], *network[f"{key}_interval"].values()), "ps"))
    for n_states, net in network["vampnets"].items():
        slowest = net["timescales_ps"][0]
        verdict = "" if net["ck_passed"] is None else ", test passed" if net["ck_passed"] else ", test NOT passed"
        deviation = "" if net["ck_passed"] is None else f" (deviates by {net['ck_max_deviation']:.3f})"
        between = _with_interval(slowest["value"], slowest["low"], slowest["high"])
        rows.append((f"global VAMPnet, {n_states} states", f"{between} ps{verdict}{deviation}", ""))
    return rows


def _structure_rows(numbers):
    structure, rows = numbers["structure"], []
    shell = f"within {structure['first_shell_A']:.2f} A"
    for group, values in structure["coordination"].items():
        between = [structure["coordination_interval"][part][group] for part in ("low", "high")]
        texts = [_short(*found) for found in zip(values, *between, strict=True)]
        rows.append((f"{group} {shell}, by state", "   ".join(texts), ""))
    if "order_parameter" in numbers:
        order = numbers["order_parameter"]
        share = _short(*(100 * x for x in (order["disagreement"], *order["disagreement_interval"].values())))
        rows.append((f"order parameter q{order['degree']} and states disagree", f"{share} % of the targets", ""))
    if "transport" not in numbers:
        return rows
    transport = numbers["transport"]
    if transport["charges_e"]:
        texts = [
            _short(*found)
            for found in zip(transport["charges_e"], *transport["charges_e_interval"].values(), strict=True)
        ]
        rows.append((f"charge {shell}, by state", "   ".join(texts), "e"))
    for key, name, unit in (
        ("tracer_diffusion_m2_per_s", "diffusion coefficient", "m2/s"),
        ("conductivity_S_per_m", "conductivity, sum over transitions", "S/m"),
        ("conductivity_nernst_einstein_S_per_m", "conductivity, Nernst-Einstein", "S/m"),
        ("conductivity_einstein_S_per_m", "conductivity, collective", "S/m"),
        ("transference", "transference number", ""),
    ):
        if transport[key] is not None:
            rows.append((name, _short(transport[key], *transport[f"{key}_interval"].values()), unit))
    rows.append(("sum over transitions and MSD differ by", f"{transport['msd_closure_residual']:.1e}", ""))
    return rows


def _short(value, low, high):
    """A number to three digits, with its interval."""
    if value is None:
        return "none"
    return f"{value:.3g}" + ("" if low is None or high is None else f" ({low:.3g} to {high:.3g})")


def _with_interval(value, low, high):
    if value is None:
        return "none"
    digits = ".4f" if abs(value) < 10 else ".1f"
    if low is None or high is None:
        return f"{value:{digits}} (no interval)"
    return f"{value:{digits}}  ({low:{digits}} to {high:{digits}})"
