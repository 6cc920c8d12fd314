package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"eventshop.example/ops/saga"
)

func sagaVersionsCommand(o *operator) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "versions",
		Short: "The versions of the steps of orchestrated sagas, and which still have sagas",
		Long: `Lists every version of the steps of orchestrated sagas that was released. A saga ends under the
version that it began under. New sagas begin under the version that the orchestrator's setting
SAGA_DEFINITION names. A version is drained when no saga that has not ended follows it, none
begins under it, and there is a newer one. While the setting is changed, processes can differ;
the answer is that of one process.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			shop, err := o.sagas()
			if err != nil {
				return err
			}
			all, err := shop.Definitions(cmd.Context())
			if err != nil {
				return err
			}
			if o.asJSON {
				return printJSON(o.out, struct {
					Definitions []saga.Definition `json:"definitions"`
				}{append([]saga.Definition{}, all...)})
			}
			var rows [][]string
			for _, d := range all {
				var notes []string
				for note, applies := range map[string]bool{"newest": d.Newest, "new sagas": d.Begins, "drained": d.Drained} {
					if applies {
						notes = append(notes, note)
					}
				}
				slices.Sort(notes)
				steps := harmless(strings.Join(d.Steps, ", "), 200)
				if len(d.Steps) == 0 {
					steps = "not known to the orchestrator that runs"
				}
				rows = append(rows, []string{strconv.Itoa(d.Version), strconv.FormatInt(d.Running, 10), strconv.FormatInt(d.Ended, 10), steps, strings.Join(notes, ", ")})
			}
			return table(o.out, "VERSION RUNNING ENDED STEPS NOTE", rows)
		},
	}
	o.addJSON(cmd)
	return cmd
}

func sagaStyleCommand(o *operator) *cobra.Command {
	orchestrated := ""
	cmd := &cobra.Command{
		Use:   "style",
		Short: "Shows or sets how many customers' new orders are orchestrated",
		Long: `Shows which share of the customers has new orders with an orchestrated saga; --orchestrated sets
it. A customer stays among them while the share grows. An order that names its style keeps it, and
an order that was placed never changes its style.

A share above 0 is refused while a process of a participant does not know both styles; the
answer says which.`,
		Example: `  shop saga style
  shop saga style --orchestrated 20%
  shop saga style --orchestrated 0%`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			percent := 0
			if set := cmd.Flags().Changed("orchestrated"); set {
				var err error
				if percent, err = parsePercent(orchestrated); err != nil {
					return fmt.Errorf("--orchestrated: %w", err)
				}
			}
			shop, err := o.sagas()
			if err != nil {
				return err
			}
			var ramp saga.Ramp
			if cmd.Flags().Changed("orchestrated") {
				ramp, err = shop.SetRamp(cmd.Context(), percent)
			} else {
				ramp, err = shop.Ramp(cmd.Context())
			}
			if err != nil {
				return err
			}
			if o.asJSON {
				return printJSON(o.out, ramp)
			}
			fmt.Fprintf(o.out, "orchestrated: new orders of %d%% of the customers, since %s\n", ramp.OrchestratedPercent, ramp.ChangedAt.Local().Format("2006-01-02 15:04:05 MST"))
			if !ramp.Ready {
				fmt.Fprintf(o.out, "new orders are choreographed for now%s\n", detail(ramp.Reason))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&orchestrated, "orchestrated", "", "share of the customers, 0% to 100%")
	o.addJSON(cmd)
	return cmd
}

// parsePercent reads a whole percentage, with or without its sign.
func parsePercent(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil || n < 0 || n > 100 {
		return 0, fmt.Errorf("%q is not a percentage from 0%% to 100%%", text)
	}
	return n, nil
}
