"""Finds what the real Triton binary needs on a plain machine, and lays it out in a folder that Triton can start from.

The wheel `nvidia-pytriton` carries NVIDIA's `tritonserver`, its Python backend, and one stub per Python version. The
stub embeds Python, so it needs three things of ours: the shared library of the interpreter we run on, that
interpreter's prefix, and our packages. It gets the first through the folder below, the other two by finding our own
`python3` first on its PATH, from which an embedded interpreter derives them (a virtual environment included).
PYTHONHOME and PYTHONPATH are no help: the stub's interpreter is an isolated one and ignores them. It does look into the
working directory, so the server has to be started in `project_root()`.

    <folder>/backends/python/   the backend, its Python half, the stub that fits
    <folder>/lib/               libpython only: its own folder, so that nothing beside it is picked up by accident
    <folder>/models/            links to the models that shall be served, and to nothing else; a configuration of its
                                own where a model gets another number of instances

Must not know: how the server is started, supervised or called.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.errors import NotFound, Unavailable

_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Runtime:
    """A folder that `tritonserver` can be started from."""

    binary: Path
    backends: Path
    models: Path
    libraries: Path


def prepare(
    folder: Path,
    *,
    repository: Path,
    models: Iterable[str],
    instances: Mapping[str, int] | None = None,
    triton: Path | None = None,
) -> Runtime:
    """Lay out `folder` (made anew) for serving `models` of `repository`.

    Args:
        folder: where to; belongs to one server alone.
        repository: a Triton model repository; other folders in it (such as `__pycache__`) are left out.
        models: names to serve.
        instances: model -> how many instances it has, where that is not what its configuration says.
        triton: see `find_triton`.
    Raises:
        Unavailable: Triton, its stub for this Python, or libpython is missing.
        NotFound: the repository has no such model.
    """
    home = find_triton(triton)
    stub = home / "python_backend_stubs" / _VERSION / "triton_python_backend_stub"
    if not stub.is_file():
        raise Unavailable(f"the Triton in {home} has no stub for Python {_VERSION}; use one of {_stub_versions(home)}.")
    backend = home / "backends" / "python"
    libpython = find_libpython()
    shutil.rmtree(folder, ignore_errors=True)
    links = {
        "backends/python/libtriton_python.so": backend / "libtriton_python.so",
        "backends/python/triton_python_backend_utils.py": backend / "triton_python_backend_utils.py",
        "backends/python/triton_python_backend_stub": stub,
        f"lib/{_soname()}": libpython,
    }
    for name in models:
        if not (repository / name / "config.pbtxt").is_file():
            raise NotFound(f"there is no model {name!r} in {repository}; it has {', '.join(model_names(repository))}.")
        if instances and name in instances:
            links[f"models/{name}/1"] = repository / name / "1"
        else:
            links[f"models/{name}"] = repository / name
    for place, target in links.items():
        link = folder / place
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target.resolve())
    for name, count in (instances or {}).items():
        given = (repository / name / "config.pbtxt").read_text("utf-8")
        changed = re.sub(r"\bcount: *\d+", f"count: {count}", given)
        (folder / "models" / name / "config.pbtxt").write_text(changed, "utf-8")
    return Runtime(
        binary=home / "bin" / "tritonserver",
        backends=folder / "backends",
        models=folder / "models",
        libraries=folder / "lib",
    )


def environment(runtime: Runtime, *, store: str, threads: int, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment that the server is started with: ours, and what its embedded Python needs."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
    env["PATH"] = _before(str(Path(sys.executable).parent), env.get("PATH", os.defpath))
    env["LD_LIBRARY_PATH"] = _before(str(runtime.libraries.resolve()), env.get("LD_LIBRARY_PATH", ""))
    env["OMNIMATTE_STORE"] = store
    env["OMNIMATTE_THREADS"] = str(threads)
    # NumPy is in the stub before our adapter is, and takes its number of threads from here when it is loaded.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        env[variable] = str(threads)
    return env | dict(extra)


def project_root() -> Path:
    """The folder that `services` and `model_repository` are imported from."""
    return Path(__file__).resolve().parent.parent


def model_names(repository: Path) -> list[str]:
    """Names of the models in `repository`: its folders that have a configuration."""
    return sorted(path.parent.name for path in repository.glob("*/config.pbtxt"))


def find_triton(home: Path | None = None) -> Path:
    """The folder of a wheel's `tritonserver`.

    Args:
        home: where `pip install --target` put the wheel; default: OMNIMATTE_TRITON_HOME, else `<sys.prefix>/triton`.
    Raises:
        Unavailable: there is none, or this is no Linux on x86-64.
    """
    root = home or Path(os.environ.get("OMNIMATTE_TRITON_HOME", "") or Path(sys.prefix) / "triton")
    found = root / "pytriton" / "tritonserver"
    if not (found / "bin" / "tritonserver").is_file():
        raise Unavailable(
            f"NVIDIA's model server is not in {root}; install it with `pip install --no-deps --target {root} "
            "nvidia-pytriton==0.7.0`, or set OMNIMATTE_TRITON_HOME to where it is."
        )
    return found.resolve()


def find_libpython() -> Path:
    """The shared library of this Python version.

    An interpreter that was built without one (`--enable-shared`) borrows that of another Python of the same version.
    Raises:
        Unavailable: there is none on this machine.
    """
    for folder in _library_folders():
        found = folder / _soname()
        if found.is_file():
            return found
    raise Unavailable(
        f"the Python in {sys.base_prefix} has no shared library {_soname()}, which the model server needs; install it "
        f"(Debian: libpython{_VERSION}), or point OMNIMATTE_LIBPYTHON at its folder."
    )


def _library_folders() -> Iterable[Path]:
    asked = os.environ.get("OMNIMATTE_LIBPYTHON")
    if asked:
        yield Path(asked)
    yield Path(sys.base_prefix) / "lib"
    library_folder = sysconfig.get_config_var("LIBDIR")
    if library_folder:
        yield Path(library_folder)
        yield Path(library_folder) / str(sysconfig.get_config_var("MULTIARCH") or "")
    for pattern in (
        "/usr/lib/*-linux-gnu",
        "/usr/lib64",
        "/usr/local/lib",
        "~/.pyenv/versions/{0}*/lib",
        "~/.local/share/uv/python/cpython-{0}*/lib",
    ):
        yield from map(Path, sorted(glob.glob(os.path.expanduser(pattern.format(_VERSION)))))


def _soname() -> str:
    return f"libpython{_VERSION}.so.1.0"


def _stub_versions(home: Path) -> str:
    return ", ".join(
        sorted(path.parent.name for path in home.glob("python_backend_stubs/*/triton_python_backend_stub"))
    )


def _before(first: str, rest: str) -> str:
    return first if not rest else f"{first}{os.pathsep}{rest}"
