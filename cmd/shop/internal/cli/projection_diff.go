package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func projectionDiffCommand(o *operator) *cobra.Command {
	var version int32
	cmd := &cobra.Command{
		Use:   "diff NAME",
		Short: "Compares a version with the live one at equal offsets",
		Long: `Compares a version that follows with the live one, in what both have, at the same offsets of
every topic, while the service goes on. What differs on purpose is listed as declared. The
exit code is 1 when anything else differs.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.projection(cmd, args[0])
			if err != nil {
				return err
			}
			stop := o.asking()
			d, err := g.DiffProjection(cmd.Context(), args[0], version)
			stop()
			if err != nil {
				return err
			}
			var differences int64
			for _, c := range d.Compared {
				differences += c.Differences
			}
			if o.asJSON {
				if err := printJSON(o.out, d); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(o.out, "%s: version %d, which is live, and version %d, after %d records\n", clean(d.Projection), d.Live, d.Other, d.Offsets)
				rows := [][]string{}
				for _, c := range d.Compared {
					fmt.Fprintf(o.out, "%s: %d of %d rows differ\n", clean(c.Name), c.Differences, c.Rows)
					for _, e := range c.Examples {
						rows = append(rows, []string{line(e.Key, 60), line(e.Live, 60), line(e.Other, 60)})
					}
				}
				if len(rows) > 0 {
					if err := table(o.out, "KEY LIVE OTHER", rows); err != nil {
						return err
					}
				}
				for _, text := range d.Declared {
					fmt.Fprintf(o.out, "declared: %s\n", clean(text))
				}
				if d.Failures > 0 {
					fmt.Fprintf(o.out, "version %d lacks %d records; shop projection status %s lists them\n", d.Other, d.Failures, clean(d.Projection))
				}
				if d.Held > 0 {
					fmt.Fprintf(o.out, "%d records wait in the service (shop dlq, shop parked) and may explain differences\n", d.Held)
				}
			}
			if differences > 0 {
				return fmt.Errorf("%d rows differ", differences)
			}
			return nil
		},
	}
	addVersion(cmd, &version, "the newest that follows")
	o.addJSON(cmd)
	return cmd
}
