#!/usr/bin/env bash
# Runs every test of the workspace. Sets up what they need; arguments go to cargo test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Client programs in Python are run against the broker, from virtual environments that the tests make themselves.
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "test.sh: python3 with its module venv is needed; on Debian: apt-get install python3 python3-venv" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv
fi

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --workspace --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?

# The runner prints one summary per test binary; this is their sum.
awk '
    /^test result: / {
        for (field = 1; field <= NF; field++) {
            if ($field ~ /^passed/) passed += $(field - 1)
            if ($field ~ /^failed/) failed += $(field - 1)
        }
    }
    END { printf "%d passed, %d failed\n", passed, failed }
' "$output"
exit "$status"
