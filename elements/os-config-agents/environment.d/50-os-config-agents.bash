export DIB_OS_CONFIG_AGENTS_VENV=${DIB_OS_CONFIG_AGENTS_VENV:-/opt/os-config-agents}
export DIB_OS_CONFIG_AGENTS_WHEELS=${DIB_OS_CONFIG_AGENTS_WHEELS:-}
# heat-config's own step installs libraries with pip into the system's Python, which Debian 12 and later refuse (PEP 668).
# There is no install type of this name, so that the step is left out; the packages of this element take its place.
export DIB_INSTALLTYPE_heat_config=${DIB_INSTALLTYPE_heat_config:-from-packages}
export DIB_PYTHON_VERSION=${DIB_PYTHON_VERSION:-3}
if [ -n "$DIB_OS_CONFIG_AGENTS_WHEELS" ]; then
    # Every pip of the build takes the builder's wheels and nothing else. The path is one inside the chroot; what the build host
    # has set for itself is wrong there.
    export PIP_NO_INDEX=1
    export PIP_FIND_LINKS=/tmp/in_target.d/wheels
    unset PIP_CERT PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_CONSTRAINT PIP_REQUIRE_VIRTUALENV PIP_TRUSTED_HOST
fi
export PIP_CONFIG_FILE=/dev/null
export PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_NO_CACHE_DIR=1
export PIP_ROOT_USER_ACTION=ignore
