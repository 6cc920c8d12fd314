// Package cli is the shop command line: one file per command, each a thin layer over the packages
// that do the work.
package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/local/stack"
)

// env is shared by all commands.
type env struct {
	out    io.Writer
	errOut io.Writer
	state  string // --state
	repo   string // --repo
	seen   seen   // what find and live have found
}

// Root returns the whole command line. Results go to out, progress to errOut. Errors are returned.
func Root(out, errOut *term.Out) *cobra.Command {
	e := &env{out: out, errOut: errOut}
	root := &cobra.Command{
		Use:           "shop",
		Short:         "Runs, breaks, checks and shows the eventshop",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", term.Width(out))))
	root.PersistentFlags().StringVar(&e.state, "state", "", "folder of the shop's state (default .shop in the repository)")
	root.PersistentFlags().StringVar(&e.repo, "repo", "", "folder of the repository (default that above the working folder, this program, or the one --state was made from)")
	group := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, c := range commands {
			c.GroupID = id
		}
		root.AddCommand(commands...)
	}
	group("run", "Run it:", demoCommand(e), upCommand(e), downCommand(e), statusCommand(e), settingsCommand(e), doctorCommand(e), wipeCommand(e))
	group("look", "Look at it:", orderCommand(e), draftCommand(e), logsCommand(e), sagaCommand(e), verifyCommand(e))
	group("break", "Break it:", killCommand(e), startCommand(e), stopCommand(e), pauseCommand(e), resumeCommand(e),
		scaleCommand(e), loadCommand(e), faultsCommand(e))
	group("operate", "Operate it:", dlqCommand(e), parkedCommand(&operator{env: e}), consumerCommand(e), outboxCommand(e),
		relayCommand(e), topicsCommand(e), schemaCommand(e), projectionCommand(e))
	root.AddCommand(awaitCommand(e), postgresBinariesCommand(e), serveCommand(e))
	fit(root, term.Width(out)-1)
	return root
}

// fit wraps the paragraphs of every command's help. Indented ones, such as lists and examples, stay
// unchanged.
func fit(c *cobra.Command, width int) {
	paragraphs := strings.Split(c.Long, "\n\n")
	for i, p := range paragraphs {
		if !strings.HasPrefix(p, " ") && !strings.Contains(p, "\n ") {
			paragraphs[i] = strings.Join(term.Wrap(strings.Join(strings.Fields(p), " "), width), "\n")
		}
	}
	c.Long = strings.Join(paragraphs, "\n\n")
	for _, sub := range c.Commands() {
		fit(sub, width)
	}
}

// open returns the stack that the flags name.
func (e *env) open() (*stack.Stack, error) {
	root, err := e.repository()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	state := e.state
	if state == "" {
		state = filepath.Join(root, ".shop")
	}
	s, err := stack.Open(state, root, self, e.out)
	if err == nil {
		showWaiting(s)
	}
	return s, err
}

// showWaiting makes a stack show the progress of its long steps on its output.
func showWaiting(s *stack.Stack) {
	s.Waiting = func(what string, atMost time.Duration) (note func(text string), over func()) {
		p := term.Start(s.Out, what, atMost)
		return func(text string) { p.Note("%s", text) }, p.Stop
	}
}

// completeProcess completes the names of the processes, including replicas, in the shell.
func (e *env) completeProcess(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	s, err := e.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return s.Processes(), cobra.ShellCompDirectiveNoFileComp
}
