package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/saga"
	"eventshop.example/ops/story"
)

func sagaCommand(e *env) *cobra.Command {
	o := &operator{env: e}
	cmd := &cobra.Command{
		Use:   "saga",
		Short: "Orders that are under way: what holds them, and sets them going again",
		Long: `An order is placed in one service and carried out by four: payment charges, inventory
reserves, shipping schedules, order confirms; or each undoes its part. That is its saga.
It is under way until the order is DELIVERED or CANCELLED. In a choreographed saga the services
react to each other's events; in an orchestrated one the orchestrator sends them commands.

What can hold a saga up, in any of the services:

  dead letter     a record of the order was given up and waits for a decision
  parked key      a record of the order failed and is tried again by itself
  refund failed   the card gateway did not take the money back, however often asked
  returning       the gateway has not stopped the charge or taken the money back yet;
                  payment tries again by itself
  breaker         the gateway or the carrier fails so often that it is left alone
  calls fail      it fails, and is asked again
  not relayed     an event of the order is in the outbox and not on its topic: nothing
                  relays it, the outbox is on hold, or the broker refuses it
  attention       the orchestrator, or a service, cannot go on without a person: an answer to a
                  command is late, or a record contradicts what it knows
  late            none of these is known, and a service has not answered an event of the order

shop order ORDER shows all of one order.`,
		Args: cobra.NoArgs,
		RunE: help,
	}
	o.addAs(cmd)
	cmd.AddCommand(sagaListCommand(o), sagaShowCommand(o), sagaRetryCommand(o), sagaAcknowledgeCommand(o), sagaVersionsCommand(o), sagaStyleCommand(o))
	return cmd
}

// sagas returns the shop for package saga.
func (o *operator) sagas() (*saga.Shop, error) {
	s, err := o.live()
	if err != nil {
		return nil, err
	}
	f, err := o.fleet()
	if err != nil {
		return nil, err
	}
	u := s.File().URL
	return saga.New(saga.Endpoints{
		Order: u["order"], Payment: u["payment"], Inventory: u["inventory"], Shipping: u["shipping"], Orchestrator: u["orchestrator"], Databases: s.File().DSN,
	}, f, nil), nil
}

// sagaOf returns the sagas of the live shop, and the order that an argument means, as [story.Find] has it.
func (o *operator) sagaOf(ctx context.Context, order string) (*saga.Shop, uuid.UUID, error) {
	s, err := o.live()
	if err != nil {
		return nil, uuid.UUID{}, err
	}
	id, err := story.Find(ctx, s.File().DSN["order"], order)
	if err != nil {
		return nil, uuid.UUID{}, err
	}
	shop, err := o.sagas()
	return shop, id, err
}

func sagaListCommand(o *operator) *cobra.Command {
	var filter saga.Filter
	var older, late string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists orders that have not ended or need attention, and what holds them",
		Long: `Lists the orders that have not ended, that need attention, or of which a service holds
something back although the order has ended; oldest first. AGE is the time since the
order was placed, STILL since it last moved.

--stuck leaves those that will not go on by themselves, or not now: something holds
them, their orchestrated saga asks for a person, they are not confirmed or cancelled although
their deadline has passed, or they are late: PENDING or CANCELLING, and without an event for
--late-after. WHY then names the service that has to answer, and the event. A CONFIRMED order
waits for the carrier, which is no lateness.`,
		Example: `  shop saga list --stuck
  shop saga list --needs-attention --json
  shop saga list --older-than 10m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return fmt.Errorf("--limit: %d is not at least 1", limit)
			}
			var err error
			if older != "" {
				if filter.OlderThan, err = parseSpan(older); err != nil {
					return fmt.Errorf("--older-than: %w, such as 10m or 2d", err)
				}
			}
			if filter.LateAfter, err = parseSpan(late); err != nil {
				return fmt.Errorf("--late-after: %w, such as 30s or 5m", err)
			}
			shop, err := o.sagas()
			if err != nil {
				return err
			}
			p := term.Start(o.errOut, "asking the services about all orders that are under way", 0)
			list, failed, err := shop.List(cmd.Context(), filter)
			p.Stop()
			if err != nil {
				return err
			}
			more := max(len(list)-limit, 0)
			list = list[:len(list)-more]
			if o.asJSON {
				if err := printJSON(o.out, struct {
					Sagas       []saga.Saga `json:"sagas"`
					More        int         `json:"more,omitempty"`
					Unreachable []string    `json:"unreachable,omitempty"`
				}{append([]saga.Saga{}, list...), more, texts(failed)}); err != nil {
					return err
				}
			} else if err := o.printSagas(list, more, time.Now()); err != nil {
				return err
			}
			return unanswered(failed)
		},
	}
	cmd.Flags().BoolVar(&filter.Stuck, "stuck", false, "only those that something holds, that are late, or whose deadline has passed")
	cmd.Flags().BoolVar(&filter.NeedsAttention, "needs-attention", false, "only those that a person has to look at")
	cmd.Flags().StringVar(&older, "older-than", "", "only those placed at least so long ago: 10m, 2d")
	cmd.Flags().StringVar(&late, "late-after", "30s", "count an order as late after so long without an event; 0s: none")
	cmd.Flags().IntVar(&limit, "limit", 200, "show at most so many, the oldest")
	o.addJSON(cmd)
	return cmd
}

func texts(errs []error) []string {
	var out []string
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}

func (o *operator) printSagas(list []saga.Saga, more int, now time.Time) error {
	if len(list) == 0 {
		fmt.Fprintln(o.out, "no such orders")
		return nil
	}
	var rows [][]string
	for _, s := range list {
		reasons := reasons(s, now)
		rows = append(rows, []string{s.OrderID, term.State(o.out, s.Status), since(s.PlacedAt, now), since(s.UpdatedAt, now), reasons[0]})
		for _, r := range reasons[1:] {
			rows = append(rows, []string{"", "", "", "", r})
		}
	}
	if err := table(o.out, "ORDER STATUS AGE STILL WHY", rows); err != nil {
		return err
	}
	if more > 0 {
		fmt.Fprintf(o.out, "… and %d more; --limit shows them\n", more)
	}
	return nil
}

// reasons returns why a saga is in the list, in at least one line.
func reasons(s saga.Saga, now time.Time) []string {
	out := holdsOf(s.Holds, now)
	if s.Attention != nil {
		out = append(out, "needs attention: "+harmless(s.Attention.Reason, 60)+detail(s.Attention.Detail))
	}
	if s.Overdue {
		text := "deadline passed " + span(now.Sub(s.ConfirmBy)) + " ago"
		if len(s.Holds) == 0 {
			text += ", nothing known holds it: is everything up? (shop status)"
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		out = append(out, "under way")
	}
	return out
}

func detail(text string) string {
	if text == "" {
		return ""
	}
	return ": " + harmless(text, 160)
}

func sagaRetryCommand(o *operator) *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use:   "retry ORDER",
		Short: "Sets going again whatever holds an order, and says what it did",
		Long: `Resubmits the open dead letters whose key is the order, in all services, oldest first,
and has a refund that failed tried again. What is tried again by itself is left alone and
shown. Doing it twice has one effect.

Where none of these is there and the order's orchestrated saga asks for attention, the
orchestrator sends the command of the saga's state again: ChargePayment in CHARGING,
ReserveInventory in RESERVING, ScheduleShipment in SCHEDULING, ConfirmOrder in CONFIRMING,
CancelShipment in STOPPING, ReleaseInventory in RELEASING, RefundPayment in REFUNDING, CancelOrder
in CLOSING. It has a new event id, which is printed; its key is the order's id. One that was sent
again within the last half minute is left alone. A service that has done it already answers so
and does nothing: calls to the gateway and the carrier have keys made from the order's id.

ORDER is an order's id, its beginning (8 characters at least) where only one order has it, or
the Idempotency-Key of a request that placed it within the last 24 hours.

The exit code is 1 when there was nothing to do, or when something failed.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := term.Start(o.errOut, "looking for the order", 0)
			defer p.Stop()
			shop, id, err := o.sagaOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			p.Note("setting order %s going again", id)
			steps, missing, err := shop.Retry(cmd.Context(), id.String(), o.actor(), reason)
			p.Stop()
			if err != nil {
				return err
			}
			if !strings.EqualFold(args[0], id.String()) {
				fmt.Fprintf(o.errOut, "(order %s)\n", id)
			}
			return o.finishRetry(id.String(), steps, missing)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	o.addJSON(cmd)
	return cmd
}

func (o *operator) finishRetry(order string, steps []saga.Step, missing []error) error {
	type item struct {
		saga.Step
		Error string `json:"error,omitempty"`
	}
	items, done, failed := []item{}, 0, 0
	for _, s := range steps {
		i := item{Step: s}
		if s.Err != nil {
			i.Error = s.Err.Error()
			failed++
		}
		if s.Done {
			done++
		}
		items = append(items, i)
	}
	if o.asJSON {
		if err := printJSON(o.out, struct {
			OrderID     string   `json:"orderId"`
			Done        int      `json:"done"`
			Steps       []item   `json:"steps"`
			Unreachable []string `json:"unreachable,omitempty"`
		}{order, done, items, texts(missing)}); err != nil {
			return err
		}
	} else {
		now := time.Now()
		for _, i := range items {
			fmt.Fprintf(o.out, "%s\n  → %s\n", hold(i.Hold, now), strings.TrimSuffix(i.What+detail(i.Error), ": -"))
		}
	}
	var errs []error
	if failed > 0 {
		errs = append(errs, fmt.Errorf("%d of %d failed", failed, len(steps)))
	}
	if err := unanswered(missing); err != nil {
		errs = append(errs, err)
	}
	if done == 0 && failed == 0 {
		errs = append(errs, fmt.Errorf("nothing to do: no open dead letter, no failed refund and no saga that asks for attention of order %s", order))
	}
	return errors.Join(errs...)
}
