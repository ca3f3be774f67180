# Completion of the words of myha in fish.
function _myha_completion
    set -l line (commandline --current-process --cut-at-cursor)
    set -l word (commandline --current-token --cut-at-cursor)
    # Of --to=NODE the node is completed, and fish wants what stands before it along.
    set -l option (string match --regex -- '^--[^=]+=' "$word"; or echo)
    for found in (env _MYHA_COMPLETE=fish_complete COMP_WORDS="$line" COMP_CWORD="$word" myha)
        set -l parts (string split --max 1 , -- $found)
        switch $parts[1]
            case dir
                printf '%s\n' $option(__fish_complete_directories $parts[2])
            case file
                printf '%s\n' $option(__fish_complete_path $parts[2])
            case plain
                printf '%s\n' $option$parts[2]
        end
    end
end

complete --no-files --command myha --arguments '(_myha_completion)'
