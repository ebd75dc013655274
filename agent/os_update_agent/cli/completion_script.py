"""The bash completion, made from the parser that also makes --help; values and keys are asked of the command itself.
Pure.
"""

import argparse
from typing import Iterable, List, Mapping, Sequence

from os_update_agent.cli.manpage import Argument, arguments, verbs

# bash breaks words at colons, which timestamps have, and at equals signs: the word is taken from the line, and what
# stands before the last of them is cut off.
_SCRIPT = """\
# bash completion for os-update-agent; made by "os-update-agent completion bash"
_os_update_agent() {
    local cur=${COMP_LINE:0:COMP_POINT} verb='' previous='' reply count=0
    local -a words config=()
    cur=${cur##*[[:blank:]]}
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [ -z "$cur" ] || unset 'words[-1]'
    for reply in "${words[@]:1}"; do
        [ "$previous" != --config ] || config=(--config "$reply")
        [[ $reply != --config=* ]] || config=("$reply")
        if [ -z "$verb" ]; then
            case $reply in %(verbs)s) verb=$reply ;; esac
        elif [[ $reply != -* ]]; then
            case $previous in %(taking)s) ;; *) count=$((count + 1)) ;; esac
        fi
        previous=$reply
    done
    local words_of='' asks='' files=''
    case $previous in
        %(files)s) files=yes ;;
        --key) asks=keys ;;
        --set)
            case $cur in
                *=*) words_of='%(values)s' ;;
                *) words_of='%(set)s' ;;
            esac
            ;;
%(choices)s
        %(others)s) return ;;
        *)
            if [[ $cur == -* ]]; then
                case $verb in
%(options)s
                esac
            else
                case $verb in
%(positional)s
                esac
            fi
            ;;
    esac
    COMPREPLY=()
    if [ -n "$files" ]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(compgen -f -- "$cur")
    fi
    for reply in $words_of; do
        [[ $reply != "$cur"* ]] || COMPREPLY+=("$reply")
    done
    if [ -n "$asks" ]; then
        while IFS= read -r reply; do
            printf -v reply %%q "$reply"
            [[ $reply != "$cur"* ]] || COMPREPLY+=("$reply")
        done < <("${words[0]}" "${config[@]}" completion "$asks" 2>/dev/null)
    fi
    [[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null
    local start=$cur index
    while [[ -n $start && (${start: -1} != [:=] || $COMP_WORDBREAKS != *"${start: -1}"*) ]]; do start=${start%%?}; done
    for index in "${!COMPREPLY[@]}"; do COMPREPLY[index]=${COMPREPLY[index]#"$start"}; done
}
complete -F _os_update_agent os-update-agent
"""


def script(parser: argparse.ArgumentParser, option_names: Iterable[str], words: Mapping[str, Sequence[str]]) -> str:
    """The completion script. ``option_names`` are those that --set takes, ``words`` the values of those that have only
    some.
    """
    known = verbs(parser)
    own = arguments(parser)
    valued = [one for found in (own, *(verb.options for verb in known)) for one in found if one.metavar]
    taking = {flag for one in valued for flag in one.flags}
    files = {flag for one in valued if one.metavar in ("FILE", "DIR") for flag in one.flags}
    choices = {" | ".join(one.flags): one.choices for one in valued if one.choices}
    others = sorted(taking - files - {flag for one in valued if one.choices for flag in one.flags} - {"--key", "--set"})
    arms = [_arm("''", _flags(own))] + [_arm(verb.name, _flags(verb.options)) for verb in known]
    places = [_arm("''", " ".join(verb.name for verb in known))] + [
        _place(verb.name, verb.positional) for verb in known
    ]
    return _SCRIPT % {
        "verbs": " | ".join(verb.name for verb in known),
        "files": " | ".join(sorted(files)),
        "set": " ".join(f"{name}=" for name in option_names),
        "values": " ".join(f"{name}={word}" for name, known_words in words.items() for word in known_words),
        "choices": "\n".join(f"        {flags}) words_of='{' '.join(found)}' ;;" for flags, found in choices.items()),
        "others": " | ".join(others),
        "taking": " | ".join(sorted(taking)),
        "options": "\n".join(arms),
        "positional": "\n".join(place for place in places if place),
    }


def printable(texts: Iterable[str]) -> List[str]:
    """Those that can stand in a line of their own and be typed."""
    return [text for text in texts if text.isprintable() and text.strip() == text and text]


def _arm(name: str, words: str) -> str:
    return f"                    {name}) words_of='{words}' ;;"


def _place(name: str, positional: Sequence[Argument]) -> str:
    """How the positional arguments of a command complete: by what they are called."""
    if not positional:
        return ""
    names = [argument.metavar for argument in positional]
    condition = f"[ $count -ge {len(positional)} ] || "
    if positional[0].choices:
        return f"                    {name}) {condition}words_of='{' '.join(positional[0].choices)}' ;;"
    if set(names) <= {"VALUE", "A", "B"}:
        now = " words_of=now" if "A" in names else ""
        return f"                    {name}) {condition}{{ asks=values{';' if now else ''}{now}; }} ;;"
    return f"                    {name}) files=yes ;;"


def _flags(found: Sequence[Argument]) -> str:
    return " ".join(["--help", *(flag for argument in found for flag in argument.flags if flag.startswith("--"))])
