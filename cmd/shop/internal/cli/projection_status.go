package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/ops/projections"
)

func projectionStatusCommand(o *operator) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "Shows one projection: its versions, and the records that they lack",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.projection(cmd, args[0])
			if err != nil {
				return err
			}
			all, err := projections.Status(cmd.Context(), g, args[0])
			if err != nil {
				return err
			}
			if err := o.printVersions(all); err != nil || o.asJSON {
				return err
			}
			for _, v := range all {
				for _, at := range []struct {
					what string
					when time.Time
				}{{"began to be filled", v.StartedAt}, {"up to date since", v.AttachedAt}, {"live since", v.LiveAt}} {
					if !at.when.IsZero() {
						fmt.Fprintf(o.out, "version %d  %s %s\n", v.Version, at.what, at.when.Format(time.RFC3339))
					}
				}
				for _, d := range v.Differences {
					fmt.Fprintf(o.out, "version %d  differs on purpose: %s\n", v.Version, clean(d))
				}
				for _, f := range v.Listed {
					fmt.Fprintf(o.out, "version %d  lacks %s/%d/%d: %s\n", v.Version, clean(f.Topic), f.Partition, f.Offset, line(f.Reason, 200))
				}
				if more := v.Failures - int64(len(v.Listed)); more > 0 {
					fmt.Fprintf(o.out, "version %d  lacks %d more records\n", v.Version, more)
				}
			}
			return nil
		},
	}
	o.addJSON(cmd)
	return cmd
}
