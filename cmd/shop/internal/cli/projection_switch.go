package cli

import (
	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
)

func projectionSwitchCommand(o *operator) *cobra.Command {
	var version int32
	var force bool
	cmd := &cobra.Command{
		Use:   "switch NAME",
		Short: "Makes a version live that follows, in one transaction",
		Long: `Makes a version live while queries and new orders go on. The version that was live follows
from then on, so that switching back is the same command with its version. Versions that
differ (see diff) are refused without --force; a version that lacks records is in any case.

Every process of the service must have the version: switch after a roll, not within it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.projection(cmd, args[0])
			if err != nil {
				return err
			}
			stop := o.asking()
			v, err := g.SwitchProjection(cmd.Context(), args[0], version, force)
			stop()
			if err != nil {
				return err
			}
			return o.printVersions([]operators.ProjectionVersion{v})
		},
	}
	addVersion(cmd, &version, "the newest that follows")
	cmd.Flags().BoolVar(&force, "force", false, "although the versions differ")
	o.addJSON(cmd)
	return cmd
}
