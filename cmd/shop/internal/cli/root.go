// Package cli is the shop command line: one file a command, thin, over the packages
// that do the work.
package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"eventshop.example/local/stack"
)

// env is what every command works with.
type env struct {
	out   io.Writer
	state string // --state
}

// Root returns the whole command line. Results go to out, errors are returned.
func Root(out, errOut io.Writer) *cobra.Command {
	e := &env{out: out}
	root := &cobra.Command{
		Use:           "shop",
		Short:         "Runs, breaks, checks and shows the eventshop",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(out)
	root.SetErr(errOut)
	root.PersistentFlags().StringVar(&e.state, "state", "", "folder of the shop's state (default .shop in the repository)")
	root.AddCommand(
		upCommand(e), downCommand(e), statusCommand(e), logsCommand(e),
		killCommand(e), startCommand(e), stopCommand(e), pauseCommand(e), resumeCommand(e), scaleCommand(e), wipeCommand(e),
		demoCommand(e), faultsCommand(e), verifyCommand(e), doctorCommand(e), postgresBinariesCommand(e), serveCommand(e),
	)
	parked := &operator{env: e}
	root.AddCommand(dlqCommand(e), parkedCommand(parked), consumerCommand(e), sagaCommand(e), outboxCommand(e), topicsCommand(e), awaitCommand(e), loadCommand(e), relayCommand(e))
	return root
}

// open returns the stack the flags name.
func (e *env) open() (*stack.Stack, error) {
	root, err := repository()
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
	return stack.Open(state, root, self, e.out)
}

// completeProcess offers the names of the processes, replicas included, to the shell.
func (e *env) completeProcess(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	s, err := e.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return s.Processes(), cobra.ShellCompDirectiveNoFileComp
}

// repository finds the folder with go.work above the working folder, or above this
// program.
func repository() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for _, from := range []string{wd, filepath.Dir(self)} {
		for dir := from; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("neither %s nor the folder of this program is inside the repository", wd)
}
