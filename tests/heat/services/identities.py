"""What Heat wants to find in keystone: users, roles, the catalogue, and the domain of the users that Heat makes.

Usage: identities.py KEYSTONE_URL HEAT_URL CFN_URL, as admin with the password "secret".
"""

import sys

from keystoneauth1 import session
from keystoneauth1.identity import v3
from keystoneclient.v3 import client

keystone_url, heat_url, cfn_url = sys.argv[1:4]
login = v3.Password(
    auth_url=keystone_url,
    username="admin",
    password="secret",
    project_name="admin",
    user_domain_id="default",
    project_domain_id="default",
)
keystone = client.Client(session=session.Session(auth=login), endpoint_override=keystone_url)


def user(name: str, domain: object = "default") -> object:
    return keystone.users.create(name, domain=domain, password="secret")


roles = {role.name: role for role in keystone.roles.list()}
for name in ("admin", "member", "service", "heat_stack_owner", "heat_stack_user"):
    roles.setdefault(name, None)
    roles[name] = roles[name] or keystone.roles.create(name)

service, demo = keystone.projects.create("service", "default"), keystone.projects.create("demo", "default")
heat, operator = user("heat"), user("demo")
for name in ("admin", "service"):
    keystone.roles.grant(roles[name], user=heat, project=service)
for name in ("member", "heat_stack_owner"):
    keystone.roles.grant(roles[name], user=operator, project=demo)
domain = keystone.domains.create("heat")
keystone.roles.grant(roles["admin"], user=user("heat_domain_admin", domain), domain=domain)

for name, kind, url in (
    ("heat", "orchestration", f"{heat_url}/v1/%(tenant_id)s"),
    ("heat-cfn", "cloudformation", f"{cfn_url}/v1"),
):
    entry = keystone.services.create(name=name, type=kind)
    for interface in ("public", "internal", "admin"):
        keystone.endpoints.create(entry, url, interface=interface, region="RegionOne")
