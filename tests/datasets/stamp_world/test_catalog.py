"""The packages of the stamps world are read from a tree or from .deb files alike, and what is wrong is one sentence."""

from __future__ import annotations

import re
import shutil
import sys

import pytest

from datasets.stamp_world.catalog import VERSIONS, check_root, needed_files, open_packages
from utils.errors import UserError


@pytest.fixture(scope="module")
def debs(stamps_package, stamps_root, tmp_path_factory):
    return stamps_package.build_debs(stamps_root, tmp_path_factory.mktemp("debs"))


def files_below(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("named", ["folder", "files"])
def test_debs_give_what_the_tree_gives_and_leave_nothing_behind(debs, stamps_root, named):
    sources = [debs] if named == "folder" else sorted(debs.glob("*.deb"))
    with open_packages(sources) as (root, versions):
        unpacked = files_below(root)
        assert versions == VERSIONS
    assert not root.exists()
    tree = {name: content for name, content in files_below(stamps_root).items() if "/doc/" not in name}
    assert unpacked == tree
    assert unpacked.keys() >= {name for names in needed_files().values() for name in names}


def test_a_tree_says_its_versions_in_debians_changelog(stamps_root, tmp_path):
    with open_packages([stamps_root]) as (root, versions):
        assert root == stamps_root
        assert versions == {"tuxpaint-data": "1:0.9.28-sdl2-1", "tuxpaint-stamps-default": "2022.06.04-1"}
    shutil.copytree(stamps_root / "usr/share/tuxpaint", tmp_path / "usr/share/tuxpaint")
    (tmp_path / "usr/share/doc/tuxpaint-data").mkdir(parents=True)
    (tmp_path / "usr/share/doc/tuxpaint-data/changelog.Debian.gz").write_bytes(b"no gzip")
    with open_packages([tmp_path]) as (_, versions):
        assert versions == {"tuxpaint-data": "unknown", "tuxpaint-stamps-default": "unknown"}


def refused(sources, match):
    with pytest.raises(UserError, match=match) as caught, open_packages(sources):
        pass
    assert "\n" not in str(caught.value)


def test_nothing_there_is_said_with_the_commands_that_bring_the_packages(tmp_path):
    folder = tmp_path / "none"
    fetch = f"mkdir -p {folder} && (cd {folder} && apt-get download tuxpaint-stamps-default tuxpaint-data)"
    refused([folder], re.escape(f"found nothing there; get them with: {fetch}, then --source {folder}"))
    refused([tmp_path / "none.deb"], re.escape(f"get them with: mkdir -p {tmp_path} && (cd {tmp_path} && apt-get"))
    refused([tmp_path], "found no tuxpaint-stamps-default and no tuxpaint-data; get them with: mkdir -p")


def test_one_package_alone_is_not_enough(debs):
    (data,) = debs.glob("tuxpaint-data*")
    refused([data], "found no tuxpaint-stamps-default; get them with: mkdir -p")


def test_the_same_package_twice_is_refused(debs, tmp_path):
    (data,) = debs.glob("tuxpaint-data*")
    shutil.copy(data, tmp_path / "tuxpaint-data_copy.deb")
    refused([debs, tmp_path], "expected one tuxpaint-data, found .* and .*tuxpaint-data_copy.deb")


def test_another_package_is_refused_by_name(stamps_package, tmp_path):
    stamps_package.write_deb(tmp_path / "hello.deb", "hello", "2.10-3", {"./usr/bin/hello": b"hello"})
    refused([tmp_path / "hello.deb"], "found the package hello at .*hello.deb; leave it out of --source")


@pytest.mark.parametrize("kept", [0, 5, 300, 0.5, 0.99])
def test_a_broken_deb_is_refused_by_its_path(debs, tmp_path, kept):
    for path in debs.iterdir():
        content = path.read_bytes()
        size = kept if isinstance(kept, int) else int(kept * len(content))
        (tmp_path / path.name).write_bytes(content[:size] if "stamps" in path.name else content)
    refused([tmp_path], "found a file that cannot be read at .*stamps-default.*get it again")


def test_a_file_that_is_no_package_is_refused_by_its_path(tmp_path):
    (tmp_path / "notes.txt").write_text("not a package\n" * 100)
    refused([tmp_path / "notes.txt"], "found a file that cannot be read at .*notes.txt")


def test_a_package_without_a_needed_file_is_of_another_version(stamps_package, stamps_root, debs, tmp_path):
    shutil.copytree(debs, tmp_path / "debs")
    (path,) = (tmp_path / "debs").glob("tuxpaint-data*")
    name = "usr/share/tuxpaint/templates/cliff.jpg"
    stamps_package.write_deb(path, "tuxpaint-data", "9", {f"./{name}": (stamps_root / name).read_bytes()})
    refused(
        [tmp_path / "debs"], "expected the files of tuxpaint-data 1:0.9.28-sdl2-1, found no .* and 5 missing in all"
    )


def test_without_python_debian_the_other_way_is_told(debs, monkeypatch):
    monkeypatch.setitem(sys.modules, "debian.debfile", None)
    refused(
        [debs], "expected the Python package python-debian .*pip install python-debian, or unpack it with: dpkg-deb"
    )


def test_a_missing_package_is_named_with_the_command_that_brings_it(tmp_path):
    with pytest.raises(UserError, match="apt-get download tuxpaint-stamps-default"):
        check_root(tmp_path / "nothing")


def test_a_package_of_another_version_is_said_by_the_file_it_lacks(stamps_root, tmp_path):
    shutil.copytree(stamps_root, tmp_path / "old")
    (tmp_path / "old/usr/share/tuxpaint/stamps/animals/birds/owl.ogg").unlink()
    with pytest.raises(UserError, match=r"stamps-default 2022.06.04-1, found no usr\S+owl.ogg and 1 missing in all"):
        check_root(tmp_path / "old")
