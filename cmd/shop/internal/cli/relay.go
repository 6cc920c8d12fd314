package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/connect"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/relay"
)

const relayHelp = `Who sends the services' events from their outboxes to Kafka.

Each service's outbox is relayed by its own polling relay, or by Debezium, which reads the
database's log, in Kafka Connect. Either can take over from the other while orders come in:
no event is lost, and no first occurrence comes out of order; some come twice. A command
that was cut off can be run again.

  use debezium   makes replication slot and connector, and changes over when they run
  use polling    stops the connector, changes over, and drops the slot
  recover        when a slot is lost: polling sends what is missing, then Debezium again

The shop's own services are meant, of a shop that was brought up with --cdc. For others
--connect and its neighbours, or their variables, say where everything is.`

func relayCommand(e *env) *cobra.Command {
	f := &relayFlags{operator: operator{env: e}}
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Who relays the events: the services by polling, or Debezium",
		Long:  relayHelp,
		Example: `  shop relay show
  shop relay use polling order
  shop relay use debezium`,
		Args: cobra.NoArgs,
		RunE: help,
	}
	f.addAs(cmd)
	f.add(cmd)
	cmd.AddCommand(relayShowCommand(f), relayUseCommand(f), relayRecoverCommand(f))
	return cmd
}

func relayUseCommand(f *relayFlags) *cobra.Command {
	var gone bool
	cmd := &cobra.Command{
		Use:       "use debezium|polling [SERVICE…]",
		Short:     "Changes who relays the events of the services, or of all",
		Args:      cobra.MinimumNArgs(1),
		ValidArgs: []string{string(operators.Debezium), string(operators.Polling)},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch operators.RelayMode(args[0]) {
			case operators.Debezium:
				if gone {
					return errors.New("--without-connect is for polling: Debezium runs in Kafka Connect")
				}
				return f.each(cmd.Context(), args[1:], relay.Control.UseDebezium)
			case operators.Polling:
				return f.each(cmd.Context(), args[1:], func(c relay.Control, ctx context.Context, s relay.Service) error {
					if gone {
						c.Connect = nil
					}
					return c.UsePolling(ctx, s)
				})
			default:
				return fmt.Errorf("%q is neither %s nor %s", args[0], operators.Debezium, operators.Polling)
			}
		},
	}
	cmd.Flags().BoolVar(&gone, "without-connect", false, "Kafka Connect is gone for good, and is not asked to stop the connector: no worker may ever run it again")
	return cmd
}

func relayRecoverCommand(f *relayFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "recover [SERVICE…]",
		Short: "Brings services back to Debezium whose replication slot is lost",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.each(cmd.Context(), args, relay.Control.Recover)
		},
	}
}

// each calls do for the named services in parallel, or for all.
func (f *relayFlags) each(ctx context.Context, names []string, do func(relay.Control, context.Context, relay.Service) error) error {
	services, control, err := f.services(names)
	if err != nil {
		return err
	}
	defer control.Kafka.Close()
	ctx, cancel := context.WithTimeout(ctx, f.within)
	defer cancel()
	var saying sync.Mutex
	control.Say = func(what string) {
		saying.Lock()
		defer saying.Unlock()
		fmt.Fprintln(f.out, what)
	}
	p := term.Start(f.errOut, "changing the relays", f.within)
	defer p.Stop()
	failures := make([]error, len(services))
	var wg sync.WaitGroup
	for i, s := range services {
		wg.Go(func() { failures[i] = do(control, ctx, s) })
	}
	wg.Wait()
	return errors.Join(failures...)
}

// shown is what show prints about a service.
type shown struct {
	Service string `json:"service"`
	operators.Relay
	Connector string `json:"connector,omitempty"` // its state at Connect
	Failure   string `json:"failure,omitempty"`   // of the connector
	Error     string `json:"error,omitempty"`     // why the service does not answer
}

func relayShowCommand(f *relayFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [SERVICE…]",
		Short: "Tells who relays each service's events, and how its replication slot does",
		Long: `Tells who relays each service's events. Of a slot: whether it is read, what of the log
is not confirmed yet (LAG) and what is kept for it (KEPT), and how much more can be written
until it is lost (SAFE). The exit code is 1 when a service does not answer, a slot is lost, or
a connector has failed.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			services, worker, err := f.shown(args)
			if err != nil {
				return err
			}
			all := make([]shown, len(services))
			var wg sync.WaitGroup
			for i, s := range services {
				wg.Go(func() { all[i] = look(cmd.Context(), worker, s) })
			}
			wg.Wait()
			if f.asJSON {
				err = printJSON(f.out, struct {
					Relays []shown `json:"relays"`
				}{all})
			} else {
				err = f.print(all)
			}
			return errors.Join(err, troubles(all))
		},
	}
	f.addJSON(cmd)
	return cmd
}

// look reads the state of a service's relay, and of its connector if there is one.
func look(ctx context.Context, c *connect.Client, s relay.Service) shown {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	one := shown{Service: s.Name}
	var err error
	if one.Relay, err = s.Mode(ctx); err != nil {
		one.Error = err.Error()
	}
	switch {
	case one.Mode != operators.Debezium:
	case c == nil:
		one.Failure = "Debezium relays, and this shop knows of no Kafka Connect: --connect names it"
	default:
		status, err := c.Status(ctx, connect.NameOf(s.Name))
		one.Connector, one.Failure = status.State, status.Failure()
		if err != nil {
			one.Failure = err.Error()
		}
	}
	return one
}

func troubles(all []shown) error {
	var errs []error
	for _, s := range all {
		for _, why := range []string{s.Error, lost(s.Lost), s.Failure} {
			if why != "" {
				errs = append(errs, fmt.Errorf("%s: %s", s.Service, why))
			}
		}
	}
	return errors.Join(errs...)
}

// lost adds the remedy to the reason of a lost slot.
func lost(why string) string {
	if why == "" {
		return ""
	}
	return why + "; `shop relay recover` has everything sent"
}

func (f *relayFlags) print(all []shown) error {
	var rows [][]string
	for _, s := range all {
		row := []string{s.Service, string(s.Mode), "-", "-", "-", "-", "-", "-"}
		if s.Error != "" {
			row[1] = "?"
		}
		if s.Mode == operators.Debezium {
			row[2], row[7] = s.Slot, strings.ToLower(s.Connector)
		}
		if x := s.SlotState; x != nil {
			row[3], row[4], row[5] = yes(x.Active), mega(x.LagBytes), mega(x.RetainedBytes)
			if x.SafeBytes != nil {
				row[6] = mega(*x.SafeBytes)
			}
		}
		rows = append(rows, row)
	}
	return table(f.out, "SERVICE RELAY SLOT READ LAG KEPT SAFE CONNECTOR", rows)
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func mega(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// only returns the services of these names, or all.
func only(all []relay.Service, names []string) ([]relay.Service, error) {
	if len(names) == 0 {
		return all, nil
	}
	var some []relay.Service
	for _, name := range names {
		i := slices.IndexFunc(all, func(s relay.Service) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no service %q whose relay can change", name)
		}
		some = append(some, all[i])
	}
	return some, nil
}
