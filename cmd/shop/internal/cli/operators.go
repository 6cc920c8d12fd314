package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/ops"
	"eventshop.example/local/stack"
)

// operator is what commands that ask and tell the services share.
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

// actor is the person in whose name things are done.
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

// known opens a stack that has been up.
func (e *env) known() (*stack.Stack, error) {
	s, err := e.open()
	if err != nil {
		return nil, err
	}
	if !s.Known() {
		return nil, fmt.Errorf("there is no shop in %s; start one with `shop up`", s.State)
	}
	return s, nil
}

// fleet returns the services' operator listeners.
func (o *operator) fleet() (*ops.Fleet, error) {
	s, err := o.known()
	if err != nil {
		return nil, err
	}
	urls := s.File().Operators
	if len(urls) == 0 {
		return nil, fmt.Errorf("the shop in %s has no ports for operators; `shop down` and `shop up` give it some", s.State)
	}
	return ops.NewFleet(urls, o.actor()), nil
}

// unanswered makes one error of those who could not be asked, or nil. What the others
// said has been shown.
func unanswered(failed []error) error {
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("not everybody answered:\n%w", errors.Join(failed...))
}

// help is what a command does that only has commands below it. That it can be run makes a
// misspelt one an error.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// confirm asks a person. No answer, as from a script, is no.
func confirm(cmd *cobra.Command, question string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr()) // nobody has ended the line
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	case "":
		return errors.New("nothing was done: not confirmed (--yes does it without asking)")
	}
	return errors.New("nothing was done: not confirmed")
}
