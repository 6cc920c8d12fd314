package cli

import (
	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
)

func projectionDropCommand(o *operator) *cobra.Command {
	var version int32
	var yes bool
	cmd := &cobra.Command{
		Use:   "drop NAME",
		Short: "Ends a version that is not live, and empties its tables",
		Long: `Ends the following or the filling of a version and deletes its rows. Its tables stay until a
release removes its code. A rebuild fills it again, except a version in the tables of an
earlier release.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.projection(cmd, args[0])
			if err != nil {
				return err
			}
			if !yes {
				if err := confirm(cmd, "Delete the rows of a version of "+args[0]+"?"); err != nil {
					return err
				}
			}
			v, err := g.DropProjection(cmd.Context(), args[0], version)
			if err != nil {
				return err
			}
			return o.printVersions([]operators.ProjectionVersion{v})
		},
	}
	addVersion(cmd, &version, "the only one that is not live and has rows")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	o.addJSON(cmd)
	return cmd
}
