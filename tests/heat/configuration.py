"""The configuration files of the lab's keystone and Heat."""

KEYSTONE = """\
[DEFAULT]
log_file = {directory}/log/keystone.log
use_stderr = false
[database]
connection = {database}
[token]
provider = fernet
expiration = 86400
[fernet_tokens]
key_repository = {directory}/etc/keystone/fernet-keys
[fernet_receipts]
key_repository = {directory}/etc/keystone/fernet-keys
[credential]
key_repository = {directory}/etc/keystone/credential-keys
# Minutes that a signed URL, such as that of CFN_SIGNAL, is accepted; keystone's default is 15.
auth_ttl = {auth_ttl}
[identity]
# The lowest cost: a login takes 3 ms instead of 250 ms.
password_hash_rounds = 4
[cache]
enabled = true
backend = oslo_cache.dict
expiration_time = 600
"""

HEAT = """\
[DEFAULT]
log_file = {directory}/log/heat.log
use_stderr = false
host = lab
transport_url = fake:/
auth_encryption_key = 0123456789abcdef0123456789abcdef
environment_dir = {etc}/environment.d
template_dir = {etc}/templates
region_name_for_services = RegionOne
stack_user_domain_name = heat
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = secret
server_keystone_endpoint_type = public
heat_metadata_server_url = {cfn_url}
heat_waitcondition_server_url = {cfn_url}/v1/waitcondition
num_engine_workers = 1
# A resource in progress holds one thread.
executor_thread_pool_size = 64
# Seconds. One process does everything here, so a call may take a while when others have the processors; Heat's own 60 s
# fail the stack.
rpc_response_timeout = 600
periodic_interval = 300
[paste_deploy]
api_paste_config = {etc}/api-paste.ini
[database]
connection = {database}
# MySQL rounds times to whole seconds, up or down; MariaDB would cut them off.
mysql_sql_mode = TRADITIONAL,TIME_ROUND_FRACTIONAL
[oslo_concurrency]
lock_path = {directory}/run
[keystone_authtoken]
www_authenticate_uri = {keystone_url}
{service_user}
project_name = service
project_domain_name = Default
service_token_roles_required = true
[trustee]
auth_type = password
auth_url = {keystone_url}
username = heat
password = secret
user_domain_id = default
[ec2authtoken]
# Without the /v3 of the catalogue: Heat adds /v3/ec2tokens.
endpoint_override = {keystone_root}
region_name = RegionOne
project_name = service
project_domain_name = Default
{service_user}
[clients_keystone]
auth_uri = {keystone_root}
[oslo_policy]
# With the new defaults nobody may poll over the CFN API: it gives the policy an empty target.
enforce_new_defaults = false
"""

SERVICE_USER = """\
auth_type = password
auth_url = {keystone_url}
username = heat
password = secret
user_domain_name = Default"""

OPENRC = """\
export OS_AUTH_URL={keystone_url} OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=RegionOne OS_AUTH_TYPE=password
export OS_USERNAME=demo OS_PASSWORD=secret OS_PROJECT_NAME=demo
export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default
export PATH={bin}:$PATH
"""


def keystone(directory: str, database: str, auth_ttl: int) -> str:
    return KEYSTONE.format(directory=directory, database=database, auth_ttl=auth_ttl)


def heat(directory: str, database: str, etc: str, keystone_root: str, cfn_url: str) -> str:
    """``etc`` is where Heat's package has put its own files."""
    keystone_url = f"{keystone_root}/v3"
    return HEAT.format(
        directory=directory,
        database=database,
        etc=etc,
        keystone_root=keystone_root,
        keystone_url=keystone_url,
        cfn_url=cfn_url,
        service_user=SERVICE_USER.format(keystone_url=keystone_url),
    )


def openrc(keystone_url: str, programs: str) -> str:
    """What a shell has to read before ``openstack``, for the user demo."""
    return OPENRC.format(keystone_url=keystone_url, bin=programs)
