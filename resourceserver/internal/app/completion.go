package app

import (
	"fmt"

	"github.com/alecthomas/kong"

	"latchkey/pkg/commandline"
)

type completionCmd struct {
	Bash  scriptCmd          `cmd:"" help:"For bash: source <(resourceserver completion bash)."`
	Zsh   scriptCmd          `cmd:"" help:"For zsh: source <(resourceserver completion zsh), after compinit."`
	Fish  scriptCmd          `cmd:"" help:"For fish: resourceserver completion fish | source."`
	Words completionWordsCmd `cmd:"" hidden:"" help:"What the last word may become, for the scripts."`
}

type scriptCmd struct{}

func (scriptCmd) Run(e *env, parsed *kong.Context) error {
	_, err := fmt.Fprint(e.out, commandline.Script(parsed.Selected().Name, parsed.Model.Name))
	return err
}

type completionWordsCmd struct {
	Words []string `arg:"" optional:"" help:"What is typed, after --."`
}

func (c *completionWordsCmd) Run(e *env, parsed *kong.Context) error {
	for _, word := range described(parsed.Model.Node).Complete(c.Words) {
		if _, err := fmt.Fprintln(e.out, word); err != nil {
			return err
		}
	}
	return nil
}

// described is a command without what is hidden.
func described(n *kong.Node) commandline.Command {
	out := commandline.Command{Name: n.Name}
	for _, f := range n.Flags {
		if !f.Hidden {
			o := commandline.Option{Name: f.Name, Switch: f.IsBool()}
			if f.Enum != "" {
				o.Values = f.EnumSlice()
			}
			out.Flags = append(out.Flags, o)
		}
	}
	for _, child := range n.Children {
		if !child.Hidden {
			out.Commands = append(out.Commands, described(child))
		}
	}
	return out
}
