// Package load places orders in a running shop as customers do: over HTTP, at a steady pace, each
// from its own client, which repeats its request with its idempotency key until it has an answer.
// Tests and the shop's command line use it to observe orders while something is broken.
//
// Its guarantees are those that a client has: the ids in Promised were answered with 201 and must
// exist, whatever was killed since. A request without an answer is an error of Stop.
package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Order is an order of pieces of one SKU at 10.00 GBP each.
type Order struct {
	Customer string
	SKU      string
	Quantity int
	Within   time.Duration // the saga's deadline in whole seconds; 0 means the service's default
	Saga     string        // its style; "" leaves the choice to the service
}

// Body returns the JSON of POST /orders.
func (o Order) Body() string {
	within := ""
	if o.Within > 0 {
		within = fmt.Sprintf(`,"confirmWithinSeconds":%d`, int(o.Within.Seconds()))
	}
	if o.Saga != "" {
		within += fmt.Sprintf(`,"saga":%q`, o.Saga)
	}
	return fmt.Sprintf(`{"customer":{"id":%q,"name":"Ada Lovelace","email":"ada@example.com"},
		"shippingAddress":{"street":"123 Babbage Lane","city":"London","postalCode":"SW1A 1AA","country":"GB"},
		"items":[{"sku":%q,"quantity":%d,"unitPrice":10.00}],"totalAmount":%d.00,"currency":"GBP"%s}`,
		o.Customer, o.SKU, o.Quantity, 10*o.Quantity, within)
}

// Config sets what is ordered, by which customers and how often.
type Config struct {
	SKU       string
	PerSecond int
	Customers []string // in turn
	Orders    []string // base URLs of the order service's replicas, in turn
	Saga      Styles   // of the orders
}

// Load places orders in the background. Start creates it, Stop ends it. Its methods may be called
// from any goroutine.
type Load struct {
	cfg  Config
	http *Client
	end  context.CancelFunc
	done chan struct{} // closed when every client has its answer

	mu       sync.Mutex
	addrs    []string
	strict   bool
	promised []string
	owners   map[string]string // order id → idempotency key
	failed   []error
}

// Start begins to place orders, until Stop or the end of ctx.
func Start(ctx context.Context, cfg Config) *Load {
	pace, end := context.WithCancel(ctx)
	l := &Load{cfg: cfg, http: NewClient(), end: end, done: make(chan struct{}),
		addrs: cfg.Orders, owners: map[string]string{}}
	run := time.Now().UnixNano() // the keys of an earlier run on this shop are used up
	go func() {
		defer close(l.done)
		var clients sync.WaitGroup
		defer clients.Wait()
		tick := time.NewTicker(time.Second / time.Duration(cfg.PerSecond))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-pace.Done():
				return
			case <-tick.C:
				clients.Go(func() { l.place(ctx, n, fmt.Sprintf("load-%d-%d", run, n)) })
			}
		}
	}()
	return l
}

func (l *Load) place(ctx context.Context, n int, key string) {
	body := Order{Customer: l.cfg.Customers[n%len(l.cfg.Customers)], SKU: l.cfg.SKU, Quantity: 1, Saga: l.cfg.Saga.of(n)}.Body()
	l.mu.Lock()
	strict := l.strict
	l.mu.Unlock()
	var a Answer
	var err error
	if strict {
		a, err = l.http.Send(ctx, http.MethodPost, l.addr(n), body, "Idempotency-Key", key)
		if err == nil && a.Status != http.StatusCreated {
			err = fmt.Errorf("%d %s", a.Status, a.Body)
		}
	} else {
		attempt := n
		a, err = l.http.Insist(ctx, func() string { attempt++; return l.addr(attempt) }, body, key, http.StatusCreated)
	}
	id := a.OrderID()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch other := l.owners[id]; {
	case err != nil:
		l.failed = append(l.failed, fmt.Errorf("place order %s: %w", key, err))
	case id == "":
		l.failed = append(l.failed, fmt.Errorf("place order %s: the answer names no order: %s", key, a.Body))
	case other != "":
		l.failed = append(l.failed, fmt.Errorf("order %s was promised to two clients: %s and %s", id, other, key))
	default:
		l.promised, l.owners[id] = append(l.promised, id), key
	}
}

func (l *Load) addr(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addrs[n%len(l.addrs)] + "/orders"
}

// Spread sets the addresses of the order service's present replicas.
func (l *Load) Spread(orders ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addrs = orders
}

// InsistOnFirst sets whether a first answer other than 201 is an error from now on.
func (l *Load) InsistOnFirst(strict bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strict = strict
}

// Placed returns how many orders were promised so far.
func (l *Load) Placed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.promised)
}

// Promised returns the ids of the orders that were promised so far.
func (l *Load) Promised() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.promised)
}

// Stop ends the load and waits for the clients' answers. It returns the promised orders and the
// clients' errors. A second call returns the same.
func (l *Load) Stop() (promised []string, err error) {
	l.end()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.promised), errors.Join(l.failed...)
}
