#!/usr/bin/env bash
# Runs every test of the workspace. Sets up what they need; arguments go to cargo test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Client programs in Python and JavaScript are run against the broker; the tests install the client libraries
# themselves, below target/. What they need for that:
missing=()
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
command -v node >/dev/null && command -v npm >/dev/null || missing+=(nodejs npm)
if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "test.sh: needed for the tests and not there; on Debian: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
fi

# Power cuts and failing disks are tested on file systems of our own; without them those tests are skipped.
if ! command -v mkfs.ext4 >/dev/null || ! command -v losetup >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq e2fsprogs mount util-linux
    fi
fi

# Clocks are set by a library that tells a program another time; without it that test is skipped.
if ! compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libfaketime || true
    fi
fi

# Power cuts are tried under another kernel as well, which runs as a process; without it that test is skipped.
if ! command -v linux.uml >/dev/null || ! command -v insmod >/dev/null || ! command -v dmsetup >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        # Old lists name packages that are not there any more.
        apt-get update -qq || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            user-mode-linux kmod dmsetup iproute2 || true
    fi
fi

# A full disk shows as failing tests of all kinds.
free_mb=$(df --output=avail -m . | tail -1)
built_mb=$(du -sm target 2>/dev/null | cut -f1 || true)
if [ "$((free_mb + ${built_mb:-0}))" -lt 6000 ]; then
    echo "test.sh: only $free_mb MB are free here; what the tests build (target/) and write takes up to 6 GB" >&2
fi

output=$(mktemp)
# A test that finds that it cannot run here adds a line.
HAREMQ_TESTS_SKIPPED=$(mktemp)
export HAREMQ_TESTS_SKIPPED
trap 'rm -f "$output" "$HAREMQ_TESTS_SKIPPED"' EXIT
status=0
cargo test --workspace --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?
# The rings under a model checker, with crates of its own.
CARGO_TARGET_DIR=target/model cargo test --manifest-path server/model/Cargo.toml 2>&1 | tee -a "$output" || status=$?

# The runner prints one summary per test binary; this is their sum.
sort -u "$HAREMQ_TESTS_SKIPPED" >&2
skipped=$(sort -u "$HAREMQ_TESTS_SKIPPED" | wc -l)
awk -v skipped="$skipped" '
    /^test result: / {
        for (field = 1; field <= NF; field++) {
            if ($field ~ /^passed/) passed += $(field - 1)
            if ($field ~ /^failed/) failed += $(field - 1)
        }
    }
    END { printf "%d passed, %d failed, %d skipped\n", passed - skipped, failed, skipped }
' "$output"
exit "$status"
