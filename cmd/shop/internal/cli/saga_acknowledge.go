package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
)

func sagaAcknowledgeCommand(o *operator) *cobra.Command {
	note := ""
	cmd := &cobra.Command{
		Use:   "acknowledge ORDER",
		Short: "Ends the attention of an orchestrated saga that you have settled by hand",
		Long: `An orchestrated saga asks for attention, for example, when a parcel leaves although the saga has
ended as CANCELLED. No event will end that. When you have settled money and goods, acknowledge
it: the saga's log gets a line with your name and the note, and shop saga list leaves the order
out. Nothing else changes.

Refused where there is nothing to acknowledge: the saga asks for no attention, or it only waits
for the answer to a command, which ends the attention (shop saga retry sends the command again).

ORDER is an order's id, its beginning (8 characters at least) where only one order has it, or
the Idempotency-Key of a request that placed it within the last 24 hours.`,
		Example: `  shop saga acknowledge 019ac2f4 --note "the parcel came back, nothing was charged"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if note == "" {
				return errors.New("--note: say what you found and did; the saga's log keeps it")
			}
			p := term.Start(o.errOut, "looking for the order", 0)
			defer p.Stop()
			shop, id, err := o.sagaOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			p.Note("asking the orchestrator")
			settled, saga, err := shop.Acknowledge(cmd.Context(), id.String(), o.actor(), note)
			p.Stop()
			if err != nil {
				return err
			}
			if o.asJSON {
				return printJSON(o.out, saga)
			}
			fmt.Fprintf(o.out, "acknowledged: the saga of order %s is %s and asks no longer: %s\n", id, harmless(saga.State, 40), harmless(settled, 2000))
			return nil
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "what you found and did, for the saga's log")
	o.addJSON(cmd)
	return cmd
}
