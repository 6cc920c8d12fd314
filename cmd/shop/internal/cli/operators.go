package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
)

// operator is the common part of the commands that call the services.
type operator struct {
	*env
	as     string // --as
	asJSON bool   // --json
}

func (o *operator) addAs(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&o.as, "as", "", "in whose name things are done, for the audit trail (default $USER)")
}

func (o *operator) addJSON(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON, for programs")
}

// actor returns the name that the services record as the operator's.
func (o *operator) actor() string {
	if o.as != "" {
		return o.as
	}
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "operator"
}

// fleet returns the services' operator listeners.
func (o *operator) fleet() (*operators.Fleet, error) {
	s, err := o.live()
	if err != nil {
		return nil, err
	}
	urls := s.File().Operators
	if len(urls) == 0 {
		return nil, fmt.Errorf("the shop in %s has no ports for operators; `shop down` and `shop up` give it some", s.State)
	}
	return operators.NewFleet(urls, o.actor()), nil
}

// unanswered returns one error for all processes that could not be asked, or nil. The answers of
// the others were printed.
func unanswered(failed []error) error {
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("not every process answered:\n%w", errors.Join(failed...))
}

// help runs a command that only has subcommands. Because it can run, a misspelt subcommand is an
// error.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// confirm asks the user. No answer, as from a script, counts as no.
func confirm(cmd *cobra.Command, question string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr()) // ends the line of the question
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	case "":
		return errors.New("nothing was done: not confirmed (--yes does it without asking)")
	}
	return errors.New("nothing was done: not confirmed")
}
