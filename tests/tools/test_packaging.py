"""The files that package managers, the registry and GitHub read agree with each other and with the repository."""

import ast
import re
import subprocess
import sys
import zipfile
from urllib.parse import urlparse

import pack_support
import pytest
import yaml
from pack_support import ROOT
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MOST_MEGABYTES = 30

# What the registry knows; an unknown "Environment" classifier makes it drop all of them.
OPERATING_SYSTEMS = ("OS Independent", "Microsoft", "POSIX", "MacOS")
ACCELERATORS = {"GPU :: NVIDIA CUDA", "GPU :: AMD ROCm", "GPU :: Intel Arc", "GPU :: Apple Metal"}
ACCELERATORS |= {"NPU :: Huawei Ascend"}

# A module's package on the index, where the names differ.
PACKAGES = {"cv2": "opencv-python", "segment_anything": "segment-anything"}
PACKAGES |= {"segmentation_models_pytorch": "segmentation-models-pytorch"}
COMFYUI = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "latent_preview", "node_helpers"}
COMFYUI |= {"nodes", "server", "execution"}
# ComfyUI cannot run without these. They are not declared, so that installing the pack never touches them.
COMFYUI |= {"torchvision", "tqdm", "transformers"}

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ISSUE_FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def name_of(path):
    return path.name


def package_name(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower()


def read_yaml(path):
    return yaml.safe_load(path.read_text("utf-8"))


def imported_modules(path):
    """The first names of all absolute imports in a file, and of what `needed("module", …)` imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "needed":
            yield from (node.args[0].value.split(".")[0] for _ in [0] if isinstance(node.args[0], ast.Constant))


def test_requirements_txt_lists_the_dependencies_of_pyproject():
    lines = (line.strip() for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines())
    assert [line for line in lines if line and not line.startswith("#")] == PYPROJECT["project"]["dependencies"]


def test_every_dependency_has_a_lower_bound_and_no_upper_one():
    """An upper bound or a pin would replace what a ComfyUI has."""
    for requirement in PYPROJECT["project"]["dependencies"]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", requirement), requirement


def test_every_package_that_the_pack_imports_is_declared():
    project = PYPROJECT["project"]
    declared = {package_name(requirement) for requirement in project["dependencies"]}
    for extra in project["optional-dependencies"].values():
        declared |= {package_name(requirement) for requirement in extra}
    files = [ROOT / "__init__.py", *(path for part in ("nodes", "phd_ops") for path in (ROOT / part).rglob("*.py"))]
    modules = {module for path in files for module in imported_modules(path)}
    assert {"cv2", "torch", "numpy"} <= modules
    imported = {PACKAGES.get(module, module) for module in modules - COMFYUI - set(sys.stdlib_module_names)}
    assert imported <= declared


def test_the_registry_knows_every_classifier():
    classifiers = PYPROJECT["project"]["classifiers"]
    systems = [line.split(" :: ", 1)[1] for line in classifiers if line.startswith("Operating System :: ")]
    accelerators = [line.split(" :: ", 1)[1] for line in classifiers if line.startswith("Environment :: ")]
    assert systems and all(system.startswith(OPERATING_SYSTEMS) for system in systems)
    assert accelerators and set(accelerators) <= ACCELERATORS


def test_comfyui_reads_the_metadata(comfyui):
    parser = pytest.importorskip("comfy_config.config_parser", reason="This ComfyUI reads no pyproject.toml.")
    configuration = parser.extract_node_configuration(str(ROOT))
    assert configuration.project.name == "paste-inpaint-harmonize"
    assert configuration.project.supported_os == ["OS Independent"]
    assert len(configuration.project.supported_accelerators) == 4
    assert configuration.project.supported_comfyui_version == ">=0.3.64"
    assert configuration.project.supported_comfyui_frontend_version == ">=1.27.10"
    assert configuration.tool_comfy.publisher_id == "paste-inpaint-harmonize"


def repository_path(url):
    """The file that a raw.githubusercontent.com address of the main branch means."""
    repository = urlparse(PYPROJECT["project"]["urls"]["Repository"]).path
    path = urlparse(url).path
    assert path.startswith(f"{repository}/main/")
    return ROOT / path[len(f"{repository}/main/") :]


def test_icon_and_banner_are_in_the_repository():
    comfy = PYPROJECT["tool"]["comfy"]
    assert 'viewBox="0 0 400 400"' in repository_path(comfy["Icon"]).read_text("utf-8")
    width, height = Image.open(repository_path(comfy["Banner"])).size
    assert width * 9 == height * 21


def test_the_changelog_begins_with_the_version_of_pyproject():
    versions = re.findall(r"^## \[?([\d.]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert versions[0] == PYPROJECT["project"]["version"]


def test_the_archive_is_small_and_has_what_users_run_and_nothing_else(tmp_path):
    files = pack_support.archive_files()
    with zipfile.ZipFile(tmp_path / "node.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.write(ROOT / name, name)
    assert (tmp_path / "node.zip").stat().st_size < MOST_MEGABYTES * 2**20
    folders = {name.split("/")[0] for name in files if "/" in name}
    shipped = {"demo", "devtools", "example_workflows", "locales", "nodes", "phd_batch", "phd_ops", "subgraphs", "web"}
    assert folders == shipped
    assert {"__init__.py", "requirements.txt", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= files
    assert {"demo/weights/unet.safetensors", "demo/weights/codec.safetensors"} <= files
    # What only the browser asks for: no test that loads the nodes would miss it.
    browser = {name for name in pack_support.repository_files() if name.startswith(("web/", "locales/"))}
    assert "web/docs/PhDStitch.md" in browser and browser <= files
    # All nodes are loaded from these files in test_install.py.


def test_everything_that_comfyignore_names_exists():
    lines = (line.strip() for line in (ROOT / ".comfyignore").read_text("utf-8").splitlines())
    for line in (line for line in lines if line and not line.startswith("#")):
        assert any(ROOT.glob(line.lstrip("!/").rstrip("/"))), line


def test_the_archive_runs_batches_by_itself(tmp_path):
    """`python -m phd_batch` in the pack's folder: every module of it that is imported came with it."""
    folder = pack_support.copy_pack(pack_support.archive_files(), tmp_path / "pack")
    command = [
        sys.executable,
        "-c",
        "import phd_batch.run, phd_batch.headless, devtools.executor, devtools.object_info",
    ]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    helped = subprocess.run([sys.executable, "-m", "phd_batch", "--help"], cwd=folder, capture_output=True, text=True)
    assert helped.returncode == 0 and "--workflow" in helped.stdout


def test_there_are_three_workflows_and_they_are_github_workflows():
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "nightly.yml", "publish.yml"]
    for path in WORKFLOWS:
        workflow = read_yaml(path)
        # YAML 1.1 reads the key `on` as true.
        assert workflow["name"] and workflow[True] and workflow["jobs"], path.name
        for job in workflow["jobs"].values():
            assert job["runs-on"] and job["steps"]
            for step in job["steps"]:
                assert ("run" in step) != ("uses" in step), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=name_of)
def test_every_command_of_a_workflow_exists(path):
    import dev

    requirements = (ROOT / "devtools" / "requirements.txt").read_text("utf-8")
    steps = [step for job in read_yaml(path)["jobs"].values() for step in job["steps"]]
    for line in (line.strip() for step in steps for line in step.get("run", "").splitlines()):
        if command := re.search(r"\bdev\.py (\w+)", line):
            assert command[1] in dev.COMMANDS, line
        if module := re.search(r"\.venv/bin/python -m (\w+)", line):
            assert f"\n{module[1]}==" in requirements, line
        for word in re.findall(r"[\w./-]+\.(?:py|txt|toml)\b", line):
            assert (ROOT / word).is_file(), line


def test_ci_runs_the_linter_the_type_checker_and_the_fast_tests_on_linux_and_windows():
    job = read_yaml(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]
    runs = "\n".join(step.get("run", "") for step in job["steps"])
    for command in ("ruff check", "ruff format --check", "pyright", "dev.py test --fast"):
        assert command in runs
    systems = {entry["os"].split("-")[0] for entry in job["strategy"]["matrix"]["include"]}
    assert {"ubuntu", "windows"} <= systems


def test_publishing_waits_for_a_new_version():
    workflow = read_yaml(ROOT / ".github" / "workflows" / "publish.yml")
    assert workflow[True]["push"] == {"branches": ["main"], "paths": ["pyproject.toml"]}
    job = workflow["jobs"]["publish"]
    actions = {step["uses"].split("@")[0]: step for step in job["steps"] if "uses" in step}
    step = actions["Comfy-Org/publish-node-action"]
    assert "REGISTRY_ACCESS_TOKEN" in step["with"]["personal_access_token"]
    assert "changed" in step["if"]


def test_the_bug_form_requires_the_workflow_and_the_versions():
    assert [path.name for path in ISSUE_FORMS] == ["bug.yml", "config.yml", "feature.yml"]
    form = read_yaml(ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml")
    required = {field["id"] for field in form["body"] if field.get("validations", {}).get("required")}
    assert {"workflow", "versions"} <= required


def test_the_pre_commit_hooks_run_the_pinned_ruff():
    repositories = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    ruff = next(entry for entry in repositories if entry["repo"].endswith("/ruff-pre-commit"))
    assert {hook["id"] for hook in ruff["hooks"]} == {"ruff-check", "ruff-format"}
    requirements = (ROOT / "devtools" / "requirements.txt").read_text("utf-8")
    assert f"\nruff=={ruff['rev'].removeprefix('v')}\n" in requirements
