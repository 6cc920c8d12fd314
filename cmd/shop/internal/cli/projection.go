package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/projections"
)

func projectionCommand(e *env) *cobra.Command {
	o := &operator{env: e}
	cmd := &cobra.Command{
		Use:   "projection",
		Short: "Read models: their versions, and rebuilding one beside the live one",
		Long: `A projection is a read model. A version of it is code, and tables of its own. Queries read
one version, the live one, while another is filled from the topics' beginning, compared with
it and made live in one transaction.

  waiting    the program has it, and nothing fills it
  filling    it reads the topics from offset 0, without the consumer group
  following  it is up to date, in the consumer's own transactions; no query reads it
  live       queries read it
  failed     it cannot be filled, for the reason that status shows
  dropped    its tables are empty

Records that a version could not take are listed and keep it from going live, until the
dead letter is resubmitted or discarded (shop dlq) or another program takes them.`,
		Example: `  shop projection rebuild revenue --watch
  shop projection diff revenue
  shop projection switch revenue
  shop projection drop revenue`,
		Args: cobra.NoArgs,
		RunE: help,
	}
	o.addAs(cmd)
	cmd.AddCommand(projectionListCommand(o), projectionStatusCommand(o), projectionRebuildCommand(o), projectionDiffCommand(o),
		projectionSwitchCommand(o), projectionDropCommand(o))
	return cmd
}

// projection returns the group that has the projection.
func (o *operator) projection(cmd *cobra.Command, name string) (operators.Group, error) {
	f, err := o.fleet()
	if err != nil {
		return operators.Group{}, err
	}
	return projections.Find(cmd.Context(), f, name)
}

// addVersion adds the flag of a command that means one version.
func addVersion(cmd *cobra.Command, version *int32, which string) {
	cmd.Flags().Int32Var(version, "version", 0, "which version (default "+which+")")
}

func projectionListCommand(o *operator) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the versions of all projections",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := o.fleet()
			if err != nil {
				return err
			}
			stop := o.asking()
			all, failed := projections.Versions(cmd.Context(), f)
			stop()
			if err := o.printVersions(all); err != nil {
				return err
			}
			return unanswered(failed)
		},
	}
	o.addJSON(cmd)
	return cmd
}

// printVersions prints versions as a table or as JSON.
func (o *operator) printVersions(all []operators.ProjectionVersion) error {
	if o.asJSON {
		return printJSON(o.out, struct {
			Versions []operators.ProjectionVersion `json:"versions"`
		}{append([]operators.ProjectionVersion{}, all...)})
	}
	rows := [][]string{}
	for _, v := range all {
		note := line(v.Reason, 80)
		switch {
		case v.Reason != "":
		case !v.Known:
			note = "the program does not have it"
		case v.State == operators.Live && !v.Attached:
			note = "catches up"
		case v.State == operators.Filling:
			note = pace(v)
		}
		rows = append(rows, []string{line(v.Projection, 0), strconv.Itoa(int(v.Version)), string(v.State), number(v.Done), number(v.Total), number(v.Failures), note})
	}
	return table(o.out, "PROJECTION VERSION STATE RECORDS OF FAILED NOTE", rows)
}

// pace describes how a filling goes on.
func pace(v operators.ProjectionVersion) string {
	text := fmt.Sprintf("%.0f records/s", v.PerSecond)
	if left := time.Duration(v.LeftMs) * time.Millisecond; left > 0 {
		text += ", about " + left.Round(time.Second).String() + " left"
	}
	return text
}
