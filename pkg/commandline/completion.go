package commandline

import (
	"slices"
	"strings"
)

// Command is a command as completion knows it.
type Command struct {
	Name     string
	Flags    []Option
	Commands []Command // below it; hidden ones left out
}

// Option is a flag of a command.
type Option struct {
	Name   string
	Switch bool     // takes no value
	Values []string // that it may have; nil: anything
}

// Complete lists what the last of words may become. words are those behind the
// program's name up to the cursor. A flag's values are listed where they are
// known; for others there is nothing, and the shell lists files.
func (c Command) Complete(words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	flags, pending := slices.Clone(c.Flags), (*Option)(nil)
	find := func(word string) *Option {
		i := slices.IndexFunc(flags, func(o Option) bool { return "--"+o.Name == word })
		if i < 0 || flags[i].Switch {
			return nil
		}
		return &flags[i]
	}
	last := len(words) - 1
	for _, word := range words[:last] {
		switch next := slices.IndexFunc(c.Commands, func(n Command) bool { return n.Name == word }); {
		case word == "=" && pending != nil: // bash makes three words of --flag=value
		case pending != nil:
			pending = nil
		case strings.HasPrefix(word, "--"):
			pending = find(word)
		case next >= 0:
			c = c.Commands[next]
			flags = append(flags, c.Flags...)
		}
	}
	var all []string
	word, before := words[last], ""
	name, _, joined := strings.Cut(word, "=")
	switch {
	case pending != nil:
		all = pending.Values
		if word == "=" {
			word = ""
		}
	case joined && find(name) != nil:
		all, before = find(name).Values, name+"="
	case strings.HasPrefix(word, "-"):
		for _, o := range flags {
			all = append(all, "--"+o.Name)
		}
	default:
		for _, n := range c.Commands {
			all = append(all, n.Name)
		}
	}
	var out []string
	for _, candidate := range all {
		if candidate = before + candidate; strings.HasPrefix(candidate, word) {
			out = append(out, candidate)
		}
	}
	return out
}

// scripts are the shells' scripts by shell. PROGRAM stands for the program's name;
// each asks the program: PROGRAM completion words -- WORDS...
var scripts = map[string]string{
	"bash": `_PROGRAM() {
  local IFS=$'\n'
  COMPREPLY=($("$1" completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _PROGRAM PROGRAM
`,
	"zsh": `#compdef PROGRAM
_PROGRAM() {
  local -a found
  found=("${(@f)$("${words[1]}" completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$found" ]]; then compadd -- "${found[@]}"; else _files; fi
}
if [[ "$funcstack[1]" == "_PROGRAM" ]]; then _PROGRAM "$@"; else compdef _PROGRAM PROGRAM; fi
`,
	"fish": `function __PROGRAM_words
  set -l typed (commandline -opc)
  set -l word (commandline -ct)
  set -l found ($typed[1] completion words -- $typed[2..-1] "$word" 2>/dev/null)
  if test (count $found) -gt 0
    string join -- \n $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c PROGRAM -f -a '(__PROGRAM_words)'
`,
}

// Script is what a shell (bash, zsh or fish) sources for a program, "" for another shell.
func Script(shell, program string) string {
	return strings.ReplaceAll(scripts[shell], "PROGRAM", program)
}
