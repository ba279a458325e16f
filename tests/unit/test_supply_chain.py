"""What ships is what was locked, asked for, tested with and judged; each check is seen to fail on a doctored copy."""

import copy
import json
import re
import shutil

import pi_heif
import pytest
from PIL import features

from infra import supply_chain
from infra.local.template import read_template
from infra.lock import FILES, LAYER
from infra.supply_chain import (
    LAMBDA,
    NOT_IN_WHEELS,
    UNNAMED,
    Part,
    affects,
    bill_of_materials,
    check_advisories,
    check_locks,
    check_packages,
    licences_page,
    main,
    read_lock,
    read_package,
)
from tests.conftest import ROOT

DIGEST = "sha256:" + "0" * 64
NEVER_ASKED = {"read": None, "packages": [], "accepted": {}, "vulns": []}


@pytest.fixture
def repository(tmp_path):
    """A copy of the locks and of what they are made from, to doctor."""
    for name in ["pyproject.toml", *FILES, *(source for each in FILES.values() for source in each if "/" in source)]:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return tmp_path


@pytest.fixture(scope="module")
def packages():
    return [read_package(pin) for pin in check_locks(ROOT)[0][LAYER]]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of which nothing but its metadata exists."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, *fields, version="1.0", library=None):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *fields, ""]
        (folder / "METADATA").write_text("\n".join(lines))
        if library:
            (folder / "sboms").mkdir()
            (folder / "sboms" / "wheel.cdx.json").write_text(json.dumps({"components": [library]}))
            (folder / "RECORD").write_text(f"{folder.name}/sboms/wheel.cdx.json,,\n")
        return Part(name, version)

    return install


def doctor(repository, name, pattern, replacement):
    path = repository / name
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE)
    assert count, f"{pattern} is not in {name}"
    path.write_text(text)


def problems_of(repository):
    return check_locks(repository)[1]


def test_the_repository_has_no_problems(packages):
    locks, problems = check_locks(ROOT)

    assert problems == []
    assert locks.keys() == FILES.keys()
    assert check_packages(ROOT, packages) == []


def test_every_requirement_of_a_lock_is_read(repository):
    locks, _ = check_locks(repository)

    for name, pins in locks.items():
        assert len(pins) == len(re.findall(r"^[a-z0-9]", (repository / name).read_text(), re.MULTILINE)), name
    assert sum(len(pin.hashes) for pin in locks[LAYER]) == (repository / LAYER).read_text().count("--hash=sha256:")


@pytest.mark.parametrize("name", FILES)
def test_a_pin_without_a_hash_is_a_problem_in_every_lock(repository, name):
    doctor(repository, name, r"^(\S.*==.*) \\\n(    --hash.*\n)+", r"\1\n")

    assert any(each.startswith(f"{name}: ") and "has no sha256" in each for each in problems_of(repository))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param(f"six>=1.17 --hash={DIGEST}", "six>=1.17: not a name pinned with ==", id="a range"),
        pytest.param(f"six==1.* --hash={DIGEST}", "six==1.*: not a name pinned with ==", id="any patch"),
        pytest.param(f"six===1.17.0 --hash={DIGEST}", "six===1.17.0: not a name pinned with ==", id="any spelling"),
        pytest.param(f"six==1.17.0,<2 --hash={DIGEST}", "six==1.17.0,<2: not a name pinned", id="a pin and more"),
        pytest.param(f"six --hash={DIGEST}", "six: not a name pinned with ==", id="no version"),
        pytest.param(
            f"six @ https://a/six.whl --hash={DIGEST}", "six @ https://a/six.whl: not a name", id="an address"
        ),
        pytest.param("six==1.17.0", "six has no sha256", id="no hash"),
        pytest.param("six==1.17.0 --hash=md5:" + "0" * 32, "six has no sha256", id="another hash"),
        pytest.param(f"six==1.17.0 --hash={DIGEST[:-1]}", "six has no sha256", id="a shortened hash"),
        pytest.param(f"six==1.17.0 --hash={DIGEST} --hash=md5:0", "something beside it", id="a weak hash beside it"),
        pytest.param(f"six==1.17.0 --hash={DIGEST} --pre", "something beside it", id="an option behind the hash"),
        pytest.param(f"    --hash={DIGEST}", "only requirements belong here", id="a hash alone"),
        pytest.param("--index https://mirror/simple", "only requirements belong here", id="a registry"),
        pytest.param("--extra-index=https://mirror", "only requirements belong here", id="a further registry"),
        pytest.param("--find-links wheels", "only requirements belong here", id="a folder of wheels"),
        pytest.param("--trusted-host mirror", "only requirements belong here", id="a host without TLS"),
        pytest.param("-r more.txt", "only requirements belong here", id="another file"),
        pytest.param("-e .", "only requirements belong here", id="a folder"),
        pytest.param("git+https://host/six", "only requirements belong here", id="a repository"),
        pytest.param("./six-1.17.0-py3-none-any.whl", "only requirements belong here", id="a wheel"),
    ],
)
def test_a_line_that_is_no_pin_with_a_hash_is_a_problem(line, problem):
    pins, problems = read_lock(f"# a comment\n\n{line}  # and one\n")

    assert pins == []
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_pin_may_have_extras_a_marker_and_several_hashes():
    other = DIGEST[:-1] + "1"
    text = (
        f"Some_Name[b, a]==1.0 ; sys_platform == 'win32' \\\n    --hash={DIGEST} \\\n    --hash={other}\n    # via x\n"
    )

    assert read_lock(text) == ([Part("some-name", "1.0", hashes=frozenset({DIGEST, other}))], [])


def test_a_lock_that_nobody_writes_is_a_problem(repository):
    (repository / "functions").mkdir()
    (repository / "functions" / "requirements.txt").write_text("")

    assert problems_of(repository) == ["functions/requirements.txt: infra/lock.py does not write it"]


def test_a_lock_that_is_missing_is_a_problem(repository):
    (repository / "requirements" / "sam.txt").unlink()

    assert problems_of(repository) == ["requirements/sam.txt: missing; make lock"]


@pytest.mark.parametrize(
    ("source", "asked", "instead", "lock"),
    [
        pytest.param("pyproject.toml", "urllib3==2.8.0", "urllib3==2.8.1", LAYER, id="what ships"),
        pytest.param("pyproject.toml", "pillow==13.0.0", "pillow==13.0.1", "requirements/dev.txt", id="in all locks"),
        pytest.param("pyproject.toml", "pytest==9.2.0", "pytest==9.2.1", "requirements/dev.txt", id="a group"),
        pytest.param("pyproject.toml", "werkzeug==3.1.9", "werkzeug", None, id="no version asked for"),
        pytest.param("pyproject.toml", '"werkzeug==3.1.9"', '"werkzeug<3"', "requirements/dev.txt", id="inner group"),
        pytest.param("pyproject.toml", "awslambdaric==4.2.2", "other", "requirements/runtime.txt", id="not locked"),
        pytest.param(
            "tests/bench/requirements.in", "trustme==1.2.1", "trustme==1", "tests/bench/requirements.txt", id=".in"
        ),
    ],
)
def test_what_is_asked_for_must_be_locked_in_that_version(repository, source, asked, instead, lock):
    doctor(repository, source, re.escape(asked), instead)

    found = [each for each in problems_of(repository) if "asked for, and not what is locked" in each]
    assert bool(found) == bool(lock)
    assert not lock or any(each.startswith(f"{lock}: ") for each in found)


@pytest.mark.parametrize("name", ["requirements/local.txt", "requirements/dev.txt"])
@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        pytest.param(r"^six==1\.17\.0", "six==1.16.0", id="another version"),
        pytest.param(r"^six==1\.17\.0", "seven==1.17.0", id="not there"),
        pytest.param(r"(^six==1.17.0 \\\n    --hash=sha256:)....", r"\1beef", id="another file of that version"),
    ],
)
def test_what_ships_must_be_what_we_test_with(repository, name, pattern, replacement):
    doctor(repository, name, pattern, replacement)

    assert f"{name}: six 1.17.0 ships, and is not what we test with; make lock" in problems_of(repository)


def test_the_layer_must_hold_all_that_its_packages_need(packages):
    without = [part for part in packages if part.name not in {"jmespath", "certifi"}]

    assert f"{LAYER}: certifi==2026.10.18 is needed, and nothing ships" in check_packages(ROOT, without)
    assert f"{LAYER}: jmespath<2.0.0,>=0.7.1 is needed, and nothing ships" in check_packages(ROOT, without)


def test_the_layer_must_hold_versions_that_its_packages_take(packages):
    older = [part._replace(version="0.9.0") if part.name == "s3transfer" else part for part in packages]

    assert check_packages(ROOT, older) == [f"{LAYER}: s3transfer<0.20.0,>=0.19.0 is needed, and 0.9.0 ships"]


def test_a_package_that_nothing_needs_does_not_ship(packages):
    stowaway = Part("stowaway", "1.0", ("MIT",))

    assert check_packages(ROOT, [*packages, stowaway]) == [f"{LAYER}: stowaway ships, and nothing needs it"]


@pytest.mark.parametrize(
    ("fields", "licences"),
    [
        pytest.param(["License-Expression: MIT AND ISC", "License: ignored"], ("MIT", "ISC"), id="an expression"),
        pytest.param(["License: MIT", "Classifier: License :: OSI Approved :: MIT License"], ("MIT",), id="said twice"),
        pytest.param(["License: MIT", "Classifier: License :: X :: GPLv3"], ("MIT", "GPLv3"), id="two that differ"),
        pytest.param(
            ["Classifier: License :: OSI Approved :: Apache Software License"], ("Apache-2.0",), id="classifier"
        ),
        pytest.param(["License: Dual License"], ("Dual License",), id="words clear in one package alone"),
        pytest.param(["Classifier: Programming Language :: Python"], (), id="nothing"),
    ],
)
def test_all_that_a_package_states_is_its_licence(install, fields, licences):
    assert read_package(install("stranger", *fields)).licences == licences


@pytest.mark.parametrize(
    ("licences", "problem"),
    [
        pytest.param(("GPL-3.0-only",), "GPL-3.0-only", id="GPL"),
        pytest.param(("MIT", "AGPL-3.0-only"), "MIT and AGPL-3.0-only", id="one of two"),
        pytest.param(("MPL-2.0",), "MPL-2.0", id="judged for another package"),
        pytest.param(("MIT OR GPL-2.0-only",), "MIT OR GPL-2.0-only", id="a choice that nobody made"),
        pytest.param((), "which it does not state", id="none"),
    ],
)
@pytest.mark.parametrize("within", [False, True], ids=["package", "library"])
def test_a_licence_that_nobody_judged_does_not_ship(packages, licences, problem, within):
    first, *rest = packages
    part = Part("stranger", "1.0", licences)
    first = first._replace(inside=(part,)) if within else first._replace(licences=licences)

    assert check_packages(ROOT, [first, *rest]) == [
        f"{'stranger' if within else first.name}: nobody judged its licence, {problem}"
    ]


def test_a_judgement_without_its_package_is_a_problem(packages):
    changed = [part._replace(licences=("MIT",)) if part.name == "certifi" else part for part in packages]

    assert check_packages(ROOT, changed) == ["certifi: MPL-2.0 was judged, and is not what ships"]


def test_libraries_are_read_from_the_sbom_of_a_wheel(install):
    library = {"bom-ref": "pkg:generic/x", "name": "libx", "version": "2", "licenses": [{"license": {"id": "GPL-2.0"}}]}

    package = read_package(install("stranger", "License: MIT", library=library))

    assert package.inside == (Part("libx", "2", ("GPL-2.0",)),)


def test_only_what_is_needed_on_lambda_counts(install):
    needs = ["a", "b; sys_platform == 'win32'", "c; extra == 'more'", "d; python_version < '3.12'"]

    package = read_package(install("stranger", *(f"Requires-Dist: {need}" for need in needs)))

    assert [str(need) for need in package.needs] == ["a"]


def test_lambda_is_what_the_template_says():
    layer = read_template(ROOT / "template.yaml")["Resources"]["DependenciesLayer"]["Properties"]

    assert layer["CompatibleRuntimes"] == [f"python{LAMBDA['python_version']}"]
    assert layer["CompatibleArchitectures"] == ["arm64"]


def test_a_package_that_is_not_what_is_locked_says_nothing(install):
    with pytest.raises(LookupError, match="not installed here"):
        read_package(Part("stranger", "1.0"))
    with pytest.raises(LookupError, match=r"1\.0 is installed here, 1\.1 is locked"):
        read_package(install("stranger", "License: MIT")._replace(version="1.1"))


def test_the_libraries_in_the_heif_wheel_are_those_we_name():
    found = pi_heif.libheif_info()

    assert UNNAMED["pi-heif"][0].startswith(f"libde265 {found['decoders']['libde265'].split()[-1]} ")
    assert UNNAMED["pi-heif"][1].startswith(f"libheif {found['libheif']} ")


def test_every_library_in_pillow_is_named(packages):
    """Where Pillow brings shared libraries (Linux); macOS and Windows call them otherwise."""
    files = supply_chain.distribution("pillow").files
    stems = {re.split(r"[-.]", file.name)[0] for file in files if file.parent.name == "pillow.libs"}
    names = {
        "brotli": {"libbrotlicommon", "libbrotlidec"},
        "FreeType": {"libfreetype"},
        "HarfBuzz": {"libharfbuzz"},
        "libavif": {"libavif"},
        "libjpeg / libjpeg-turbo": {"libjpeg"},
        "libpng": {"libpng16"},
        "libtiff": {"libtiff"},
        "libwebp": {"libwebp", "libwebpdemux", "libwebpmux", "libsharpyuv"},
        "libXau": {"libXau"},
        "libxcb": {"libxcb"},
        "Little CMS 2": {"liblcms2"},
        "OpenJPEG": {"libopenjp2"},
        "xz": {"liblzma"},
        "zstd": {"libzstd"},
    }
    (pillow,) = (part for part in packages if part.name == "pillow")

    assert stems <= set().union(*names.values())
    assert names.keys() <= {library.name for library in pillow.inside}


def test_what_pillow_could_be_built_with_and_is_not_stays_unnamed():
    names = {file.name.lower() for file in supply_chain.distribution("pillow").files if file.suffix != ".py"}

    assert not any(library.lower() in name for library in NOT_IN_WHEELS for name in names)
    assert not features.check_feature("libimagequant")


def advisory(*, events=None, versions=None, kind="ECOSYSTEM", name="six", ecosystem="PyPI", **fields):
    affected = {"package": {"name": name, "ecosystem": ecosystem}}
    affected |= {"ranges": [{"type": kind, "events": events}]} if events is not None else {}
    affected |= {"versions": versions} if versions is not None else {}
    return {"id": "OSV-1", "summary": "It leaks.", "affected": [affected], **fields}


FROM_THE_START = [{"introduced": "0"}]


@pytest.mark.parametrize(
    ("about", "hit"),
    [
        pytest.param(advisory(events=FROM_THE_START), True, id="all versions"),
        pytest.param(advisory(events=[*FROM_THE_START, {"fixed": "1.17.0"}]), False, id="fixed in ours"),
        pytest.param(advisory(events=[*FROM_THE_START, {"fixed": "1.17"}]), False, id="fixed in ours, written shorter"),
        pytest.param(advisory(events=[*FROM_THE_START, {"fixed": "1.17.1"}]), True, id="fixed after ours"),
        pytest.param(advisory(events=[*FROM_THE_START, {"fixed": "1.9.0"}]), False, id="1.9 is before 1.17"),
        pytest.param(advisory(events=[*FROM_THE_START, {"last_affected": "1.17.0"}]), True, id="ours is the last"),
        pytest.param(advisory(events=[*FROM_THE_START, {"last_affected": "1.16.0"}]), False, id="the last is before"),
        pytest.param(advisory(events=[{"introduced": "1.17.0"}]), True, id="introduced in ours"),
        pytest.param(advisory(events=[{"introduced": "1.17.1"}]), False, id="introduced after ours"),
        pytest.param(
            advisory(events=[{"fixed": "1.18"}, {"introduced": "1.17"}, {"fixed": "1.2"}, {"introduced": "0"}]),
            True,
            id="introduced again, in any order",
        ),
        pytest.param(advisory(events=[{"introduced": "1.17.0rc1"}, {"fixed": "1.17.0"}]), False, id="candidates alone"),
        pytest.param(advisory(versions=["1.16.0", "1.17"]), True, id="listed"),
        pytest.param(advisory(versions=["1.16.0"]), False, id="another is listed"),
        pytest.param(advisory(events=[{"introduced": "2"}], versions=["1.17.0"]), True, id="listed beside a range"),
        pytest.param(advisory(events=FROM_THE_START, name="SIX"), True, id="the name written otherwise"),
        pytest.param(advisory(events=FROM_THE_START, name="seven"), False, id="another package"),
        pytest.param(advisory(events=FROM_THE_START, ecosystem="npm"), False, id="another ecosystem"),
        pytest.param(advisory(events=[{"introduced": "abc"}], kind="GIT"), True, id="commits alone: in doubt it is"),
        pytest.param(advisory(events=[{"introduced": "last week"}]), True, id="no version: in doubt it is"),
    ],
)
def test_an_advisory_is_about_the_versions_that_it_names(about, hit):
    assert affects(about, Part("six", "1.17.0")) is hit


def test_from_the_start_is_before_every_version():
    assert affects(advisory(events=FROM_THE_START), Part("six", "0.0.dev1"))


def test_a_version_with_a_known_weakness_is_a_problem_in_every_lock():
    locks = {"a.txt": [Part("six", "1.17.0")], "b.txt": [Part("six", "1.17.0"), Part("seven", "1.0")]}
    known = NEVER_ASKED | {"vulns": [advisory(events=FROM_THE_START)]}

    assert check_advisories(known, locks) == [f"{name}: six 1.17.0: OSV-1 It leaks." for name in ("a.txt", "b.txt")]


def test_an_advisory_that_was_withdrawn_or_accepted_is_none():
    locks = {"a.txt": [Part("six", "1.17.0")]}
    withdrawn = NEVER_ASKED | {"vulns": [advisory(events=FROM_THE_START, withdrawn="2026-01-01T00:00:00Z")]}
    accepted = NEVER_ASKED | {"vulns": [advisory(events=FROM_THE_START)], "accepted": {"OSV-1": "why"}}

    assert check_advisories(withdrawn, locks) == []
    assert check_advisories(accepted, locks) == []
    assert check_advisories(accepted, {}) == ["advisories.json: OSV-1 is accepted, and hits nothing"]


def test_a_package_that_osv_was_not_asked_about_is_a_problem():
    locks = {"a.txt": [Part("six", "1.17.0"), Part("seven", "1.0")]}
    known = NEVER_ASKED | {"read": "2026-11-26", "packages": ["six"]}

    assert check_advisories(known, locks) == ["advisories.json: seven was not asked about; docs/operations.md says how"]


def components(bom):
    for component in bom["components"]:
        yield component
        yield from components({"components": component.get("components", [])})


def test_the_bill_of_materials_keeps_the_rules_of_cyclonedx(packages):
    bom = bill_of_materials(ROOT, packages)
    every = [bom["metadata"]["component"], *components(bom)]
    refs = [component["bom-ref"] for component in every]

    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    assert len(refs) == len(set(refs))
    for component in every:
        fields = {"type", "bom-ref", "name", "version", "purl", "licenses", "externalReferences", "components"}
        assert component.keys() <= fields
        assert component["type"] in {"application", "library"}
        assert component["name"]
        for reference in component.get("externalReferences", []):
            assert reference["type"] in {"distribution", "website"}
            if reference["type"] == "distribution":  # which registry it comes from is each installation's own choice
                assert reference["url"] == component["purl"]
            else:
                assert re.fullmatch(r"https://\S+", reference["url"])
            for each in reference.get("hashes", []):
                assert each["alg"] == "SHA-256"
                assert re.fullmatch("[0-9a-f]{64}", each["content"])
    wanted = [each["ref"] for each in bom["dependencies"]]
    assert wanted == [component["bom-ref"] for component in [bom["metadata"]["component"], *bom["components"]]]
    for each in bom["dependencies"]:
        assert each.keys() == {"ref", "dependsOn"}
        assert len(each["dependsOn"]) == len(set(each["dependsOn"]))
        assert set(each["dependsOn"]) <= set(wanted)


def test_the_bill_of_materials_is_the_lock(packages):
    pins = check_locks(ROOT)[0][LAYER]
    bom = bill_of_materials(ROOT, packages)
    told = {
        component["purl"]: {each["content"] for each in component["externalReferences"][0]["hashes"]}
        for component in bom["components"]
    }

    assert told == {
        f"pkg:pypi/{pin.name}@{pin.version}": {each.removeprefix("sha256:") for each in pin.hashes} for pin in pins
    }
    depends = {each["ref"].partition("@")[0]: each["dependsOn"] for each in bom["dependencies"]}
    assert [ref.partition("@")[0] for ref in depends["pkg:pypi/boto3"]] == [
        "pkg:pypi/botocore",
        "pkg:pypi/jmespath",
        "pkg:pypi/s3transfer",
    ]
    assert depends["pkg:pypi/six"] == []


def test_equal_locks_make_equal_bills_and_others_another_number(packages):
    first = bill_of_materials(ROOT, packages)
    changed = [packages[0]._replace(hashes=frozenset({DIGEST})), *packages[1:]]

    assert json.dumps(first) == json.dumps(bill_of_materials(ROOT, copy.deepcopy(packages)))
    assert bill_of_materials(ROOT, changed)["serialNumber"] != first["serialNumber"]


def test_licences_are_listed_as_they_are(packages):
    assert (ROOT / "docs/licences.md").read_text() == licences_page(packages), "python -m infra.supply_chain licences"
    for part in packages:
        assert part.home.startswith("https://")
        assert part.licences


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    return exit_.value.code


def test_check_counts_what_it_looked_at(capsys):
    assert run("check") == 0
    assert re.fullmatch(
        r"14 packages ship; \d+ pins in 13 locks; \d+ advisories of osv\.dev, read: \S+\.\n", capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        pytest.param(
            "ADVISORIES", json.dumps(NEVER_ASKED | {"accepted": {"OSV-1": ""}}), "hits nothing", id="advisories"
        ),
        pytest.param("LICENCES", "| six | 1.16.0 |", "docs/licences.md is out of date", id="licences"),
    ],
)
def test_a_command_that_finds_something_fails_with_it(tmp_path, monkeypatch, name, content, problem):
    (tmp_path / "file").write_text(content)
    monkeypatch.setattr(supply_chain, name, tmp_path / "file")

    assert problem in run("check") if name == "ADVISORIES" else run("licences", "--check")


def test_a_lock_that_is_not_installed_hides_no_other_problem(repository, monkeypatch):
    doctor(repository, LAYER, r"^six==1\.17\.0", "six==1.16.0")
    monkeypatch.setattr(supply_chain, "ROOT", repository)

    problems = run("check").splitlines()

    assert "requirements/dev.txt: six 1.16.0 ships, and is not what we test with; make lock" in problems
    assert f"{LAYER}: six 1.17.0 is installed here, 1.16.0 is locked" in problems


def test_the_commands_write_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(supply_chain, "LICENCES", tmp_path / "licences.md")

    assert run("licences") == run("licences", "--check") == run("sbom", str(tmp_path / "sbom.json")) == 0
    assert json.loads((tmp_path / "sbom.json").read_text())["bomFormat"] == "CycloneDX"


def test_another_command_explains_itself():
    assert "sbom FILE" in run("audit")
