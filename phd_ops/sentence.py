"""Sentences for the user, in English, which the browser shows in the user's language."""


def sentence(template: str, /, **values: object) -> str:
    """A sentence, or a part of one that is a value of another sentence.

    The log, the history and callers over the API get it in English. The browser recognizes it by its template, which
    is a key in every file of `web/languages`, and translates it, and those of its values that are sentences.

    Args:
        template: written out in the call, as for `str.format`.
        values: what it is filled in with; none may be an empty text.
    """
    return template.format(**values)
