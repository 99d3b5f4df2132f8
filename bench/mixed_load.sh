#!/bin/bash
# A broker under a mixed load for a long time, at a low rate: does its memory, its disk or its number of descriptors
# grow? A line every ten seconds goes to DIRECTORY/samples.tsv; in the end their slopes are printed.
#
#     bench/mixed_load.sh DIRECTORY SECONDS [PROGRAMS]
#
# PROGRAMS is where haremq and haremq-perf are (target/release). The load: 100/s of persistent 1 KiB with confirms and
# acks; 150/s of transient 256 B; 8/s of 16 KiB into a queue of at most 2000 that nobody reads; 40/s of 1 KiB into a queue
# that nobody reads and in which they expire after 30 s; every minute 200 durable queues, declared and deleted, and 100
# connections.
set -euo pipefail
directory=$1 seconds=$2 programs=${3:-target/release}
mkdir -p "$directory"
"$programs/haremq" --listen 127.0.0.1:0 --management 127.0.0.1:0 --data-dir "$directory/data" --shards 2 \
    --segment-bytes 8388608 >"$directory/broker.log" 2>&1 &
broker=$!
children=()
trap 'kill "$broker" "${children[@]}" 2>/dev/null || true' EXIT
for _ in $(seq 300); do
    grep -q '^  recovered ' "$directory/broker.log" && break
    sleep 0.1
done
amqp=$(sed -n 's/^  AMQP  *.*\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$directory/broker.log")
management=$(sed -n 's/^  management .*\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$directory/broker.log")
uri="amqp://guest:guest@$amqp/%2f"

load() { # name, options
    local name=$1
    shift
    "$programs/haremq-perf" throughput -u "$uri" --quiet --busy-wait 0 -z "${seconds}s" --json "$directory/$name.json" \
        "$@" >"$directory/$name.log" 2>&1 &
    children+=($!)
}
load persistent -p -c 100 -a 1 -s 1KiB -r 100 --verify-order
load transient -s 256 -r 150 --verify-order
load length -p -c 100 -y 0 -s 16KiB -r 8 --no-verify --queue-argument x-max-length=2000
load expiry -p -c 100 -y 0 -s 1KiB -r 40 --no-verify --queue-argument x-message-ttl=30000

ask() {
    curl -sf -u guest:guest "http://$management/api/haremq/$1" | tr -d '\n'
}

printf 'seconds\trss_kib\tanon_kib\tdescriptors\tdisk_kib\tcpu_ms\n' >"$directory/samples.tsv"
start=$SECONDS next=0 minute=0
while [ $((SECONDS - start)) -lt "$seconds" ]; do
    if [ $((SECONDS - start)) -ge $((minute * 60)) ]; then
        minute=$((minute + 1))
        "$programs/haremq-perf" queues -u "$uri" -n 200 --quiet >>"$directory/queues.log" 2>&1 || true
        "$programs/haremq-perf" connections -u "$uri" -n 100 --idle 0s --quiet >>"$directory/connections.log" 2>&1 || true
        printf '%d\t%s\t%s\n' $((SECONDS - start)) "$(ask status)" "$(ask storage)" >>"$directory/status.tsv"
    fi
    rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$broker/status")
    anon=$(awk '/^RssAnon/ { print $2 }' "/proc/$broker/status")
    descriptors=$(find "/proc/$broker/fd" -mindepth 1 2>/dev/null | wc -l)
    disk=$(du -sk "$directory/data" 2>/dev/null | cut -f1)
    cpu=$(awk '{ print ($14 + $15) * 10 }' "/proc/$broker/stat")
    printf '%d\t%d\t%d\t%d\t%d\t%d\n' $((SECONDS - start)) "$rss" "$anon" "$descriptors" "$disk" "$cpu" \
        >>"$directory/samples.tsv"
    next=$((next + 10))
    wait=$((start + next - SECONDS))
    if [ "$wait" -gt 0 ]; then sleep "$wait"; fi
done
wait "${children[@]}" || true
tail -n 3 "$directory"/{persistent,transient,length,expiry}.log
stopped=$(date +%s%N)
kill -TERM "$broker"
wait "$broker"
echo "stopped in $((($(date +%s%N) - stopped) / 1000000)) ms"
trap - EXIT

# Slopes by least squares, over all that came after the first fifth and over the last half.
for part in 0.2 0.5; do
    awk -F '\t' -v from="$part" -v end="$seconds" '
        NR == 1 { for (field = 2; field <= NF; field++) name[field] = $field; next }
        $1 >= from * end {
            n++; x += $1; xx += $1 * $1
            for (field = 2; field <= 5; field++) {
                y[field] += $field; xy[field] += $1 * $field
                if (n == 1 || $field < least[field]) least[field] = $field
                if (n == 1 || $field > most[field]) most[field] = $field
            }
        }
        END {
            for (field = 2; field <= 5; field++) {
                slope = (n * xy[field] - x * y[field]) / (n * xx - x * x) * 3600
                printf "from %d s on, %d samples: %s %d to %d, mean %d, slope %+.0f an hour\n", \
                    from * end, n, name[field], least[field], most[field], y[field] / n, slope
            }
        }' "$directory/samples.tsv"
done
