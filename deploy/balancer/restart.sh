#!/bin/sh
# restart.sh PORT...: restarts the copies of the service on these ports of this machine one after the other, each when the
# one before answers again (/readyz). A copy that does not come back ends it, and the others stay as they are.
set -eu

for port in "$@"; do
    # RESTART names another way to restart the copy on a port.
    ${RESTART:-systemctl restart} "image-to-text@$port"
    seconds=0
    until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/readyz"; do
        seconds=$((seconds + 1))
        if [ "$seconds" -gt "${PATIENCE:-600}" ]; then
            echo "the copy on port $port does not answer: the others were not restarted" >&2
            exit 1
        fi
        sleep 1
    done
done
