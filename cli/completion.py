"""``vm-preflight completion SHELL``: the script by which a shell asks `cli.completing` how a word goes on."""

from collections.abc import Sequence

from cli.options import Parser, UsageError

BASH = r"""# bash completion of vm-preflight: source it.
_vm_preflight() {
    local line directive=0
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :*) directive=${line#:} ;;
        *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    case $directive in
    0) compopt -o default ;;
    16) compopt -o dirnames ;;
    esac
}
complete -F _vm_preflight vm-preflight
"""

ZSH = r"""#compdef vm-preflight
# zsh completion of vm-preflight: source it after compinit, or call it _vm-preflight in a directory of $fpath.
_vm_preflight() {
    local -a candidates
    local line directive=0
    while IFS= read -r line; do
        case $line in
        :*) directive=${line#:} ;;
        *) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done < <(${(Q)words[1]} __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    [[ $words[CURRENT] == -*=* ]] && compset -P '*='
    case $directive in
    0) _files ;;
    16) _files -/ ;;
    *) _describe -t vm-preflight vm-preflight candidates ;;
    esac
}
if [[ $funcstack[1] == _vm-preflight ]]; then
    _vm_preflight
else
    compdef _vm_preflight vm-preflight
fi
"""

FISH = r"""# fish completion of vm-preflight: call it vm-preflight.fish in ~/.config/fish/completions.
function __vm_preflight
    set -l before (commandline -opc)
    set -l last (commandline -ct)
    set -l lines ($before[1] __complete $before[2..] "$last" 2>/dev/null)
    set -l option (string match -r -- '^-[^=]*=' "$last")
    switch $lines[-1]
        case :0
            printf '%s\n' "$option"(__fish_complete_path (string replace -r -- '^-[^=]*=' '' "$last"))
        case :16
            printf '%s\n' "$option"(__fish_complete_directories (string replace -r -- '^-[^=]*=' '' "$last"))
        case '*'
            printf '%s\n' "$option"$lines[1..-2]
    end
end
complete -c vm-preflight -f -a '(__vm_preflight)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def main(program: str, words: Sequence[str]) -> int:
    """Prints a shell's script.

    Raises:
        UsageError: There is none for that shell.
    """
    parser = Parser(
        program, "Prints what makes a shell complete the words of this program (docs/kubectl.md)."
    )
    parser.add_argument("shell", metavar="|".join(SCRIPTS))
    options = parser.parse_args(words)
    if options.shell not in SCRIPTS:
        raise UsageError(f"{options.shell!r} is not one of {', '.join(SCRIPTS)}")
    print(SCRIPTS[options.shell], end="")
    return 0
