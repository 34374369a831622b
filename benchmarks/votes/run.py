"""`python3 dev.py bench votes FILE…`: scores from the results of people who compared images blindly.

The page for them comes from `bench quality --votes FOLDER` or `bench kit`; each result file is what one of them
downloaded from it. Prints Bradley–Terry scores with 95 % intervals, and one line of JSON.

    python3 dev.py bench votes votes_*.json --key output/kit/votes/key.json
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.common.table import Section, shortened, show
from benchmarks.votes.scores import Vote, scored

SHARES = {"left": 1.0, "tie": 0.5, "right": 0.0}


class VotesError(ValueError):
    """A file that cannot be used; the message is one sentence for the user."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench votes", description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="results that the page gave")
    parser.add_argument("--key", type=Path, required=True, help="key.json, which was written beside the page")
    options = parser.parse_args(arguments)
    try:
        votes = read(options.files, options.key)
    except VotesError as error:
        print(error, file=sys.stderr)
        return 2
    voters, cases = len({vote.voter for vote in votes}), len({vote.case for vote in votes})
    section = Section(f"{len(votes)} votes of {voters} people on {cases} cases: score [95 %], wins / ties / losses")
    scores = scored(votes)
    for one in scores:
        counts = f"{one.wins} / {one.ties} / {one.losses}"
        section.row(one.method, f"{one.score:+.2f} [{one.low:+.2f}, {one.high:+.2f}]  {counts}")
    show(section, {})
    rows = {one.method: {name: short(value) for name, value in asdict(one).items()} for one in scores}
    print(json.dumps({"votes": len(votes), "people": voters, "cases": cases, "scores": rows}))
    return 0


def short(value):
    return shortened(value) if isinstance(value, float) else value


def read(files: list[Path], key_file: Path) -> list[Vote]:
    """The votes of all files. A voter's later choice on a pair replaces the earlier one, also from another file."""
    key = parsed(key_file, ("page", "images"))
    votes: dict[tuple, Vote] = {}
    unknown = 0
    for file in files:
        result = parsed(file, ("page", "voter", "choices"))
        if result["page"] != key["page"]:
            raise VotesError(f"{file} is about another page than {key_file}.")
        for choice in result["choices"]:
            try:
                left, right, share = choice["left"], choice["right"], SHARES[choice["choice"]]
            except (KeyError, TypeError):
                raise VotesError(f"{file} holds a choice that is not left, right or tie between two images.") from None
            shown = [key["images"].get(name) for name in (left, right)]
            if None in shown:
                unknown += 1
                continue
            one, other = shown
            if one["case"] != other["case"]:
                raise VotesError(f"{file} holds a choice between images of two cases.")
            vote = Vote(result["voter"], one["case"], one["method"], other["method"], share)
            votes[(result["voter"], *sorted((left, right)))] = vote
    if unknown:
        print(f"{unknown} votes are about images that have changed since; they are left out.")
    if not votes:
        raise VotesError("There is no vote in these files.")
    return list(votes.values())


def parsed(file: Path, names: tuple[str, ...]) -> dict:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise VotesError(f"{file} is not a readable JSON file.") from None
    if not isinstance(found, dict) or any(name not in found for name in names):
        raise VotesError(f"{file} has no {' and '.join(names)}: it is neither a result of the page nor its key.")
    return found
