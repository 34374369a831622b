"""A job's key: the SHA-256 of its resolved prompt, the bytes of its input files, and the versions that it runs on."""

import hashlib
import json
from typing import Any

from phd_batch.bindings import Target

# Stands in the canonical text of a workflow where a job's value goes.
MARK = "\0phd"


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Keys:
    """Makes the keys of one batch: hashes each job's prompt without building it.

    The canonical text of the workflow is split where values go. Titles and prefixes of saved files do not count.
    """

    def __init__(self, workflow: dict, targets: list[Target], versions: dict):
        plain = {node_id: [node["class_type"], dict(node["inputs"])] for node_id, node in workflow.items()}
        for node in plain.values():
            node[1].pop("filename_prefix", None)
        self.own = []
        for number, target in enumerate(targets):
            inputs = plain[target.node][1]
            self.own.append(canonical(inputs.get(target.input)))
            inputs[target.input] = f"{MARK}{number}\0"
        text = canonical(plain) + canonical(versions)
        # Where the values stand is given by the order of the canonical text.
        parts = text.split(json.dumps(MARK)[:-1])
        self.start = parts[0].encode()
        self.parts = []
        for part in parts[1:]:
            number, rest = part.split("\\u0000", 1)
            self.parts.append((int(number), rest[1:].encode()))

    def key(self, values: list[Any]) -> bytes:
        """The key of a job, 32 bytes.

        values: for each target its value, the SHA-256 of a file as "sha256:...", or None for the workflow's own.
        """
        digest = hashlib.sha256(self.start)
        for number, rest in self.parts:
            value = values[number]
            digest.update((self.own[number] if value is None else canonical(value)).encode())
            digest.update(rest)
        return digest.digest()


def resolved(workflow: dict, values: list[tuple[Target, Any]]) -> dict:
    """The prompt of a job: a copy of the workflow with the values in it."""
    prompt = {node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in workflow.items()}
    for target, value in values:
        if value is not None:
            prompt[target.node]["inputs"][target.input] = value
    return prompt
