"""Files in ComfyUI's folders of models, for the nodes that load them."""

from pathlib import Path

import folder_paths

from ..phd_ops.quote import quoted
from ..phd_ops.sentence import sentence


def add_folder(folder: str) -> None:
    """Makes models/`folder` one of ComfyUI's folders, unless another pack already has."""
    if folder not in folder_paths.folder_names_and_paths:
        folder_paths.add_model_folder_path(folder, f"{folder_paths.models_dir}/{folder}")


def files_in(folder: str) -> list[str]:
    """The files in one of ComfyUI's folders. A folder that was removed since it was read has none."""
    try:
        return folder_paths.get_filename_list(folder)
    except OSError:
        # ComfyUI's cached listing names folders that no longer exist; drop it and scan again.
        folder_paths.filename_list_cache.pop(folder, None)
    try:
        return folder_paths.get_filename_list(folder)
    except OSError:
        return []


def path_of(name: str, file: str, folder: str) -> Path:
    """The path of one of `files_in`. Raises ValueError where it was removed since; `name` is the widget's."""
    path = folder_paths.get_full_path(folder, file)
    if path is None or not Path(path).is_file():
        raise ValueError(
            sentence(
                "{name} is {value}, which is no longer in models/{folder}: refresh the page.",
                name=name,
                value=quoted(file),
                folder=folder,
            )
        )
    return Path(path)
