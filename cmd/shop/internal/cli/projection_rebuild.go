package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/projections"
)

func projectionRebuildCommand(o *operator) *cobra.Command {
	var version int32
	var watch bool
	cmd := &cobra.Command{
		Use:   "rebuild NAME",
		Short: "Fills a version from the beginning of the topics, beside the live one",
		Long: `Begins to fill a version of a projection and leaves the live one alone. The service does
the work; a process that is killed is continued by another one, or by the next. When the
version is up to date it follows, until it is made live (switch) or dropped.

It is refused when a topic no longer begins at offset 0.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.projection(cmd, args[0])
			if err != nil {
				return err
			}
			v, err := g.RebuildProjection(cmd.Context(), args[0], version)
			if err != nil {
				return err
			}
			if watch {
				p := term.Start(o.errOut, "filling "+args[0], 0)
				v, err = projections.Watch(cmd.Context(), g, args[0], v.Version, func(v operators.ProjectionVersion) {
					p.Note("filling %s version %d: %d of %d records, %s", v.Projection, v.Version, v.Done, v.Total, pace(v))
				})
				p.Stop()
				if err != nil {
					return err
				}
			}
			if err := o.printVersions([]operators.ProjectionVersion{v}); err != nil {
				return err
			}
			if v.State == operators.Failed {
				return fmt.Errorf("%s version %d cannot be filled: %s", v.Projection, v.Version, line(v.Reason, 0))
			}
			return nil
		},
	}
	addVersion(cmd, &version, "the newest that is not live")
	cmd.Flags().BoolVar(&watch, "watch", false, "wait until it is up to date, and show the rate and the time left")
	o.addJSON(cmd)
	return cmd
}
