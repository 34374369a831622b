"""RelitScenes: scenes whose harmonised truth is known, rendered from a seed; see `scenes.py`."""
