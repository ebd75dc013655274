"""dpkg's status file as it will be."""

from os_update_agent.packages.apt.made_up import status_after

STATUS = """\
Package: app
Status: install ok installed
Version: 1
Architecture: amd64
Description: one
 Package: not a field

Package: lib
Status: install ok installed
Architecture: i386
Version: 1

Package: lib
Status: install ok installed
Architecture: amd64
Version: 1

Package: doc
Status: deinstall ok config-files
Version: 1
Architecture: all

"""


def test_what_comes_takes_the_place_of_its_name_and_architecture() -> None:
    new = "Package: app\nVersion: 2\nArchitecture: all\nDescription: two\n more\n"
    assert status_after(STATUS, [("lib", ""), ("doc", "")], [new], "amd64") == (
        "Package: lib\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\n\n"
        "Package: app\nVersion: 2\nArchitecture: all\nDescription: two\n more\nStatus: install ok installed\n\n"
    )


def test_nothing_changes_without_a_change() -> None:
    assert status_after(STATUS, [], [], "amd64") == STATUS
