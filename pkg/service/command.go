package service

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Command is what a program does instead of running its service when its first argument is the
// command's name: `order migrate`. Run reads its settings from env, writes its result to out, and
// returns an error when it could not do its work.
type Command struct {
	Name string
	Run  func(ctx context.Context, env *Env, out io.Writer) error
}

// command runs the command that args name. Its exit code is 0; 1 when the command failed; 2 when
// the environment or the arguments are wrong.
func command(ctx context.Context, out io.Writer, name string, lookup Lookup, args []string, commands []Command) int {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
		if c.Name != args[0] || len(args) > 1 {
			continue
		}
		env := NewEnv(lookup)
		err := call(ctx, func(ctx context.Context) error { return c.Run(ctx, env, out) })
		switch {
		case env.Err() != nil:
			fmt.Fprintf(out, "%s %s: %v\n", name, c.Name, env.Err())
			return exitConfig
		case err != nil:
			fmt.Fprintf(out, "%s %s: %v\n", name, c.Name, err)
			return exitFailed
		}
		return exitOK
	}
	fmt.Fprintf(out, "%s: unknown arguments %q; without any the service runs, and there is: %s\n",
		name, args, strings.Join(names, ", "))
	return exitConfig
}
