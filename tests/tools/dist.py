"""Makes what is published, in ``dist/``, and tries each in a clean environment: ``python -m tests.tools.dist``.

The source archive is built from the checkout; both wheels are built from the source archive, so that it is complete.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"


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


def pip(python: Path, *arguments: str | Path, cwd: Path, **variables: str) -> None:
    run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments, cwd=cwd, **variables)


def build(folder: Path) -> list[tuple[Path, str]]:
    """Build all three into `folder`; each with the kind of installation that it must give."""
    python = Path(sys.executable)
    run(python, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    pip(python, "wheel", "--no-deps", "--wheel-dir", folder, archive, cwd=folder, BATCHSEND_PURE="1")
    (pure,) = folder.glob("*-none-any.whl")
    pip(python, "wheel", "--no-deps", "--wheel-dir", folder, archive, cwd=folder, BATCHSEND_COMPILED="1")
    (compiled,) = set(folder.glob("*.whl")) - {pure}
    return [(archive, "compiled"), (pure, "pure Python"), (compiled, "compiled")]


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


def main() -> None:
    """Build into a new folder, try all three, and only then put them into ``dist/``."""
    with TemporaryDirectory(prefix="batchsend-dist-") as temporary:
        made = Path(temporary, "dist")
        made.mkdir()
        for place, (artifact, kind) in enumerate(build(made)):
            tried = Path(temporary, f"tried-{place}")
            tried.mkdir()
            attempt(artifact, kind, tried)
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(made, DIST)
    print(f"in {DIST.name}/: {', '.join(sorted(path.name for path in DIST.iterdir()))}")


if __name__ == "__main__":
    main()
