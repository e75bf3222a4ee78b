# Keeps one server: arguments are the folder of the programs, then the folders to try as a home.
#
# Commands come on standard input, one a line, and each is answered by one line. The end of the input means that the
# process that wanted the server is gone, however it ended: then the server is stopped and its folder removed.
set -u
umask 077
# The reader of the answers may be gone before this process knows it, and that must not end it uncleaned.
trap '' PIPE

bin=$1
shift
folder=
running=

postmaster() {
    head -n 1 "$folder/data/postmaster.pid" 2>/dev/null
}

# Signals the server until it has ended. One that does not obey within about ten seconds is killed.
halt() {
    [ -n "$running" ] || return 0
    signal=$1
    rounds=0
    until [ -e "$folder/exit" ]; do
        pid=$(postmaster)
        if [ -n "$pid" ]; then
            kill "-$signal" "$pid" 2>/dev/null
            kill -CONT "$pid" 2>/dev/null
        fi
        sleep 0.02
        rounds=$((rounds + 1))
        [ "$rounds" -lt 400 ] || signal=KILL
    done
    wait "$running"
    running=
}

clean() {
    trap '' INT TERM HUP
    halt QUIT
    [ -z "$folder" ] || rm -rf "$folder"
}

for parent; do
    folder=$(mktemp -d "$parent/throwaway-postgres.XXXXXX" 2>/dev/null) && break
    folder=
done
trap clean EXIT
trap 'exit 1' INT TERM HUP
if [ -z "$folder" ]; then
    echo failed
    exit 1
fi
echo "$folder"

while read -r command argument; do
    case $command in
        init)
            # A line with the password follows, empty for none.
            IFS= read -r password
            mkdir "$folder/socket"
            set -- --auth=trust
            if [ -n "$password" ]; then
                printf '%s\n' "$password" >"$folder/password"
                set -- --auth=scram-sha-256 --pwfile="$folder/password"
            fi
            if "$bin/initdb" --pgdata="$folder/data" --username=postgres --locale=C --encoding=UTF8 \
                --no-sync --no-instructions "$@" >>"$folder/log" 2>&1 </dev/null; then
                echo ok
            else
                echo failed
            fi
            rm -f "$folder/password"
            ;;
        start)
            # The server before is known to have ended, so its lock file says nothing any more.
            rm -f "$folder/exit" "$folder/data/postmaster.pid"
            (
                "$bin/postgres" -D "$folder/data" -p "$argument" >>"$folder/log" 2>&1
                echo $? >"$folder/exit"
            ) </dev/null >/dev/null 2>&1 &
            running=$!
            echo ok
            ;;
        signal)
            # The argument is the signal's name and the processes, several words.
            name=${argument%% *}
            for pid in ${argument#* }; do
                kill "-$name" "$pid" 2>/dev/null
            done
            echo ok
            ;;
        halt)
            halt "$argument"
            echo ok
            ;;
        *)
            echo unknown
            ;;
    esac
done
