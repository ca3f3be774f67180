#compdef myha
# Completion of the words of myha in zsh.
_myha_completion() {
    local kind word meaning
    local -a response plain described
    (( $+commands[myha] )) || return 1
    response=("${(@f)$(env _MYHA_COMPLETE=zsh_complete COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) myha)}")
    # Of --to=NODE the node is completed, and what stands before it stays.
    [[ $PREFIX == --*=* ]] && compset -P '*='
    for kind word meaning in "${response[@]}"; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain) if [[ $meaning == _ ]]; then plain+=("$word"); else described+=("$word:$meaning"); fi ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described
    (( $#plain )) && compadd -V unsorted -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _myha_completion "$@"
else
    compdef _myha_completion myha
fi
