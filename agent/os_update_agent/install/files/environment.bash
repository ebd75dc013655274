export HEAT_CONFIG_NOTIFY=/usr/libexec/os-update-agent/heat-config-notify
