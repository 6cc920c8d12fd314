package relays

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
)

// AsService as the first argument makes a program the service of a run: it calls [Serve] with the
// other arguments. The service is a separate process, so that its processor time is separate from
// the observer's.
const AsService = "relays-service"

// writers is the number of open transactions. At 200 events per second one would be enough if every
// commit took less than 5 ms.
const writers = 4

// Serve runs a service for the three arguments: its database, the registry and a broker.
func Serve(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("%s has %d arguments instead of 3", AsService, len(args))
	}
	return serve(ctx, args[0], args[1], args[2])
}

// serve runs the relay until its standard input ends. A line "N PERIOD" of the input makes it
// append N events, one per transaction, one per period. It answers each with "key version time",
// where time is in nanoseconds, after the commit.
func serve(ctx context.Context, database, registry, broker string) error {
	pool, err := postgres.Open(ctx, postgres.Config{URL: database, MaxConns: 12})
	if err != nil {
		return err
	}
	defer pool.Close()
	codec := schema.NewCodec(schema.NewClient(registry), events.Catalogue())
	out := outbox.New(outbox.Config{Source: "/bench", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode})
	relay := relay.New(pool, out, relay.Config{Brokers: []string{broker}})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var parts errgroup.Group
	parts.Go(func() error { return relay.Run(ctx) })

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var n int
		var period string
		if _, err := fmt.Sscan(lines.Text(), &n, &period); err != nil {
			return fmt.Errorf("read the line %q: %w", lines.Text(), err)
		}
		every, err := time.ParseDuration(period)
		if err == nil {
			err = write(ctx, pool, out, n, every)
		}
		if err != nil {
			return err
		}
	}
	stop()
	return errors.Join(lines.Err(), parts.Wait())
}

// write appends n events at a rate that does not depend on their duration.
func write(ctx context.Context, pool *pgxpool.Pool, out *outbox.Outbox, n int, every time.Duration) error {
	var mu sync.Mutex
	answers := bufio.NewWriter(os.Stdout)
	due := make(chan int, n)
	group, ctx := errgroup.WithContext(ctx)
	for range writers {
		group.Go(func() error {
			for i := range due {
				e := orderCreated(uuid.Must(uuid.NewV7()).String(), 1, i)
				err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error { return out.Append(ctx, tx, e) })
				if err != nil {
					return err
				}
				committed := time.Now().UnixNano()
				out.Wake()
				mu.Lock()
				fmt.Fprintln(answers, e.AggregateID, e.Version, committed)
				mu.Unlock()
			}
			return nil
		})
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		due <- i
	}
	close(due)
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Fprintln(answers, "done")
	return answers.Flush()
}

// orderCreated returns an event of typical size, about 200 bytes as Avro and 500 in headers.
func orderCreated(key string, version int64, n int) outbox.Entry {
	now := time.Now().UTC()
	return outbox.Entry{AggregateID: key, Version: version, Event: events.OrderCreated{
		OrderID:         key,
		Customer:        events.Customer{ID: fmt.Sprintf("customer-%06d", n), Name: "Grace Hopper", Email: "grace@example.com"},
		ShippingAddress: events.Address{Street: "Analytical Street 7", PostalCode: "1843", City: "Arlington", Country: "US"},
		Items: []events.OrderItem{
			{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 1999},
			{SKU: "GADGET-05", Quantity: 1, UnitPrice: 4999},
		},
		TotalAmount: 8997, Currency: "EUR", ConfirmBy: now.Add(time.Hour), OccurredAt: now,
	}}
}

// service is the service's process.
type service struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Scanner
}

func startService(ctx context.Context, database, registry, broker string) (*service, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, AsService, database, registry, broker)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &service{cmd: cmd, stdin: stdin, out: bufio.NewScanner(stdout)}, cmd.Start()
}

// write makes the service append events, and returns when each event's transaction had committed.
func (s *service) write(n int, every time.Duration) (map[occurrence]time.Time, error) {
	if _, err := fmt.Fprintln(s.stdin, n, every); err != nil {
		return nil, err
	}
	at := map[occurrence]time.Time{}
	for s.out.Scan() {
		line := s.out.Text()
		if line == "done" {
			return at, nil
		}
		var e occurrence
		var nanos int64
		if _, err := fmt.Fscan(strings.NewReader(line), &e.key, &e.version, &nanos); err != nil {
			return nil, fmt.Errorf("the service answered %q: %w", line, err)
		}
		at[e] = time.Unix(0, nanos)
	}
	return nil, errors.Join(errors.New("the service has ended"), s.out.Err())
}

func (s *service) stop() error {
	return errors.Join(s.stdin.Close(), s.cmd.Wait())
}
