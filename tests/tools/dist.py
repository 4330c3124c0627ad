"""Makes what is published, in ``dist/``, and tries each in a clean environment: ``python -m tests.tools.dist``.

The source archive is built from the checkout; both wheels are built from the source archive, as ``pip install`` does
with it, so that it is complete. ``python -m tests.tools.dist --compiled`` makes only the compiled wheel, in
``.venv/compiled``, and installs it there for tests and measurements.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
COMPILED = ROOT / ".venv" / "compiled"


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a program in a folder that is not the checkout; return what it printed.

    Raises:
        subprocess.CalledProcessError: It failed; what it said is on standard error.
    """
    unset = ("PYTHONPATH", "BATCHSEND_PURE", "BATCHSEND_COMPILED")
    environment = {name: value for name, value in os.environ.items() if name not in unset} | variables
    ran = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return ran.stdout


def pip(python: str | Path, *arguments: str | Path, cwd: Path, **variables: str) -> None:
    run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments, cwd=cwd, **variables)


def build_archive(folder: Path) -> Path:
    """Build the source archive from the checkout."""
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def build_wheel(archive: Path, folder: Path, **variables: str) -> Path:
    """Build the wheel that installing the archive gives, where these variables are set."""
    with TemporaryDirectory(dir=folder) as alone:
        pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", alone, archive, cwd=folder, **variables)
        (wheel,) = Path(alone).iterdir()
        return wheel.rename(folder / wheel.name)


def build_compiled(archive: Path, folder: Path) -> Path:
    """Build the wheel that installing the archive gives where nothing is asked for and there is a C compiler.

    Raises:
        subprocess.CalledProcessError: It cannot be compiled; the reason is on standard error.
    """
    wheel = build_wheel(archive, folder)
    if is_pure(wheel):
        wheel.unlink()
        wheel = build_wheel(archive, folder, BATCHSEND_COMPILED="1")
    return wheel


def is_pure(wheel: Path) -> bool:
    return wheel.name.endswith("-none-any.whl")


def files_of(wheel: Path) -> dict[str, int]:
    """Everything in a wheel but what was compiled and what says so, each with its checksum."""
    with ZipFile(wheel) as opened:
        return {
            file.filename: file.CRC
            for file in opened.infolist()
            if not file.filename.endswith((".so", "/RECORD", "/WHEEL"))
        }


def build(folder: Path) -> list[tuple[Path, str]]:
    """Build all three into `folder`; the wheels with the kind of installation that each must give.

    Compiling takes a minute: a compiled wheel that `make` has built and that has the same files is taken as it is.
    """
    archive = build_archive(folder)
    pure = build_wheel(archive, folder, BATCHSEND_PURE="1")
    built = [wheel for wheel in COMPILED.glob("*.whl") if files_of(wheel) == files_of(pure)]
    compiled = shutil.copy(built[0], folder) if built else build_compiled(archive, folder)
    return [(pure, "pure Python"), (Path(compiled), "compiled")]


def attempt(artifact: Path, kind: str, folder: Path) -> None:
    """Install one in an environment with nothing else in it, and send a new campaign through the embedded server.

    Raises:
        AssertionError: It is not of its kind, or not all records were accepted.
    """
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    pip(programs / "python", "install", artifact, cwd=folder)
    version = run(programs / "batchsend", "--version", cwd=folder).strip()
    assert version.endswith(f"({kind})"), f"{artifact.name} gives {version}, not {kind}"
    run(programs / "batchsend", "init", "new", "--relay", "mail.example.com", "--from", "a@example.com", cwd=folder)
    said = run(programs / "batchsend", "send", "new/campaign.toml", "--sandbox", "--results", "log.jsonl", cwd=folder)
    assert len((folder / "log.jsonl").read_text().splitlines()) > 1, said
    run(programs / "batchsend", "report", "log.jsonl", "--html", "report.html", cwd=folder)
    run(programs / "batchsend", "manual", cwd=folder)
    print(f"{artifact.name}: {version}")


def make_all() -> None:
    """Build into a new folder, try both wheels, and only then put all into ``dist/``."""
    with TemporaryDirectory(prefix="batchsend-dist-") as temporary:
        made = Path(temporary, "dist")
        made.mkdir()
        for artifact, kind in build(made):
            tried = Path(temporary, f"tried-{kind}")
            tried.mkdir()
            attempt(artifact, kind, tried)
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(made, DIST)
    print(f"in {DIST.name}/: {', '.join(sorted(path.name for path in DIST.iterdir()))}")


def make_compiled() -> None:
    """Build only the compiled wheel, and install it into a folder beside it."""
    shutil.rmtree(COMPILED, ignore_errors=True)
    COMPILED.mkdir(parents=True)
    with TemporaryDirectory(prefix="batchsend-dist-") as temporary:
        wheel = build_compiled(build_archive(Path(temporary)), COMPILED)
    pip(sys.executable, "install", "--no-deps", "--target", COMPILED / "lib", wheel, cwd=COMPILED)


if __name__ == "__main__":
    make_compiled() if sys.argv[1:] == ["--compiled"] else make_all()
