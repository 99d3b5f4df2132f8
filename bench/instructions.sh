#!/bin/sh
# Instructions per message of the hot paths, counted by callgrind: the same on a busy machine as on a quiet one, so
# that a change shows. Each path is run twice, N and 2N turns, and the difference is divided by the messages: what it
# takes to begin does not count.
#
#     bench/instructions.sh [PATH...]
set -eu
cd "$(dirname "$0")/.."

bench() { # package: its hot_paths program
    cargo bench -q --no-run -p "$1" --bench hot_paths --message-format=json |
        sed -n 's/.*"name":"hot_paths".*"executable":"\([^"]*\)".*/\1/p' | tail -1
}

count() { # program path turns
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 | awk '/Collected/ { print $NF }'
}

measure() { # package, messages per turn, turns, wanted paths
    program=$(bench "$1")
    for path in $("$program"); do
        case " $4 " in "  " | *" $path "*) ;; *) continue ;; esac
        once=$(count "$program" "$path" "$3")
        twice=$(count "$program" "$path" $(($3 * 2)))
        printf '%-28s %8d\n' "$path" $(((twice - once) / ($3 * $2)))
    done
}

measure haremq-engine 64 2000 "$*"
measure haremq 1000 20 "$*"
