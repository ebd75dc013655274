"""The bash completion, made from the parser that also makes --help; values and keys are asked of the command itself. Pure."""

import argparse
from typing import Iterable, List, Sequence

from os_update_agent.manual import Argument, arguments, verbs

# bash breaks words at colons, which timestamps have: the word is taken from the line, and what stands before its last colon is cut off.
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
        if [ -z "$verb" ]; then
            case $reply in %(verbs)s) verb=$reply ;; esac
        elif [[ $reply != -* ]]; then
            case $previous in %(taking)s) ;; *) count=$((count + 1)) ;; esac
        fi
        previous=$reply
    done
    local words_of='' asks='' files=''
    case $previous in
        --config | --directory) files=yes ;;
        --key) asks=keys ;;
        --set) words_of='%(set)s' ;;
        --select) words_of='all security' ;;
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
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        local colon=${cur%%"${cur##*:}"} index
        for index in "${!COMPREPLY[@]}"; do COMPREPLY[index]=${COMPREPLY[index]#"$colon"}; done
    fi
}
complete -F _os_update_agent os-update-agent
"""


def script(parser: argparse.ArgumentParser, option_names: Iterable[str]) -> str:
    """The completion script. ``option_names`` are those that --set takes."""
    known = verbs(parser)
    own = arguments(parser)
    taking = {flag for found in (own, *(verb.options for verb in known)) for flag in _taking_a_value(found)}
    others = sorted(taking - {"--config", "--directory", "--key", "--set", "--select"})
    arms = [_arm("''", _flags(own))] + [_arm(verb.name, _flags(verb.options)) for verb in known]
    places = [_arm("''", " ".join(verb.name for verb in known))] + [_place(verb.name, verb.positional) for verb in known]
    return _SCRIPT % {
        "verbs": " | ".join(verb.name for verb in known),
        "set": " ".join(f"{name}=" for name in option_names),
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


def _taking_a_value(found: Sequence[Argument]) -> List[str]:
    return [flag for argument in found if argument.metavar for flag in argument.flags]
