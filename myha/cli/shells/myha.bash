# Completion of the words of myha in bash.
_myha_completion() {
    # Of the line and not of COMP_WORDS: bash has broken those at = and :, as in --to=NODE.
    local line=${COMP_LINE:0:COMP_POINT} kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value%%$'\t'*}") ;;
        esac
    done < <(env _MYHA_COMPLETE=fish_complete COMP_WORDS="$line" COMP_CWORD="${line##*[[:space:]]}" myha)
}

# In the order of the manual; a bash older than 4.4 has the alphabet's.
complete -o nosort -F _myha_completion myha 2>/dev/null || complete -F _myha_completion myha
