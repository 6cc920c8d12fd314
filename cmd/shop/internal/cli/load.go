package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/lab/load"
)

func loadCommand(e *env) *cobra.Command {
	var m load.Mix
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Places orders at a steady pace and counts what becomes of them",
		Long: `Places orders at a steady pace and follows each until it is confirmed or cancelled. Of nine, one
is declined (with --gateway), one is out of stock and one is cancelled by its customer. Without
--orders it goes on until it is stopped. The exit code is 1 when something went wrong: no answer,
or an order that was not decided in time.

--saga names the style of the orders' sagas: choreographed, orchestrated, or mixed, which is every
second order orchestrated. Without it the order service chooses (shop saga style).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if m.PerSecond < 1 || m.PerSecond > 1000 {
				return errors.New("--rate must be from 1 to 1000")
			}
			if m.Orders < 0 {
				return errors.New("--orders must be 0 or more")
			}
			if err := m.Saga.Check(); err != nil {
				return fmt.Errorf("--saga: %w", err)
			}
			if m.Order == "" {
				s, err := e.live()
				if err != nil {
					return fmt.Errorf("%w; --order URL names an order service elsewhere", err)
				}
				u := s.File().URL
				m.Order, m.Inventory, m.Gateway = u["order"], u["inventory"], u["gateway"]
			}
			c := m.Run(cmd.Context(), every, func(c load.Counts) { fmt.Fprintln(e.out, counted(c)+left(c, m)) })
			fmt.Fprintln(e.out, counted(c))
			if n := c.Failures(); n > 0 {
				return fmt.Errorf("%d times something went wrong, at last: %s", n, c.Example)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&m.Order, "order", "", "base URL of the order service (default the shop's own, with inventory and gateway)")
	cmd.Flags().StringVar(&m.Inventory, "inventory", "", "base URL of inventory, to restock what was ordered")
	cmd.Flags().StringVar(&m.Gateway, "gateway", "", "base URL of the sandbox's card gateway, to decline a customer's card")
	cmd.Flags().IntVar(&m.PerSecond, "rate", 2, "orders a second")
	cmd.Flags().IntVar(&m.Orders, "orders", 0, "how many; 0 until it is stopped")
	cmd.Flags().StringVar((*string)(&m.Saga), "saga", "", "style of the orders' sagas: choreographed, orchestrated, mixed (default: the service chooses)")
	cmd.Flags().DurationVar(&m.Patience, "patience", 2*time.Minute, "how long to wait for an answer, and for an order to be decided")
	cmd.Flags().DurationVar(&every, "every", 10*time.Second, "how often to print the counts")
	return cmd
}

// counted returns a line such as: 90 placed, 60 confirmed, 20 cancelled (10 out_of_stock, 10
// payment_failed), 10 waiting.
func counted(c load.Counts) string {
	cancelled := 0
	for _, n := range c.Cancelled {
		cancelled += n
	}
	text := fmt.Sprintf("%d placed, %d confirmed, %d cancelled%s, %d waiting", c.Placed, c.Confirmed, cancelled, each(c.Cancelled), c.Waiting)
	if n := c.Failures(); n > 0 {
		text += fmt.Sprintf(", %d went wrong%s", n, each(c.Failed))
	}
	return text
}

// left returns how long placing the remaining orders takes, if their number is limited.
func left(c load.Counts, m load.Mix) string {
	if m.Orders <= c.Placed {
		return ""
	}
	return ", about " + span(time.Duration(m.Orders-c.Placed)*time.Second/time.Duration(m.PerSecond)) + " left"
}

func each(counts map[string]int) string {
	if len(counts) == 0 {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
