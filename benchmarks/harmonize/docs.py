"""The tables of docs/benchmarks.md, of the figures of the last whole run."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import bold, markdown, percent, results, short

# Method -> its name in the table; the best of its settings counts.
METHODS = {
    "with_reference": "ours, with a reference",
    "ours": "ours, without",
    "langevin": "the same loop, no relight",
    "ksampler_relight": "KSampler with mask, our relight",
    "ksampler": "KSampler with mask (best of 9 settings)",
    "sdedit": "SDEdit (best of 2)",
    "feather": "feather",
    "paste": "plain paste",
    "membrane": "membrane of scene over reference",
    "poisson": "Poisson (best of 2)",
    "reinhard": "Reinhard (best of 2)",
    "best_possible": "*light known exactly except for chance*",
}
OWN = ("with_reference", "ours")
ABLATIONS = {
    "ours": "ours, without a reference",
    "no_inner_steps": "without inner steps",
    "no_guidance": "with `lambda_strength` 0",
    "gaussian_smoother": "with a Gaussian smoother",
    "no_anchor": "without the anchor in the loop",
    "no_relight": "the model's own pixels, no relight and no anchor",
}


def tables() -> dict[str, str]:
    figures = stored("harmonize")
    return {
        "bench harmonize, methods": methods(figures),
        "bench harmonize, prompts": prompts(figures),
        "bench harmonize, parts": parts(figures),
        "bench harmonize, smoother": smoother(figures),
    }


def error(row: dict, best: bool = False) -> str:
    """A method's fMSE with three digits."""
    value = row["fmse"]
    return bold(short(value, 4 if value < 0.1 else 3), best)


def methods(figures: dict) -> str:
    strata = [figures["own_color"], figures["same_color"]]
    worst = [max(stratum[name]["fmse"] for name in OWN) for stratum in strata]
    rows = []
    for name, label in METHODS.items():
        # The last row is no method: it is given the truth.
        rival = name not in (*OWN, "best_possible")
        errors = [
            error(stratum[name], rival and stratum[name]["fmse"] < bound)
            for stratum, bound in zip(strata, worst, strict=True)
        ]
        row = strata[0][name]
        worse = "" if name == "paste" else percent(row["worse"], 1)
        rows.append([label, *errors, short(row["identity"], 2), worse, str(row["calls"] or "")])
    columns = ("own color, named in the prompt", "the background's color")
    more = ("identity", "worse than the paste", "model calls")
    return markdown((f"{figures['scenes']} scenes", *columns, *more), rows)


def prompts(figures: dict) -> str:
    rows = []
    for part, label in (("own_color", "right"), ("wrong_prompt", "wrong"), ("no_prompt", "none")):
        both = [figures[part][name] for name in OWN]
        rows.append([label, *(f"{error(row)}, {percent(row['worse'], 1)}" for row in both)])
    high = figures["no_prompt"]["with_reference_high"]
    rows.append(["none, `denoise` .9 and no anchor", f"{error(high)}, {percent(high['worse'], 1)}", ""])
    return markdown(("prompt", "with a reference", "without"), rows)


def parts(figures: dict) -> str:
    return markdown(("", "fMSE"), ([label, error(figures["ablations"][name])] for name, label in ABLATIONS.items()))


def smoother(figures: dict) -> str:
    return results(
        {
            "pixels outside the masks": "every bit is the background's" if figures["outside_equal"] else "CHANGED",
            "the smoother at 1024²": f"{figures['smoother_1024_s']:.2f} s",
            "the smoother at 3840×2160": f"{figures['smoother_4k_ratio']:.1f} × that",
            "its largest error on linear fields": f"{figures['smoother_linear_error']:.1e}",
        }
    )
