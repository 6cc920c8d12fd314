package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"eventshop.example/local/stack"
)

const settingsHelp = `Lists what the shop was told earlier and still goes by: ports that are not the default ones
(--port, --ports auto), settings of processes (--env), numbers of processes (shop scale), access
to a Kafka cluster or schema registry of one's own, and where databases, Kafka, registry and
processes come from.

"reset" forgets them while the shop is down: all but access, all of a kind (port, env, replicas,
access), or one by its name. What the shop's data is made with stays until "shop wipe".`

func settingsCommand(e *env) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Lists what the shop was told earlier and still goes by, and forgets it",
		Long:  settingsHelp,
		Example: `  shop settings
  shop settings reset
  shop settings reset port payment.LOG_LEVEL`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := e.known()
			if err != nil {
				return err
			}
			all := s.Settings()
			if asJSON {
				return printJSON(e.out, struct {
					Settings []stack.Setting `json:"settings"`
				}{append([]stack.Setting{}, all...)})
			}
			return e.printAll(all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for programs")
	cmd.AddCommand(&cobra.Command{
		Use:   "reset [KIND|NAME…]",
		Short: "Forgets settings of a shop that is down",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.known()
			if err != nil {
				return err
			}
			gone, err := s.Reset(cmd.Context(), args...)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.out, "%s forgotten\n", plural(len(gone), "setting", "settings"))
			if len(gone) == 0 {
				return nil
			}
			return e.printAll(gone)
		},
	})
	return cmd
}

func (e *env) printAll(settings []stack.Setting) error {
	if len(settings) == 0 {
		fmt.Fprintln(e.out, "no settings: everything is as in a new shop")
		return nil
	}
	var rows [][]string
	for _, one := range settings {
		rows = append(rows, []string{string(one.Kind), one.Name, line(one.Value, 200)})
	}
	return table(e.out, "KIND NAME VALUE", rows)
}
