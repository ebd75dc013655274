# What shtab cannot do, and is therefore written by hand (tests/docs/completion.bash):
# - bash splits words at ":" and "=", so that a timestamp is five words for shtab, and "--set keep=3" three;
# - shtab splits the output of a command at blanks and inserts it unquoted; a recorded value may be any text;
# - shtab knows no completion of OPTION=VALUE in one word.

_os_update_agent_files() { compgen -f -- "$1"; }
_os_update_agent_keys() { _os_update_agent_recorded keys "$1"; }
# Runs have names, too; they are offered to those who begin to type one.
_os_update_agent_values() {
    _os_update_agent_recorded values "$1"
    [[ $1 != r* ]] || _os_update_agent_recorded runs "$1"
}
_os_update_agent_values_and_now() { compgen -W now -- "$1"; _os_update_agent_values "$1"; }
_os_update_agent_assignments() {
    case $1 in
        *=*) compgen -W '@ASSIGNMENTS@' -- "$1" ;;
        *) compgen -W '@OPTIONS@' -- "$1" ;;
    esac
}

# Print the recorded values or keys ($1) that begin with $2, quoted, one per line; config is a local of the caller.
_os_update_agent_recorded() {
    local reply
    while IFS= read -r reply; do
        printf -v reply %q "$reply"
        [[ $reply != "$2"* ]] || printf '%s\n' "$reply"
    done < <("${COMP_WORDS[0]}" "${config[@]}" completion "$1" 2>/dev/null)
}

# Give shtab's function whole words, and readline only the part behind the last ":" or "=" that it split at.
_os_update_agent() {
    local line=${COMP_LINE:0:COMP_POINT} word index start
    local -a words COMP_WORDS=() config=()
    read -ra words <<<"$line"
    [[ $line != *[[:blank:]] ]] || words+=('')
    for word in "${words[@]}"; do
        case $word in
            --*=*) COMP_WORDS+=("${word%%=*}" "${word#*=}") ;;
            *) COMP_WORDS+=("$word") ;;
        esac
    done
    local COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    # shtab's function would never end for the command's own name.
    ((COMP_CWORD > 0)) || return
    for ((index = 1; index < COMP_CWORD; index++)); do
        [[ ${COMP_WORDS[index]} != --config ]] || config=(--config "${COMP_WORDS[index + 1]}")
    done
    _shtab_os_update_agent
    [[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null
    start=${COMP_WORDS[COMP_CWORD]}
    while [[ -n $start && (${start: -1} != [:=] || $COMP_WORDBREAKS != *"${start: -1}"*) ]]; do start=${start%?}; done
    for index in "${!COMPREPLY[@]}"; do COMPREPLY[index]=${COMPREPLY[index]#"$start"}; done
}
complete -F _os_update_agent os-update-agent
