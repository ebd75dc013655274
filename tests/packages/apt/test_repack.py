import os
import shutil
import stat
import tempfile
import traceback
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.packages.apt.dpkg_files import parse_conffiles, parse_diversions
from os_update_agent.packages.apt.repack import without_dpkg_fields
from packages.apt.dpkgroot import Root, call

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def contents(deb: Path) -> List[str]:
    """Modes, owners, sizes, names and links of a package's files, without the times that links get when they are
    made.
    """
    rows = (line.split(None, 5) for line in call("dpkg-deb", "--contents", str(deb)).splitlines())
    return sorted(f"{mode} {owner} {size if mode[0] == '-' else ''} {name}" for mode, owner, size, _, _, name in rows)


def control(deb: Path, directory: Path) -> Dict[str, str]:
    """The control files with their modes, without the digests that dpkg makes itself; the order of the fields does not
    count.
    """
    shutil.rmtree(directory, ignore_errors=True)
    call("dpkg-deb", "--control", str(deb), str(directory))
    found = {}
    for path in directory.iterdir():
        text = path.read_text(encoding="utf-8")
        if path.name == "control":
            text = "\n".join(sorted(text.splitlines()))
        if path.name != "md5sums":
            found[path.name] = f"{stat.S_IMODE(path.stat().st_mode):o} {text}"
    return found


def test_a_repacked_package_is_the_original_in_all_that_dpkg_sees(root: Root) -> None:
    files = {
        "/usr/share/app/data": "data\n",
        "/usr/share/app/link": "->data",
        "/usr/share/app/ä ü": "blank\n",
        "/usr/bin/app": "#!/bin/sh\n",
        "/etc/app.conf": "a=1\n",
        "/var/lib/app/empty/.keep": "",
    }
    scripts = {name: "#!/bin/sh\nexit 0\n" for name in ("preinst", "postinst", "prerm", "postrm")}
    extra = "Section: misc\nPriority: optional\nBuilt-Using: lab (= 1)\n"
    original = root.build(
        "app",
        "1:1.0~rc1-1",
        files,
        extra=extra,
        conffiles="/etc/app.conf\n",
        triggers="interest-noawait lab\n",
        **scripts,
    )
    root.install(original)
    before = root.record("app")
    copy = root.repack("app", "1:1.0~rc1-1")
    assert copy == root.out / "app_1%3a1.0~rc1-1_all.deb"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert control(copy, root.base / "a") == control(original, root.base / "b")
    assert contents(copy) == contents(original)
    root.install(copy)
    assert root.record("app") == before
    assert root.text("/usr/share/app/ä ü") == "blank\n"
    assert os.readlink(root.path / "usr/share/app/link") == "data"


def test_nothing_is_left_beside_the_package_and_nothing_changes_at_the_originals(root: Root) -> None:
    root.install(root.build("app", "1.0", {"/usr/bin/app": "x\n", "/usr/share/app/secret": "s\n"}))
    (root.path / "usr/bin/app").chmod(0o4711)
    (root.path / "usr/share/app/secret").chmod(0o600)
    paths = [path for path in sorted(root.path.rglob("*")) if path.is_file()]
    before = [
        (path, path.stat().st_mode, path.stat().st_uid, path.stat().st_nlink, path.stat().st_mtime_ns) for path in paths
    ]
    copy = root.repack("app", "1.0")
    assert [
        (path, path.stat().st_mode, path.stat().st_uid, path.stat().st_nlink, path.stat().st_mtime_ns) for path in paths
    ] == before
    assert list(root.out.iterdir()) == [copy]
    listing = call("dpkg-deb", "--contents", str(copy))
    assert "-rws--x--x" in listing
    assert "-rw-------" in listing


def test_files_of_another_filesystem_are_copied_with_their_modes(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    original = root.build("app", "1.0", {"/usr/bin/app": "x\n", "/usr/bin/same": "y\n"})
    root.install(original)
    (root.path / "usr/bin/app").chmod(0o4755)
    (root.path / "usr/bin/same").unlink()
    os.link(root.path / "usr/bin/app", root.path / "usr/bin/same")
    linked = contents(root.repack("app", "1.0"))
    real_link = os.link

    def refuse(source: "os.PathLike[str]", target: "os.PathLike[str]") -> None:
        if str(source).startswith(str(root.path)):
            raise OSError(18, "Invalid cross-device link")
        real_link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    assert contents(root.repack("app", "1.0")) == linked
    assert any("-rwsr-xr-x" in row for row in linked)
    assert any("link to" in row for row in linked)


def test_hard_links_inside_a_package_stay_hard_links(root: Root) -> None:
    deb = root.build("app", "1.0", {"/usr/bin/app": "x\n"})
    os.link(root.base / "build-app-1.0/usr/bin/app", root.base / "build-app-1.0/usr/bin/other")
    call("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root.base / "build-app-1.0"), str(deb))
    root.install(deb)
    root.install(root.repack("app", "1.0"))
    assert (root.path / "usr/bin/app").stat().st_ino == (root.path / "usr/bin/other").stat().st_ino


def test_an_edited_configuration_file_is_packed_as_it_is_and_comes_through_a_round_trip(root: Root) -> None:
    root.install(root.build("app", "1.0", {"/etc/app.conf": "a=1\n"}, conffiles="/etc/app.conf\n"))
    (root.path / "etc/app.conf").write_text("a=mine\n", encoding="utf-8")
    copy = root.repack("app", "1.0")
    root.install(root.build("app", "2.0", {"/etc/app.conf": "a=2\n"}, conffiles="/etc/app.conf\n"))
    assert root.text("/etc/app.conf") == "a=mine\n"
    root.install(copy)
    assert root.text("/etc/app.conf") == "a=mine\n"
    assert "app all 1.0 installed" in root.record("app")


def test_a_configuration_file_that_is_a_link_is_packed_with_its_text(root: Root) -> None:
    root.install(root.build("app", "1.0", {"/etc/app.conf": "a=1\n"}, conffiles="/etc/app.conf\n"))
    (root.path / "srv").mkdir()
    (root.path / "etc/app.conf").rename(root.path / "srv/app.conf")
    (root.path / "etc/app.conf").symlink_to("/srv/app.conf")
    assert any(row.startswith("-") and row.endswith("./etc/app.conf") for row in contents(root.repack("app", "1.0")))


def test_a_deleted_configuration_file_stays_deleted(root: Root) -> None:
    root.install(
        root.build("app", "1.0", {"/etc/app.conf": "a=1\n", "/usr/bin/app": "x\n"}, conffiles="/etc/app.conf\n")
    )
    (root.path / "etc/app.conf").unlink()
    root.install(root.repack("app", "1.0"))
    assert not (root.path / "etc/app.conf").exists()


def test_a_configuration_file_of_an_earlier_version_is_not_packed(root: Root) -> None:
    root.install(
        root.build(
            "app",
            "1.0",
            {"/etc/app.conf": "a=1\n", "/etc/old.conf": "o=1\n"},
            conffiles="/etc/app.conf\n/etc/old.conf\n",
        )
    )
    root.install(root.build("app", "2.0", {"/etc/app.conf": "a=2\n"}, conffiles="/etc/app.conf\n"))
    assert "/etc/old.conf" in root.record("app")
    copy = root.repack("app", "2.0")
    assert not any("old.conf" in row for row in contents(copy))
    root.install(copy)
    assert root.text("/etc/old.conf") == "o=1\n"


def test_directories_that_the_system_has_merged_are_packed_as_directories(root: Root) -> None:
    (root.path / "usr/lib").mkdir(parents=True)
    (root.path / "lib").symlink_to("usr/lib")
    (root.path / "data/www").mkdir(parents=True)
    (root.path / "var/www").symlink_to("/data/www")
    original = root.build("app", "1.0", {"/lib/app/a.so": "so\n", "/var/www/index": "hello\n"})
    root.install(original)
    assert root.text("/usr/lib/app/a.so") == "so\n"
    if (root.path / "data/www/index").exists() is False:  # dpkg follows the link on the machine's own root
        (root.path / "data/www/index").write_text("hello\n", encoding="utf-8")
    copy = root.repack("app", "1.0")
    assert contents(copy) == contents(original)


def test_an_empty_directory_that_the_system_has_merged_is_packed_as_a_directory(root: Root) -> None:
    (root.path / "usr/bin").mkdir(parents=True)
    (root.path / "bin").symlink_to("usr/bin")
    original = root.build("base", "1.0", {"/bin/x": "x\n"})
    (root.base / "build-base-1.0/bin/x").unlink()
    call("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root.base / "build-base-1.0"), str(original))
    root.install(original)
    root.install(root.repack("base", "1.0"))
    assert os.readlink(root.path / "bin") == "usr/bin"


def test_a_diverted_file_is_packed_from_where_it_is_and_by_its_own_name(root: Root) -> None:
    root.install(root.build("dash", "1.0", {"/usr/bin/sh": "dash\n"}))
    divert = ["--admindir", str(root.path / "var/lib/dpkg"), "--instdir", str(root.path), "--rename"]
    call("dpkg-divert", *divert, "--package", "bash", "--divert", "/usr/bin/sh.distrib", "--add", "/usr/bin/sh")
    root.install(root.build("bash", "1.0", {"/usr/bin/sh": "bash\n"}))
    assert root.text("/usr/bin/sh.distrib") == "dash\n"
    for name in ("dash", "bash"):
        call("dpkg-deb", "-x", str(root.repack(name, "1.0")), str(root.base / name))
        assert (root.base / name / "usr/bin/sh").read_text(encoding="utf-8") == f"{name}\n"


def test_a_package_for_several_architectures_has_its_own_control_files(root: Root) -> None:
    extra = "Multi-Arch: same\n"
    original = root.build(
        "lib", "1.0", {"/usr/lib/lib.so": "so\n"}, arch=root.arch, extra=extra, postinst="#!/bin/sh\n"
    )
    root.install(original)
    assert (root.path / f"var/lib/dpkg/info/lib:{root.arch}.list").exists()
    copy = root.repack("lib", "1.0", root.arch)
    assert copy.name == f"lib_1.0_{root.arch}.deb"
    assert control(copy, root.base / "a") == control(original, root.base / "b")


def test_a_package_whose_name_begins_alike_lends_no_control_files(root: Root) -> None:
    root.install(root.build("python3.11", "1.0", {"/usr/bin/python3.11": "x\n"}, postinst="#!/bin/sh\nexit 0\n"))
    root.install(root.build("python3", "1.0", {"/usr/bin/python3": "x\n"}))
    assert set(control(root.repack("python3", "1.0"), root.base / "a")) == {"control"}


@pytest.mark.parametrize(
    "path", ["/usr/share/doc/app/copyright", "/usr/share/man/man1/app.1", "/usr/share/locale/de/app.mo"]
)
def test_documentation_that_an_image_leaves_out_is_not_missed(path: str, root: Root) -> None:
    root.install(root.build("app", "1.0", {path: "x\n", "/usr/bin/app": "x\n"}))
    (root.path / path.lstrip("/")).unlink()
    assert not any(row.endswith(path) for row in contents(root.repack("app", "1.0")))


def test_a_missing_file_is_named_and_leaves_nothing_behind(root: Root) -> None:
    root.install(root.build("app", "1.0", {"/usr/bin/app": "x\n", "/usr/lib/app": "x\n"}))
    (root.path / "usr/bin/app").unlink()
    (root.path / "usr/lib/app").unlink()
    with pytest.raises(PackageError, match=r"app:all 1\.0 cannot be packed again: /usr/bin/app is missing"):
        root.repack("app", "1.0")
    assert list(root.out.iterdir()) == []


def test_another_version_than_the_installed_one_cannot_be_packed(root: Root) -> None:
    root.install(root.build("app", "2.0", {"/usr/bin/app": "x\n"}))
    with pytest.raises(PackageError, match=r"app:all 1\.0 cannot be packed again: it is not what is installed"):
        root.repack("app", "1.0")


def test_a_removed_package_cannot_be_packed(root: Root) -> None:
    root.install(root.build("app", "1.0", {"/etc/app.conf": "x\n"}, conffiles="/etc/app.conf\n"))
    root.dpkg("--remove", "app")
    with pytest.raises(PackageError, match="it is not what is installed"):
        root.repack("app", "1.0")
    with pytest.raises(PackageError, match=r"nosuch:all 1\.0 cannot be packed again: "):
        root.repack("nosuch", "1.0")


def test_links_in_a_circle_are_an_error_and_no_endless_loop(root: Root) -> None:
    root.install(root.build("app", "1.0", {"/srv/a/x": "x\n"}))
    shutil.rmtree(root.path / "srv/a")
    (root.path / "srv/a").symlink_to("b")
    (root.path / "srv/b").symlink_to("a")
    with pytest.raises(PackageError, match="too many links"):
        root.repack("app", "1.0")


def test_a_link_out_of_a_private_root_stays_inside(root: Root) -> None:
    (root.path / "run").mkdir()
    root.install(root.build("app", "1.0", {"/var/run/app/x": "x\n"}))
    (root.path / "var/run/app").rename(root.path / "run/app")
    (root.path / "var/run").rmdir()
    (root.path / "var/run").symlink_to("/run")
    call("dpkg-deb", "-x", str(root.repack("app", "1.0")), str(root.base / "x"))
    assert (root.base / "x/var/run/app/x").read_text(encoding="utf-8") == "x\n"


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that also an unprivileged user can reach."""
    path = Path(tempfile.mkdtemp(prefix="repack-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def as_plain_user(work: Callable[[], object]) -> None:
    """Do the work in a child without root's rights, which need not be able to reach the interpreter that runs the
    tests.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_plain_user_can_pack_what_he_may_read(public: Path) -> None:
    root = Root(public)
    original = root.build("app", "1:1.0", {"/usr/bin/app": "x\n", "/etc/app.conf": "a\n"}, conffiles="/etc/app.conf\n")
    root.install(original)
    (root.path / "usr/bin").chmod(0o555)
    if os.geteuid() == 0:  # so that there are a file of his own, which can be linked, and one of root's
        os.chown(root.path / "etc/app.conf", NOBODY, NOBODY)
        os.chown(root.out, NOBODY, NOBODY)
    as_plain_user(lambda: root.repack("app", "1:1.0"))
    (copy,) = root.out.iterdir()
    (root.path / "usr/bin").chmod(0o755)
    assert contents(copy) == contents(original)
    root.install(copy)
    assert root.text("/usr/bin/app") == "x\n"


def test_a_plain_user_is_told_which_file_he_may_not_read(public: Path) -> None:
    root = Root(public)
    root.install(root.build("app", "1.0", {"/usr/bin/app": "x\n"}))
    (root.path / "usr/bin/app").chmod(0o000)
    if os.geteuid() == 0:
        os.chown(root.out, NOBODY, NOBODY)

    def refused() -> None:
        with pytest.raises(PackageError, match=r"app:all 1\.0 cannot be packed again: .*usr/bin/app"):
            root.repack("app", "1.0")

    as_plain_user(refused)
    assert list(root.out.iterdir()) == []


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        (
            "Package: app\nStatus: install ok installed\nVersion: 1\n"
            "Conffiles:\n /etc/a d41d8cd98f00b204e9800998ecf8427e\n /etc/b newconffile\n"
            "Description: x\n Status: of the text\nConfig-Version: 0\nTriggers-Awaited: lab\n\n",
            "Package: app\nVersion: 1\nDescription: x\n Status: of the text\n",
        ),
        ("Package: app\nTriggers-Pending: a b\nStatus-Lab: kept", "Package: app\nStatus-Lab: kept\n"),
    ],
)
def test_the_fields_that_dpkg_has_added_are_left_out(record: str, kept: str) -> None:
    assert without_dpkg_fields(record) == kept


def test_configuration_files_are_current_or_obsolete() -> None:
    text = (
        "\n /etc/a b d41d8cd98f00b204e9800998ecf8427e\n /etc/c newconffile\n"
        " /etc/old d41d8cd98f00b204e9800998ecf8427e obsolete\n /etc/gone newconffile remove-on-upgrade\n\n"
    )
    assert parse_conffiles(text) == (frozenset({"/etc/a b", "/etc/c"}), frozenset({"/etc/old", "/etc/gone"}))
    assert parse_conffiles("\n") == (frozenset(), frozenset())
    with pytest.raises(PackageError, match="in an unknown way"):
        parse_conffiles(" /etc/a\n")


@pytest.mark.parametrize(
    ("name", "moved"), [("coreutils", {"/bin/sh": "/bin/sh.distrib", "/x": "/y"}), ("dash", {"/x": "/y"}), (None, {})]
)
def test_everybody_but_the_diverting_package_is_diverted(name: Optional[str], moved: Dict[str, str]) -> None:
    text = "/bin/sh\n/bin/sh.distrib\ndash\n/x\n/y\n:\n" if name else ""
    assert parse_diversions(text, name or "any") == moved
