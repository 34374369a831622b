"""RelitScenes: scenes whose harmonized truth is known, rendered from a seed; see `scenes.py`."""
