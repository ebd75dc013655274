#!/bin/sh
# Updates the packages of a stack with the openstack client: gives it a new value, waits, and cancels when it takes too long or when a
# check of yours fails meanwhile. Heat rolls back after a cancel, and after a failure of a server.
#
#   update-packages.sh STACK [VALUE]      VALUE is the present time when it is left out
#
# From the environment: PARAMETER (the stack's parameter for the value, update_after_time), PATIENCE (seconds before it is cancelled,
# 7200), PAUSE (seconds between two looks, 15), CHECK (a shell command that must succeed at each look, such as
# "curl -fsS -m 10 -o /dev/null https://web.example/").
#
# Exit status: 0 updated, 1 failed, cancelled or given up (the stack's status is printed), 2 wrong usage.
# Limits: the servers that are at work when the stack is cancelled come to their end first. A stack that cannot be shown 20 times in a row
# is given up; Heat goes on with what was begun.
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: update-packages.sh STACK [VALUE]" >&2
    exit 2
fi
stack=$1
value=${2:-$(date -u +%Y-%m-%dT%H:%M:%SZ)}
end=$(($(date +%s) + ${PATIENCE:-7200}))

give_up() {
    says=$(openstack stack show -f value -c stack_status -c stack_status_reason "$stack") || says="it cannot be shown"
    echo "$stack is not updated to $value: $says" >&2
    exit 1
}

openstack stack update --existing --rollback enabled --parameter "${PARAMETER:-update_after_time}=$value" -f value -c id "$stack"
cancelled=
failed=
misses=0
while :; do
    sleep "${PAUSE:-15}"
    # The API may be busy for a moment: the next look tells. The stack may also be gone.
    if ! status=$(openstack stack show -f value -c stack_status "$stack"); then
        misses=$((misses + 1))
        [ "$misses" -lt 20 ] || give_up
        continue
    fi
    misses=0
    case $status in
    UPDATE_COMPLETE)
        echo "$stack is updated to $value"
        exit 0
        ;;
    UPDATE_IN_PROGRESS)
        why=
        if [ "$(date +%s)" -ge "$end" ]; then
            why="it has taken more than ${PATIENCE:-7200} s"
        elif ! sh -c "${CHECK:-true}"; then
            why="the check has failed"
        fi
        if [ -n "$why" ] && [ -z "$cancelled" ]; then
            echo "cancelling: $why" >&2
            # It may have ended in this very moment.
            openstack stack cancel "$stack" >/dev/null && cancelled=1
        fi
        ;;
    *_IN_PROGRESS) failed= ;;
    UPDATE_FAILED)
        # So it is called for a moment before the rollback begins, and for good when somebody has cancelled without one.
        [ -z "$failed" ] || give_up
        failed=1
        ;;
    *) give_up ;;
    esac
done
