package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"eventshop.example/ops/contract"
	"eventshop.example/ops/quote"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

// schemaFlags are the flags of both commands.
type schemaFlags struct {
	*env
	dir  string
	json bool
}

func schemaCommand(e *env) *cobra.Command {
	f := &schemaFlags{env: e}
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Compares the events' schemas with those released, and releases them",
		Long: `Compares the schemas of the repository with their released versions, and releases them. It needs
no shop, no registry and no network. schemas/released/README.md says what is kept and why.`,
	}
	cmd.PersistentFlags().StringVar(&f.dir, "schemas", "", "folder of the schemas (default schemas in the repository)")
	cmd.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON, for programs")
	cmd.AddCommand(schemaCheckCommand(f), schemaReleaseCommand(f))
	return cmd
}

// folder returns the folder of the schemas.
func (f *schemaFlags) folder() (string, error) {
	if f.dir != "" {
		return f.dir, nil
	}
	root, err := f.repository()
	if err != nil {
		return "", fmt.Errorf("%w; --schemas DIR names the schemas' folder", err)
	}
	return filepath.Join(root, "schemas"), nil
}

// levelOf returns the level at which services register a subject. A subject that the catalogue lacks
// may get a topic that keeps its records for ever.
func levelOf(subject string) schema.Level {
	for _, t := range events.Catalogue().Types() {
		if t.Subject == subject {
			return schema.LevelOf(t.Topic)
		}
	}
	return schema.FullTransitive
}

// printContract lists everything but the subjects that are as released.
func (f *schemaFlags) printContract(c *contract.Contract) {
	for _, fault := range c.Faults {
		fmt.Fprintf(f.out, "%-11s %s\n", "fault:", quote.Full(fault.String()))
	}
	breaches := len(c.Faults)
	for _, s := range c.Subjects {
		what := ""
		switch s.State {
		case contract.New:
			what = fmt.Sprintf("%s: not released yet", s.Name)
		case contract.Changed:
			what = fmt.Sprintf("%s: version %d is not released yet (%s)", s.Name, s.Version, s.Level)
		case contract.Documented:
			what = fmt.Sprintf("%s: only its docs differ from version %d", s.Name, s.Version)
		}
		if what != "" {
			fmt.Fprintf(f.out, "%-11s %s, %s\n", string(s.State)+":", what, quote.Full(s.File))
		}
		for _, b := range s.Breaches {
			fmt.Fprintf(f.out, "%-11s %s\n", "breach:", quote.Full(b.String()))
		}
		breaches += len(s.Breaches)
	}
	fmt.Fprintf(f.out, "%s, %d not released; %s\n", plural(len(c.Subjects), "subject", "subjects"), len(c.Unreleased()), plural(breaches, "breach", "breaches"))
}
