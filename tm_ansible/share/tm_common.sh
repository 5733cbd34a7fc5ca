# shellcheck shell=sh
# Helper functions for action scripts, as the Storage Guide describes them. Load them with
#
#     . "$ONE_LOCATION/lib/mads/tm_common.sh"      or      . "$TM_COMMON"
#
# exec_and_log takes one command line, as the guide has it: it is split on blanks and
# nothing else, so that no `;`, `$`, `*` or quote in a path is ever acted upon. Given several
# words it runs them as they are, which is the way for names with blanks:
#
#     exec_and_log cp -- "$SRC_PATH" "$DST_PATH"

# log MESSAGE: write a line to the VM's log.
log()
{
    printf '%s\n' "$1"
}

# error_message MESSAGE: give the reason of a failure to oned; the script should then exit.
error_message()
{
    printf '%s\n' 'ERROR MESSAGE --8<------' "$1" 'ERROR MESSAGE ------>8--' >&2
}

# arg_host HOST:PATH: print the host.
arg_host()
{
    case $1 in
    \[*\]:*) tm_host=${1%%]:*} && printf '%s\n' "${tm_host#[}" ;;
    *) printf '%s\n' "${1%%:*}" ;;
    esac
}

# arg_path HOST:PATH: print the path.
arg_path()
{
    case $1 in
    \[*\]:*) printf '%s\n' "${1#*]:}" ;;
    *) printf '%s\n' "${1#*:}" ;;
    esac
}

# exec_and_log COMMAND: run a command and log it; if it fails, report its error and exit.
exec_and_log()
{
    tm_exec_and_log 0 "$@"
}

# timeout_exec_and_log SECONDS COMMAND: the same for a command that may take SECONDS at most.
timeout_exec_and_log()
{
    tm_exec_and_log "$@"
}

tm_exec_and_log()
{
    tm_seconds=$1
    shift
    tm_command=$(unset IFS && printf '%s' "$*")
    if tm_output=$(tm_execute "$tm_seconds" "$@" 2>&1 >/dev/null); then
        log "Executed \"$tm_command\"."
    else
        tm_fail "$?"
    fi
}

# The body is a subshell: the script's own words, IFS and globbing stay as they are.
tm_execute()
(
    seconds=$1
    shift
    if [ $# -eq 1 ]; then
        set -f
        unset IFS
        # shellcheck disable=SC2086 # a command line is to be split
        set -- $1
    fi
    if [ "$seconds" != 0 ]; then
        set -- timeout -k 2 "$seconds" "$@"
    fi
    "$@"
)

tm_fail()
{
    if [ "$tm_seconds" != 0 ] && [ "$1" -eq 124 ]; then
        tm_output="\"$tm_command\" did not end within $tm_seconds s"
    fi
    log "ERROR: Command \"$tm_command\" failed."
    log "ERROR: ${tm_output:=\"$tm_command\" ended with status $1}"
    error_message "$tm_output"
    exit "$1"
}
