"""Makes the root a node with a history: what an operator and time do to a server."""

import shutil
from typing import Mapping

from os_update_agent.testing.repository import Deb, build
from real.node import Node

# Configuration files that the operator has edited, and the text that was added. Some belong to dpkg (conffiles), some
# to ucf (php.ini, sshd_config) or to a program (ca-certificates.conf). The next release drops or moves some of them.
EDITS: Mapping[str, str] = {
    "/etc/nginx/nginx.conf": "# the operator's line",
    "/etc/nginx/sites-available/default": "# the operator's line",
    "/etc/mysql/mariadb.conf.d/50-server.cnf": "# the operator's line",
    "/etc/bind/named.conf.local": "// the operator's line",
    "/etc/bind/named.conf.options": "// the operator's line",
    "/etc/php/8.2/fpm/php.ini": "; the operator's line",
    "/etc/php/8.2/fpm/pool.d/www.conf": "; the operator's line",
    "/etc/php/8.2/mods-available/opcache.ini": "; the operator's line",
    "/etc/ssh/sshd_config": "# the operator's line",
    "/etc/ssh/ssh_config": "# the operator's line",
    "/etc/sysctl.conf": "net.ipv4.ip_forward = 1",
    "/etc/login.defs": "# the operator's line",
    "/etc/security/limits.conf": "# the operator's line",
    "/etc/pam.d/sshd": "# the operator's line",
    "/etc/logrotate.conf": "# the operator's line",
    "/etc/rsyslog.conf": "# the operator's line",
    "/etc/systemd/journald.conf": "# the operator's line",
    "/etc/initramfs-tools/initramfs.conf": "# the operator's line",
    "/etc/default/ssh": "# the operator's line",
    "/etc/sudoers": "# the operator's line",
    "/etc/bash.bashrc": "# the operator's line",
    "/etc/nanorc": "# the operator's line",
    "/etc/site-tools.conf": "# the operator's line",
    "/etc/site-python.conf": "# the operator's line",
}
# Configuration files that the operator has deleted.
DELETED = ("/etc/cron.daily/man-db", "/etc/update-motd.d/10-uname")
HELD = ("tzdata", "rsync")

TOOLS = Deb(
    "site-tools",
    "1.0",
    fields={"Depends": "openssl", "Maintainer": "Site <root@localhost>"},
    files={"usr/bin/site-tool": "#!/bin/sh\necho tool\n", "etc/site-tools.conf": "a = 1\n"},
    links={"usr/bin/site-link": "site-tool"},
    conffiles=["etc/site-tools.conf"],
    scripts={
        "preinst": "dpkg-divert --package site-tools --rename --divert /usr/bin/lessecho.site --add /usr/bin/lessecho",
        "postinst": "update-alternatives --install /usr/bin/site site /usr/bin/site-tool 10",
        "prerm": '[ "$1" != remove ] || update-alternatives --remove site /usr/bin/site-tool',
        "postrm": '[ "$1" != remove ] || dpkg-divert --package site-tools --rename --remove /usr/bin/lessecho',
    },
)
# The next release has a newer Python: the package has to leave, no repository has it, and it has to return.
PYTHON = Deb(
    "site-python",
    "2.0",
    fields={"Depends": "python3 (<< 3.12)", "Maintainer": "Site <root@localhost>"},
    files={"usr/lib/site-python/tool.py": "print('tool')\n", "etc/site-python.conf": "b = 1\n"},
    conffiles=["etc/site-python.conf"],
)
SCRIPT = """\
set -e
dpkg -i /srv/debs/*.deb
useradd --create-home --shell /bin/bash webmaster
apt-mark hold {held}
apt-mark auto site-tools
# Removed, not purged: its edited configuration file stays.
apt-get -q -y remove nano
update-alternatives --set pager /bin/more
update-alternatives --set awk /usr/bin/mawk
dpkg-divert --local --rename --divert /usr/bin/wget.real --add /usr/bin/wget
printf '#!/bin/sh\\nexec wget.real --no-verbose "$@"\\n' > /usr/bin/wget
chmod 755 /usr/bin/wget
dpkg-statoverride --update --add root adm 0750 /usr/bin/openssl
sed -i 's,^mozilla/ISRG_Root_X2.crt,!&,' /etc/ca-certificates.conf
mkdir -p /usr/local/share/ca-certificates
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=site -keyout /root/site.key \\
    -out /usr/local/share/ca-certificates/site.crt 2>/dev/null
update-ca-certificates
echo '* * * * * true' > /var/spool/cron/crontabs/webmaster
echo page > /var/www/html/index.html
""".format(held=" ".join(HELD))


def age(node: Node) -> None:
    """Edit, hold, divert, remove and add. Raises RuntimeError if a command fails."""
    debs = node.root / "srv/debs"
    for deb in (TOOLS, PYTHON):
        build(deb, debs)
    node.chroot("sh", "-c", SCRIPT)
    shutil.rmtree(debs)
    for path, line in EDITS.items():
        with (node.root / path.lstrip("/")).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    for path in DELETED:
        (node.root / path.lstrip("/")).unlink()
