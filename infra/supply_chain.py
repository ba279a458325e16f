"""Check what ships and what we test with, and say what it is: `python -m infra.supply_chain COMMAND`.

    check         hold the locks against each other, pyproject.toml, the licences and known advisories; offline
    sbom FILE     write what the layer is made of as CycloneDX 1.6, the same bytes for the same lock
    licences      write docs/licences.md; with --check, say whether it is up to date

Licences and dependencies are read from the packages installed beside us, so their versions must be those of the lock.
"""

import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, canonicalize_version
from packaging.version import InvalidVersion, Version

from infra.lock import FILES, LAYER

ROOT = Path(__file__).resolve().parents[1]
ADVISORIES = ROOT / "infra/advisories.json"
LICENCES = ROOT / "docs/licences.md"
# Where the layer runs: markers are read for it, not for this machine.
LAMBDA = {"python_version": "3.13", "python_full_version": "3.13.0", "platform_python_implementation": "CPython"}
LAMBDA |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64", "extra": ""}

ALLOWED = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "FTL", "HPND", "IJG", "ISC", "MIT", "MIT-0", "MIT-CMU"}
ALLOWED |= {"MIT-open-group", "PSF-2.0", "Python-2.0", "X11", "Zlib", "libpng-2.0", "libtiff"}
DYNAMIC = "a shared library of its own in the wheel, unchanged and replaceable, as the LGPL wants it"
JUDGED = {  # allowed there alone; a row that nothing needs any more is an error
    "certifi": ("MPL-2.0", "a list of certificates, shipped unchanged; the MPL asks nothing of what lies beside it"),
    "libde265": ("LGPL-3.0-only", DYNAMIC),
    "libheif": ("LGPL-3.0-only", DYNAMIC),
    "pi-heif": ("LGPL-3.0-only", "its wheel brings these two libraries; the code of pi-heif itself is BSD-3-Clause"),
}
STATED = {  # what packages say without an SPDX expression; "package: words" where the words alone are unclear
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "python-dateutil: BSD License": "BSD-3-Clause",  # by its LICENSE, read 2026-11-26
    "python-dateutil: Dual License": "",  # the classifiers say which two
}
INTRODUCTION = """\
`python -m infra.supply_chain licences` writes this page from the lock of the dependencies layer and from what the
packages say of themselves; `make check` fails when a licence comes along that nobody judged."""
HOMES = ("homepage", "home", "repository", "source", "code")


class Part(NamedTuple):
    """A pin of a lock with its sha256 hashes, a package with what it says of itself, or a library inside its wheel."""

    name: str
    version: str
    licences: tuple[str, ...] = ()
    hashes: frozenset[str] = frozenset()
    home: str = ""
    needs: tuple[Requirement, ...] = ()
    inside: tuple["Part", ...] = ()


# Libraries in a wheel whose SBOM does not name them; versions by libheif_info() and the names of the files.
UNNAMED = {
    "pi-heif": ["libde265 1.1.0 LGPL-3.0-only", "libheif 1.23.0 LGPL-3.0-only"],
    "pillow": ["brotli 1.2.0 MIT", "libXau 1.0.9 MIT-open-group", "libpng 1.6.58 libpng-2.0"],
}
UNNAMED["pillow"] += ["xz 5.8.4 0BSD", "zstd 1.5.7 BSD-3-Clause"]
NOT_IN_WHEELS = {"FriBiDi", "libimagequant"}  # Pillow's SBOM also names what it can be built with


def read_lock(text: str) -> tuple[list[Part], list[str]]:
    """Return the pins of a requirements file, and what is wrong with its other lines."""
    pins, problems = [], []
    for line in text.replace("\\\n", " ").splitlines():
        words, *hashes = (part.strip() for part in re.sub(r"(^|\s)#.*", "", line).split(" --hash="))
        if not words and not hashes:
            continue
        try:
            wanted = Requirement(words)
        except InvalidRequirement:
            problems.append(f"{words}: only requirements belong here, no options, registries or paths")
            continue
        name, exact = canonicalize_name(wanted.name), re.fullmatch(r"==([^=*,]+)", str(wanted.specifier))
        if not exact:
            problems.append(f"{words}: not a name pinned with ==")  # one with an address has no specifier
        elif not hashes or not all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes):
            problems.append(f"{name} has no sha256, or something beside it")
        else:
            pins.append(Part(name, exact[1], hashes=frozenset(hashes)))
    return pins, problems


def read_sources(root: Path, sources: Sequence[str]) -> Iterator[Requirement]:
    """Yield what a lock is made from; the sources are what `infra.lock` gives to uv."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    for option, source in zip(["", *sources], sources, strict=False):
        if option == "--group":
            for entry in project["dependency-groups"][source]:
                if isinstance(entry, str):
                    yield Requirement(entry)
                else:
                    yield from read_sources(root, ["--group", entry["include-group"]])
        elif source == "pyproject.toml":
            yield from map(Requirement, project["project"]["dependencies"])
        elif source.endswith(".in"):
            yield from map(Requirement, (root / source).read_text(encoding="utf-8").split("\n")[:-1])


def check_locks(root: Path) -> tuple[dict[str, list[Part]], list[str]]:
    """Return the pins of every lock in the repository, and what is wrong with the locks."""
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    texts = [*root.glob("*.txt"), *(path for folder in folders for path in folder.rglob("*.txt"))]
    names = {name for name in (path.relative_to(root).as_posix() for path in texts) if "requirements" in name}
    problems = [f"{name}: infra/lock.py does not write it" for name in sorted(names - FILES.keys())]
    problems += [f"{name}: missing; make lock" for name in sorted(FILES.keys() - names)]
    locks = {}
    for name in sorted(names):
        locks[name], wrong = read_lock((root / name).read_text(encoding="utf-8"))
        for want in read_sources(root, FILES.get(name, [])):
            found = [pin.version for pin in locks[name] if pin.name == canonicalize_name(want.name)]
            if not found or not all(want.specifier.contains(version, prereleases=True) for version in found):
                wrong.append(f"{want} is asked for, and not what is locked; make lock")
        problems += [f"{name}: {each}" for each in wrong]
    for name in ("requirements/local.txt", "requirements/dev.txt"):
        for pin in sorted(set(locks.get(LAYER, [])) - set(locks.get(name, []))):
            problems.append(f"{name}: {pin.name} {pin.version} ships, and is not what we test with; make lock")
    return locks, problems


def read_package(pin: Part) -> Part:
    """Return what the installed package says of itself.

    Raises:
        LookupError: it is not installed, or in another version.
    """
    try:
        installed = distribution(pin.name)
    except PackageNotFoundError as error:
        raise LookupError(f"{pin.name} is not installed here") from error
    if canonicalize_version(installed.version) != canonicalize_version(pin.version):
        raise LookupError(f"{pin.name} {installed.version} is installed here, {pin.version} is locked")
    fields = installed.metadata
    urls = {label.lower(): url for label, url in (each.split(", ", 1) for each in fields.get_all("Project-URL", []))}
    homes = [*fields.get_all("Home-page", []), *(urls[label] for label in HOMES if label in urls), ""]
    needs = [
        need
        for need in map(Requirement, fields.get_all("Requires-Dist", []))
        if not need.marker or need.marker.evaluate(LAMBDA)
    ]
    licences, inside = _licences(pin.name, installed), tuple(_libraries(pin.name, installed))
    return pin._replace(licences=licences, home=homes[0], needs=tuple(needs), inside=inside)


def _licences(name: str, installed: Distribution) -> tuple[str, ...]:
    """Return everything that is stated, as SPDX where we know how; all of it must be allowed."""
    fields = installed.metadata
    if expressions := fields.get_all("License-Expression", []):
        return tuple(expressions[0].split(" AND "))
    classifiers = [each.split(" :: ") for each in fields.get_all("Classifier", [])]
    stated = [*fields.get_all("License", []), *(parts[-1] for parts in classifiers if parts[0] == "License")]
    known = (STATED.get(f"{name}: {words}", STATED.get(words, words)) for words in stated)
    return tuple(dict.fromkeys(licence for licence in known if licence))


def _libraries(name: str, installed: Distribution) -> Iterator[Part]:
    """Yield what the wheel's own SBOM names (PEP 770); not auditwheel's, which differs from machine to machine."""
    for library, version, licence in map(str.split, UNNAMED.get(name, [])):
        yield Part(library, version, (licence,))
    for path in installed.files or []:
        if path.parent.name == "sboms" and path.name != "auditwheel.cdx.json":
            for part in json.loads(path.read_text(encoding="utf-8"))["components"]:
                if "#c-ext/" not in part["bom-ref"] and part["name"] not in NOT_IN_WHEELS:
                    stated = (each.get("expression") or str(each["license"].get("id")) for each in part["licenses"])
                    yield Part(part["name"], part.get("version", ""), tuple(stated))


def check_packages(root: Path, packages: Sequence[Part]) -> list[str]:
    """Say what the layer lacks, what ships for nobody, and which licences nobody judged."""
    versions = {part.name: part.version for part in packages}
    needs = [*read_sources(root, FILES[LAYER]), *(need for part in packages for need in part.needs)]
    problems = []
    for need in needs:
        version = versions.get(canonicalize_name(need.name))
        if version is None or not need.specifier.contains(version, prereleases=True):
            problems.append(f"{LAYER}: {need} is needed, and {version or 'nothing'} ships")
    unneeded = versions.keys() - {canonicalize_name(need.name) for need in needs}
    problems += [f"{LAYER}: {name} ships, and nothing needs it" for name in sorted(unneeded)]
    stated = {part.name: part.licences for package in packages for part in (package, *package.inside)}
    for name, licences in stated.items():
        if not licences or set(licences) - ALLOWED - set(JUDGED.get(name, ())[:1]):
            problems.append(f"{name}: nobody judged its licence, {' and '.join(licences) or 'which it does not state'}")
    gone = [f"{name}: {licence}" for name, (licence, _) in JUDGED.items() if licence not in stated.get(name, ())]
    return problems + [f"{each} was judged, and is not what ships" for each in gone]


def affects(advisory: dict[str, Any], pin: Part) -> bool:
    """Say whether an advisory in OSV's format is about this version; in doubt it is."""
    for affected in advisory.get("affected", []):
        package = affected.get("package", {})
        if package.get("ecosystem") == "PyPI" and canonicalize_name(package["name"]) == pin.name:
            ranges = [each["events"] for each in affected.get("ranges", []) if each["type"] != "GIT"]
            listed = [canonicalize_version(version) for version in affected.get("versions", [])]
            inside = any(_within(pin.version, events) for events in ranges)
            if inside or canonicalize_version(pin.version) in listed or not (ranges or listed):
                return True
    return False


def _within(version: str, events: list[dict[str, str]]) -> bool:
    """Evaluate a range as OSV's specification does: the last event up to this version decides."""
    try:
        ours, inside = Version(version), False
        parsed = [(Version("0.dev0" if at == "0" else at), kind) for event in events for kind, at in event.items()]
    except InvalidVersion:
        return True
    for at, kind in sorted(parsed):
        if kind == "introduced" and ours >= at:
            inside = True
        elif (kind == "fixed" and ours >= at) or (kind == "last_affected" and ours > at):
            inside = False
    return inside


def check_advisories(known: dict[str, Any], locks: dict[str, list[Part]]) -> list[str]:
    """Say which pins are known to be weak, which nobody asked about, and what was accepted for nothing."""
    pins = [(name, pin) for name, lock in locks.items() for pin in lock]
    asked = {pin.name for _, pin in pins} - set(known["packages"]) if known["read"] else ()
    problems = [f"{ADVISORIES.name}: {name} was not asked about; docs/operations.md says how" for name in sorted(asked)]
    vulns = [each for each in known["vulns"] if not each.get("withdrawn")]
    hits = [(each, name, pin) for each in vulns for name, pin in pins if affects(each, pin)]
    for each, name, pin in hits:
        if each["id"] not in known["accepted"]:
            problems.append(f"{name}: {pin.name} {pin.version}: {each['id']} {each.get('summary', '')}".rstrip())
    needless = known["accepted"].keys() - {each["id"] for each, _, _ in hits}
    return problems + [f"{ADVISORIES.name}: {each} is accepted, and hits nothing" for each in sorted(needless)]


def bill_of_materials(root: Path, packages: Sequence[Part]) -> dict[str, Any]:
    """Return the layer as CycloneDX 1.6; the serial number is derived from the rest."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    refs = {part.name: _purl(part) for part in packages}
    needs = {name: tuple(read_sources(root, FILES[LAYER]))} | {_purl(part): part.needs for part in packages}
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": name, "name": name, "version": version}},
        "components": [_component(part, "") for part in packages],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted({refs[canonicalize_name(need.name)] for need in wanted})}
            for ref, wanted in needs.items()
        ],
    }
    return document | {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document))}"}


def _component(part: Part, inside: str) -> dict[str, Any]:
    ref = f"{inside}#{part.name}" if inside else _purl(part)
    # A lock has the hashes of all files of a release, one of which ships: they are not those of the component.
    hashes = [{"alg": "SHA-256", "content": each.removeprefix("sha256:")} for each in sorted(part.hashes)]
    page = {"type": "distribution", "url": _purl(part), "hashes": hashes}
    fields = {
        "type": "library",
        "bom-ref": ref,
        "purl": "" if inside else ref,
        "name": part.name,
        "version": part.version,
        "licenses": [{"license": {"id": licence}} for licence in part.licences],
        "externalReferences": [page, {"type": "website", "url": part.home}] if hashes else [],
        "components": [_component(library, ref) for library in part.inside],
    }
    return {field: value for field, value in fields.items() if value}


def _purl(part: Part) -> str:
    return f"pkg:pypi/{part.name}@{part.version}"


def licences_page(packages: Sequence[Part]) -> str:
    """Return docs/licences.md."""

    def table(title: str, rows: list[tuple[Part, str]]) -> list[str]:
        lines = (f"| {part.name} | {part.version} | {', '.join(part.licences)} | {last} |" for part, last in rows)
        return [f"| {title} |", "|---|---|---|---|", *lines, ""]

    lines = ["# Licences of what ships", "", INTRODUCTION, ""]
    lines += table("package | version | licence | home", [(part, part.home) for part in packages])
    lines += ["What their wheels bring along, as far as they tell:", ""]
    inside = [(library, part.name) for part in packages for library in part.inside]
    lines += [*table("library | version | licence | inside", inside), "Judged one by one:", ""]
    lines += [f"- {name}, {licence}: {reason}." for name, (licence, reason) in JUDGED.items()]
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> None:
    """Carry out a command; print what is wrong and exit with 1, if something is."""
    locks, problems = check_locks(ROOT)
    try:
        packages = [read_package(pin) for pin in locks.get(LAYER, [])]
    except LookupError as error:
        sys.exit("\n".join([*problems, f"{LAYER}: {error}"]))
    match arguments:
        case ["check"]:
            known = json.loads(ADVISORIES.read_text(encoding="utf-8"))
            problems += check_packages(ROOT, packages) + check_advisories(known, locks)
            print(
                f"{len(packages)} packages ship; {sum(map(len, locks.values()))} pins in {len(locks)} locks;", end=" "
            )
            print(f"{len(known['vulns'])} advisories of osv.dev, read: {known['read'] or 'never'}.")
        case ["sbom", target]:
            bom = json.dumps(bill_of_materials(ROOT, packages), indent=2)
            Path(target).write_text(f"{bom}\n", encoding="utf-8")
        case ["licences"]:
            LICENCES.write_text(licences_page(packages), encoding="utf-8")
        case ["licences", "--check"]:
            if LICENCES.read_text(encoding="utf-8") != licences_page(packages):
                problems.append("docs/licences.md is out of date: python -m infra.supply_chain licences")
        case _:
            problems = [str(__doc__)]
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    main(sys.argv[1:])
